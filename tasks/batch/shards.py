"""A batch that is too large for one process: its parts are runs in the work pool, so that more workers share it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import arun_deployment
from prefect.states import Cancelling

from tasks.batch.progress import BatchProgress
from tasks.batch.request import BatchRequest, ShardRequest
from tasks.batch.session import show_while
from tasks.batch.stopping import Stopping
from tasks.ledger.batch_models import Batch, RowState
from tasks.ledger.opening import open_ledger

SHARD_DEPLOYMENT = "render-shard/studio"
LOOK_SECONDS = 2.0
COMES_BACK_SECONDS = 60
"""A crashed run is started again by an automation within seconds, up to its cap."""

log = logging.getLogger("studio.batch")


def shard_request(batch: Batch, request: BatchRequest, *, shard: int, of: int) -> ShardRequest:
    """The order for one part of a batch; what is allowed for the whole is divided among them."""
    return ShardRequest(
        batch_id=batch.id,
        run_id=batch.run_id,
        name=batch.name if of == 1 else f"{batch.name} · {shard} of {of}",
        shard=shard,
        of=of,
        in_flight=max(1, request.in_flight // of),
        task_runs=request.task_runs // of if of > 1 else request.task_runs,
        hours=request.hours,
        on_cancel=request.on_cancel,
    )


async def start_shard(order: ShardRequest, *, once: str) -> UUID:
    """Start a run for a part of a batch; the same ``once`` never starts a second one."""
    run: FlowRun = await arun_deployment(
        SHARD_DEPLOYMENT,
        parameters={"shard": order.model_dump(mode="json")},
        timeout=0,
        as_subflow=False,
        idempotency_key=once,
    )
    return run.id


async def run_shards(batch: Batch, request: BatchRequest, count: int, stopping: Stopping) -> None:
    """Have the parts of a batch worked on, and wait until all have ended.

    A run that is asked to end asks them to end: each then finishes by itself what it has submitted.
    """
    orders = [shard_request(batch, request, shard=number, of=count) for number in range(1, count + 1)]
    ids = [await start_shard(order, once=f"{batch.run_id}-{order.shard}") for order in orders]
    async with get_client() as client, open_ledger() as ledger:

        async def look() -> Counter[RowState]:
            return Counter(await ledger.count_rows(batch.id, batch.run_id))

        progress = BatchProgress(batch.rows)
        showing = asyncio.create_task(show_while(progress, look))
        try:
            await _until_ended(client, ids, stopping, time.monotonic() + request.hours * 3600 + COMES_BACK_SECONDS)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        await progress.show(await look(), at_once=True)


async def _until_ended(client: PrefectClient, ids: Sequence[UUID], stopping: Stopping, until: float) -> None:
    crashed_since: dict[UUID, float] = {}
    while True:
        runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=list(ids))))
        left = [run for run in runs if not _is_over(run, crashed_since)]
        if stopping.asked.is_set() or time.monotonic() > until:
            log.warning("ending the shards left=%d", len(left))
            for run in left:
                await client.set_flow_run_state(run.id, Cancelling())
            return
        if not left:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stopping.asked.wait(), LOOK_SECONDS)


def _is_over(run: FlowRun, crashed_since: dict[UUID, float]) -> bool:
    state = run.state
    if state is None or not state.is_final():
        crashed_since.pop(run.id, None)
        return False
    if not state.is_crashed():
        return True
    since = crashed_since.setdefault(run.id, time.monotonic())
    return time.monotonic() - since > COMES_BACK_SECONDS
