"""A batch that is too large for one process: its parts are runs in the work pool, so that more workers share it."""

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.deployments import arun_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

from tasks.batch.progress import BatchProgress
from tasks.batch.request import BatchRequest, ShardRequest
from tasks.batch.session import show_while
from tasks.batch.stopping import Stopping
from tasks.errors import StudioUnavailable
from tasks.http import is_transport_error
from tasks.ledger.batch_models import Batch, RowState
from tasks.ledger.opening import open_ledger

SHARD_FLOW = "render-shard"
SHARD_DEPLOYMENT = f"{SHARD_FLOW}/studio"
LOOK_SECONDS = 2.0
COMES_BACK_SECONDS = 60
"""A crashed run is started again by an automation within seconds, up to its cap."""
CANCEL_SECONDS = 15.0
"""Half of what Prefect leaves a process between asking it to end and killing it."""
CANCEL_AGAIN_SECONDS = 1.0
MOST_IN_ANSWER = 100
"""The server returns 200 runs at most, however many are asked for."""

_UNFINISHED = FlowRunFilterStateType(not_any_=sorted(TERMINAL_STATES))

log = logging.getLogger("studio.batch")


def shard_request(batch: Batch, request: BatchRequest, *, shard: int, of: int) -> ShardRequest:
    """The order for one part of a batch; what is allowed for the whole is divided among them."""
    return ShardRequest(
        batch_id=batch.id,
        run_id=batch.run_id,
        name=batch.name if of == 1 else f"{batch.name} · {shard} of {of}",
        shard=shard,
        of=of,
        shard_size=request.shard_size,
        in_flight=max(1, request.in_flight // of),
        task_runs=request.task_runs // of if of > 1 else request.task_runs,
        hours=request.hours,
        on_cancel=request.on_cancel,
    )


async def start_shard(order: ShardRequest, *, once: str) -> UUID:
    """Start a run for a part of a batch; the same ``once`` never starts a second one."""
    return (await _run_once(order, once)).id


async def run_shards(batch: Batch, request: BatchRequest, count: int, stopping: Stopping) -> None:
    """Have the parts of a batch worked on, and wait until all have ended.

    A run that is asked to end starts no more of them and asks them to end: each then finishes by itself what it has
    submitted.
    """
    orders = [shard_request(batch, request, shard=number, of=count) for number in range(1, count + 1)]
    async with get_client() as client, open_ledger() as ledger:
        ids = await _start_all(client, batch.run_id, orders, stopping)

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


async def cancel_shards_of(run_id: str) -> int:
    """Ask the unfinished parts of a batch to end; those that finish or drop what was accepted go on.

    Args:
        run_id: the run that answers for the batch.

    Returns:
        How many parts there are that have not ended, also of those that had been asked before.

    Raises:
        StudioUnavailable: Prefect's server does not answer.
    """
    async with get_client() as client:
        try:
            ids = [run.id async for run in _unfinished_shards(client) if _is_part_of(run, run_id)]
        except Exception as error:
            if not _is_outage(error):
                raise
            raise StudioUnavailable(
                f"the parts of batch run {run_id} cannot be looked up: {_cause(error)}.",
                fix=f"Cancel the runs of {SHARD_FLOW} that go on in the UI.",
            ) from error
        await _cancel(client, ids)
    return len(ids)


async def _run_once(order: ShardRequest, once: str) -> FlowRun:
    run: FlowRun = await arun_deployment(
        SHARD_DEPLOYMENT,
        parameters={"shard": order.model_dump(mode="json")},
        timeout=0,
        as_subflow=False,
        idempotency_key=once,
    )
    return run


async def _start_all(
    client: PrefectClient, run_id: str, orders: Iterable[ShardRequest], stopping: Stopping
) -> list[UUID]:
    """Start the parts one after another, as long as this run is not asked to end."""
    times = (await client.read_flow_run(UUID(run_id))).run_count
    ids: list[UUID] = []
    for order in orders:
        if stopping.asked.is_set():
            log.warning("asked to end, starting no more shards started=%d", len(ids))
            break
        ids.append(await _start_or_join(order, f"{run_id}-{order.shard}", times))
    return ids


async def _start_or_join(order: ShardRequest, once: str, times: int) -> UUID:
    """Start a run for a part, or join the one that an earlier life of this run has started.

    Args:
        order: the part.
        once: key of its first run; those of later ones are numbered.
        times: how often this run was started. Each retry may start one more run of a part that has ended.
    """
    run = await _run_once(order, once)
    for number in range(2, times + 1):
        if not _is_to_be_replaced(run):
            break
        run = await _run_once(order, f"{once}-{number}")
    return run.id


async def _until_ended(client: PrefectClient, ids: Sequence[UUID], stopping: Stopping, until: float) -> None:
    """Wait until all have ended; ask them to end when this run is asked to, or its time is over."""
    crashed_since: dict[UUID, float] = {}
    left = list(ids)
    while left and not stopping.asked.is_set() and time.monotonic() < until:
        try:
            runs = await _read(client, ids)
        except Exception as error:
            if not _is_outage(error):
                raise
            log.warning("shards not looked at cause=%s", _cause(error))
            # What starts crashed runs again was away as well.
            crashed_since.clear()
        else:
            left = [each for each in ids if each not in runs or not _is_over(runs[each], crashed_since)]
        if left:
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.asked.wait(), LOOK_SECONDS)
    if left:
        log.warning("ending the shards left=%d", len(left))
        await _cancel(client, left)


async def _read(client: PrefectClient, ids: Sequence[UUID]) -> dict[UUID, FlowRun]:
    """The runs of these ids, as far as the server knows them."""
    found: dict[UUID, FlowRun] = {}
    for begin in range(0, len(ids), MOST_IN_ANSWER):
        some = FlowRunFilterId(any_=list(ids[begin : begin + MOST_IN_ANSWER]))
        found |= {run.id: run for run in await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=some))}
    return found


async def _cancel(client: PrefectClient, ids: Sequence[UUID]) -> None:
    """Ask runs to end, again and again until the server has noted it of each or the time is over."""
    left = list(ids)
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            while True:
                are_ending = await asyncio.gather(*(_ask_to_end(client, each) for each in left))
                left = [each for each, is_ending in zip(left, are_ending, strict=True) if not is_ending]
                if not left:
                    return
                await asyncio.sleep(CANCEL_AGAIN_SECONDS)
    except TimeoutError:
        log.error("shards not asked to end left=%d", len(left))  # noqa: TRY400 - the count says all


async def _ask_to_end(client: PrefectClient, run_id: UUID) -> bool:
    """Ask a run to end; whether it is about to, has ended, or is gone."""
    try:
        # What runs nowhere yet is cancelled at once, and what has ended stays as it is.
        state: State[Any] | None = (await client.set_flow_run_state(run_id, Cancelling())).state
    except ObjectNotFound:
        return True
    except Exception as error:
        if not _is_outage(error):
            raise
        log.warning("shard not asked to end run=%s cause=%s", run_id, _cause(error))
        return False
    return state is not None and (state.is_cancelling() or state.is_final())


async def _unfinished_shards(client: PrefectClient) -> AsyncIterator[FlowRun]:
    for begin in itertools.count(0, MOST_IN_ANSWER):
        runs = await client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[SHARD_FLOW])),
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=_UNFINISHED)),
            sort=FlowRunSort.ID_DESC,
            limit=MOST_IN_ANSWER,
            offset=begin,
        )
        for run in runs:
            yield run
        if len(runs) < MOST_IN_ANSWER:
            return


def _is_part_of(run: FlowRun, run_id: str) -> bool:
    shard = run.parameters.get("shard")
    return isinstance(shard, dict) and shard.get("run_id") == run_id and shard.get("mode", "render") == "render"


def _is_over(run: FlowRun, crashed_since: dict[UUID, float]) -> bool:
    state = run.state
    if state is None or not state.is_final():
        crashed_since.pop(run.id, None)
        return False
    if not state.is_crashed():
        return True
    since = crashed_since.setdefault(run.id, time.monotonic())
    return time.monotonic() - since > COMES_BACK_SECONDS


def _is_to_be_replaced(run: FlowRun) -> bool:
    """Whether a run has ended and does not come back by itself."""
    state = run.state
    if state is None or not state.is_final():
        return False
    return not state.is_crashed() or (datetime.now(UTC) - state.timestamp).total_seconds() > COMES_BACK_SECONDS


def _is_outage(error: Exception) -> bool:
    return isinstance(error, PrefectHTTPStatusError) or is_transport_error(error)


def _cause(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
