"""One process that renders for the fault matrix: orders come as JSON lines, outcomes go back the same way.

It is a flow process like any other, with shorter deadlines; ``faults_lane.py`` starts it.
"""

from tests.chaos import faults_clock  # isort: skip - before anything reads the time

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from pydantic import SecretStr

import tasks.blocks.loading
import tasks.circuit
import tasks.download
import tasks.followers
import tasks.http.api
import tasks.ledger.breakers
import tasks.original
import tasks.providers.topview.look_up
import tasks.providers.topview.provider
import tasks.settle
import tasks.submit
from flows.reconcile import reconcile
from flows.render_video import render_video
from tasks.blocks import MingyanCredentials, TopViewCredentials, load_block, storage
from tasks.blocks.storage import S3Storage
from tasks.ledger import State
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings

assert faults_clock


def shorten_deadlines() -> None:
    """What takes minutes in life takes seconds here; the order between the deadlines stays."""
    tasks.http.api.DEADLINES.update(submit=2.5, query=2.5)
    tasks.ledger.breakers.FIRST_OPEN = tasks.ledger.breakers.LONGEST_OPEN = timedelta(seconds=1)
    tasks.followers.ARCHIVING_SECONDS = 2
    tasks.followers.GRACE_SECONDS = 2.0
    tasks.circuit.NEXT_TRY_SECONDS = tasks.submit.NEXT_TRY_SECONDS = 1.0
    tasks.original.AGAIN_SECONDS = 0.2
    tasks.original.ASKING_SECONDS = 5
    tasks.download.STALL_SECONDS = 5
    tasks.settle.LOOK_SECONDS = 4
    tasks.providers.topview.look_up.CALL_PATIENCE_SECONDS = 3
    tasks.providers.topview.provider.UPLOAD_PATIENCE_SECONDS = 4


async def open_account(vendor: str, address: str, uid: str, key: str) -> dict[str, Any]:
    """Save the credentials block that this process's settings name."""
    settings = get_settings()
    if vendor == "topview":
        topview = TopViewCredentials(uid=SecretStr(uid), api_key=SecretStr(key), account="faults", base_url=address)
        await topview.asave(settings.topview_block, overwrite=True)
    else:
        mingyan = MingyanCredentials(api_key=SecretStr(key), account="faults", base_url=address)
        await mingyan.asave(settings.mingyan_block, overwrite=True)
    return {}


async def be_patient_with_the_store(seconds: float) -> dict[str, Any]:
    """Save the storage block that this process's settings name: the studio's, with another patience."""
    block = await load_block(S3Storage, "studio-archive")
    # A loaded block saves itself under its old name, so this one is made anew.
    fields = {name: getattr(block, name) for name in S3Storage.model_fields}
    await S3Storage(**fields | {"retry_seconds": seconds}).asave(get_settings().storage_block, overwrite=True)
    # A run keeps its client for half a minute, and the next order is another run.
    storage._stores._slots.clear()
    return {}


async def render(request: dict[str, Any], deadline: float) -> dict[str, Any]:
    """Run the flow with this deadline for the render; returns how it ended, as a person sees it."""
    os.environ["STUDIO_RENDER_DEADLINE_SECONDS"] = str(deadline)
    get_settings.cache_clear()
    state = await render_video(request, return_state=True)
    return {"state": state.name, "message": state.message or ""}


async def settle(render_key: str, job_id: str | None) -> dict[str, Any]:
    """What a person does after a look into the provider's console: that job, or submit again."""
    async with open_ledger() as ledger:
        entry = await ledger.find(render_key)
        assert entry is not None
        to = State.SUBMITTED if job_id else State.RESERVED
        await ledger.settle(entry.id, to, owner="a person", note="seen in the console", job_id=job_id)
    return {}


async def look_after() -> dict[str, Any]:
    """One pass of the flow that finishes what was left behind, however short ago."""
    state = await reconcile(unattended_minutes=0, return_state=True)
    return {"state": state.name, "message": state.message or ""}


ORDERS: dict[str, Callable[..., Awaitable[dict[str, Any]]]] = {
    "open_account": open_account,
    "be_patient_with_the_store": be_patient_with_the_store,
    "render": render,
    "settle": settle,
    "look_after": look_after,
}


async def main() -> None:
    """Carry out orders until there are no more."""
    shorten_deadlines()
    while line := await asyncio.to_thread(sys.stdin.readline):
        order = json.loads(line)
        answer = await ORDERS[order.pop("order")](**order)
        sys.stdout.write(f"ANSWER {json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
