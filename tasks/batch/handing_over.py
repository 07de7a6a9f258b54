"""After a cancelled run: another one takes care of what the providers had accepted for it.

A run that ends politely starts it itself. The hooks are for one that was killed before it could; of both comes one.
"""

import logging
from typing import Any

from prefect import Flow, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled

from tasks.batch.naming import read_batch, read_shard_order
from tasks.batch.request import ShardRequest
from tasks.batch.shards import cancel_shards_of, shard_request, start_shard
from tasks.errors import RequestRefused
from tasks.ledger.batch_models import Batch
from tasks.ledger.opening import open_ledger

MOST_BATCHES = 100

log = logging.getLogger("studio.batch")


async def finish_after_batch(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - hook of Prefect
    """Start a run that finishes or drops what was accepted for a batch; parts that run alone do it themselves."""
    try:
        request = read_batch(flow_run.parameters.get("batch"))
    except RequestRefused:
        return
    if await cancel_shards_of(str(flow_run.id)):
        return
    batch = await _batch_of(str(flow_run.id))
    if batch is not None:
        order = shard_request(batch, request, shard=1, of=1)
        await _hand_over(order, flow_run.name, str(flow_run.id))


async def finish_after_shard(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - hook of Prefect
    """Start a run that finishes or drops what was accepted for a part of a batch."""
    order = read_shard_order(flow_run.parameters.get("shard"))
    if order.mode == "render":
        await _hand_over(order, flow_run.name, str(flow_run.id))


async def cancelled(order: ShardRequest | None) -> State[Any]:
    """The last state of a cancelled run, once another one takes care of what was accepted.

    Args:
        order: what this run was working on; None when others work on it, which do this themselves.
    """
    if order is None:
        return Cancelled(message="its parts were asked to end; each takes care of what was accepted for it")
    if order.mode != "render":
        return Cancelled(message="`reconcile` takes care of what is left")
    name, run_id = runtime.flow_run.get_name() or "a batch", runtime.flow_run.get_id() or ""
    await _hand_over(order, name, run_id)
    return Cancelled(message=f"nothing more is submitted; another run will {order.on_cancel} what was accepted")


async def _hand_over(order: ShardRequest, name: str, run_id: str) -> None:
    mode = order.on_cancel
    await start_shard(
        order.model_copy(update={"mode": mode, "of": 1, "name": f"{mode} what {name} left"}),
        once=f"{run_id}-{mode}",
    )
    log.warning("cancelled, another run takes care of what was accepted mode=%s", mode)


async def _batch_of(run_id: str) -> Batch | None:
    async with open_ledger() as ledger:
        return next((batch for batch in await ledger.batches(limit=MOST_BATCHES) if batch.run_id == run_id), None)
