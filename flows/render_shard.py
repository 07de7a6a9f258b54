"""A part of a batch: started by `render_batch` for one that is too large for a process, and after a cancelled one.

In the modes `finish` and `drop` nothing is submitted: what the providers had accepted for the batch is archived, or
given up. The run that answers for the batch writes its report; after a cancelled one this run does.

Needs what `render_batch` needs.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.batch.closing import report_batch
from tasks.batch.handing_over import cancelled, finish_after_shard
from tasks.batch.naming import name_shard, read_shard_order, shard_state
from tasks.batch.request import ShardRequest
from tasks.batch.session import work_on
from tasks.batch.source import bring_rows
from tasks.batch.stopping import heed_sigterm
from tasks.errors import StudioError
from tasks.outcome import failed_state
from tasks.runlog import show_batch_log
from tasks.scratch import scratch_folder

NOTHING: Any = {}


@flow(name="render-shard", flow_run_name=name_shard, validate_parameters=False, on_cancellation=[finish_after_shard])
async def render_shard(shard: ShardRequest = NOTHING) -> State[Any]:
    """Work on a part of a batch.

    Args:
        shard: which rows, and how.
    """
    show_batch_log()
    try:
        order = read_shard_order(shard)
        with heed_sigterm() as stopping, scratch_folder() as folder:
            files = await bring_rows(order, folder)
            counts = await work_on(order, files, folder, stopping)
            if await stopping.is_cancelled():
                return await cancelled(order)
            if order.mode != "render":
                await report_batch(order.batch_id, order.run_id)
            return shard_state(order, counts)
    except StudioError as error:
        return failed_state(error)
