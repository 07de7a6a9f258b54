"""A show without its cues, for a process that may be killed: it opens its stream, streams, and beats until it dies."""

import asyncio
from pathlib import Path
from typing import Any

from tasks.ledger.opening import open_ledger
from tasks.providers.zego.client import ZegoClient
from tasks.show.account import ZegoAccount
from tasks.show.beating import BEAT_SECONDS, Heartbeat
from tasks.show.closing import close_stream
from tasks.show.contract import ShowPlan
from tasks.show.rundown import Rundown
from tasks.show.stream import open_stream, wait_streaming
from tasks.show.turns import ActionTurns

AVATAR = "dh-anna"


def account_at(base_url: str, app_id: int, server_secret: str) -> ZegoAccount:
    """The sandbox's account, which a studio would have in a block."""
    client = ZegoClient(base_url=base_url, app_id=app_id, server_secret=server_secret)
    return ZegoAccount(
        client=client.with_turn(ActionTurns(client.base_url)),
        account="sandbox",
        endpoint=client.base_url,
        unverified_socket=True,
        prices={},
    )


def a_plan(room: str, *, ttl: int = 600, idle_seconds: int = 300) -> ShowPlan:
    """A checked show of one pause."""
    rundown = Rundown.model_validate(
        {"title": room, "avatar": AVATAR, "room": room, "cues": [{"pause": 1}], "idle_seconds": idle_seconds}
    )
    return ShowPlan(rundown=rundown, cues=[], seconds=1, ttl=ttl, hard_end=None)


async def show(
    address: dict[str, Any], run_id: str, streaming: str, seconds: float = 60, beat_seconds: float = BEAT_SECONDS
) -> dict[str, Any]:
    """Be on air for a while, and close the stream.

    Args:
        address: of the sandbox's account.
        run_id: of the show.
        streaming: file that is made once the stream streams.
        seconds: how long it stays on air.
        beat_seconds: between two signs of life, once its stream is created.
    """
    account = account_at(**address)
    async with open_ledger() as ledger:
        stream = await open_stream(account, ledger, a_plan(run_id), run_id=run_id, run_count=1)
        async with Heartbeat(ledger, stream.entry, every=beat_seconds):
            try:
                await wait_streaming(account, ledger, stream)
                await asyncio.to_thread(Path(streaming).touch)
                await asyncio.sleep(seconds)
            finally:
                await close_stream(account, ledger, stream.entry, why="it is over")
    return {"state": "Completed"}
