"""Whole shows through trouble with the vendor: one stream each, which has ended when the show has."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from pydantic import SecretStr

from tasks.ledger import State
from tasks.providers.zego.client import ZegoClient
from tasks.providers.zego.models import WsDrive
from tasks.show.account import ZegoAccount
from tasks.show.broadcasting import broadcast
from tasks.show.showing import Shown
from tests.chaos.figures import FIGURES
from tests.playing_shows import (
    LASTING,
    Shelf,
    account_at,
    clean_sandbox,
    drives,
    empty_shelf,
    eventually,
    make_plan,
    row_of,
    tones,
)
from tests.servers.sandbox import SandboxServer, one_sandbox
from tests.servers.wire import Wire

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240), pytest.mark.usefixtures("studio_home")]

CUT_SECONDS = 20.0
LATEST_END = 10.0
"""Seconds after the last cue within which a stream has ended, though its Stop was refused at first."""


async def perform(account: ZegoAccount, cues: list[dict[str, Any]]) -> tuple[Shown, State]:
    """A show from its plan to its record."""
    run_id = uuid4()
    shown = await broadcast(make_plan(cues), account, run_id=run_id, run_count=1, asked=asyncio.Event())
    return shown, (await row_of(run_id)).state


@pytest.mark.parametrize(
    ("call", "fault", "more"),
    [
        ("create", "lost_answer", {}),
        ("create", "business", {"times": 2, "code": 400010002}),
        ("stop", "business", {"times": 2, "code": 400010000}),
        ("stop", "lost_answer", {"times": 2}),
    ],
)
async def test_trouble_at_either_end_of_a_show_leaves_one_ended_stream(
    sandbox: SandboxServer, shelf: Shelf, call: str, fault: str, more: dict[str, Any]
) -> None:
    """Create unanswered or busy, Stop refused or unanswered twice."""
    sandbox.arm("zego", call, fault, **more)

    shown, state = await perform(account_at(sandbox), [{"text": "Hello."}])

    (stream,) = sandbox.streams()
    assert (stream["how_ended"], state) == ("stopped", State.ARCHIVED)
    assert shown.manifest is not None
    assert [cue.outcome.value for cue in shown.manifest.cues] == ["done"]
    lived = stream["ended"] - drives(sandbox)[-1]["ended"]
    assert lived < LATEST_END
    FIGURES.append(f"show with {call} {fault} {more}: one stream, ended {lived:.1f} s after the last word")


@pytest.mark.parametrize("moment", ["a text", "a stream of PCM", "a pause"])
async def test_a_network_that_is_lost_for_twenty_seconds(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The cue on air may be lost, and what comes after it is said; there is one stream, and it is stopped."""
    lost: dict[str, Any] = {
        "a text": {"text": "This is what is being said while the network goes away, and it takes a while. " * 3},
        "a stream of PCM": {"recording": LASTING},
        "a pause": {"pause": 5},
    }[moment]
    async with Wire(sandbox.port) as calls, Wire(0) as sound:
        _lead_sockets_through(sound, monkeypatch)
        account = _account_through(calls, sandbox)
        playing = asyncio.create_task(perform(account, [{"text": "Before."}, lost, {"text": "After."}]))
        await eventually(lambda: drives(sandbox) and drives(sandbox)[0]["ended"], 60)
        await asyncio.sleep(2)
        for wire in (calls, sound):
            wire.cut()
        cut_at = time.monotonic()
        await asyncio.sleep(CUT_SECONDS)
        for wire in (calls, sound):
            wire.mend()
        shown, state = await playing

    (stream,) = sandbox.streams()
    assert (stream["how_ended"], state) == ("stopped", State.ARCHIVED)
    assert shown.manifest is not None
    outcomes = [cue.outcome.value for cue in shown.manifest.cues]
    assert outcomes[0] == outcomes[-1] == "done"
    assert drives(sandbox)[-1]["text"] == "After."
    lived = stream["ended"] - drives(sandbox)[-1]["ended"]
    assert lived < LATEST_END
    FIGURES.append(
        f"network lost for {CUT_SECONDS:g} s in {moment}: {', '.join(outcomes)}; "
        f"over {time.monotonic() - cut_at:.0f} s after the cut, stream ended {lived:.1f} s after the last word"
    )


def _account_through(wire: Wire, sandbox: SandboxServer) -> ZegoAccount:
    account = account_at(sandbox)
    client = ZegoClient(
        base_url=sandbox.zego_url.replace(str(sandbox.port), str(wire.port)),
        app_id=sandbox.zego_app_id,
        server_secret=sandbox.zego_server_secret,
    )
    return replace(account, client=client, endpoint=client.base_url)


def _lead_sockets_through(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor names the address of a socket itself."""
    real = ZegoClient.drive_ws

    async def drive_ws(self: ZegoClient, task_id: str) -> WsDrive:
        drive = await real(self, task_id)
        address = urlsplit(drive.address.get_secret_value())
        wire.to = address.port or 0
        led = urlunsplit(address._replace(netloc=f"{address.hostname}:{wire.port}"))
        return drive.model_copy(update={"address": SecretStr(led)})

    monkeypatch.setattr(ZegoClient, "drive_ws", drive_ws)
