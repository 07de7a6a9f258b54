"""A manifest in, a finished video per row out, with one report that says why a row has none.

The run form is `BatchRequest`. Thousands of renders are in flight in this one process; above `shard_size` rows the
batch is shared by several runs in the work pool. What becomes of each row is in the ledger, so running the same batch
again, or having it started again after a crash, finishes what is left and pays for nothing twice. A cancelled batch
submits nothing more, and a run that follows it archives what the providers had accepted, or drops it, as asked.

Needs the storage block named by ``STUDIO_STORAGE_BLOCK`` (``studio-archive`` unless set), the ledger, and the
credentials of the providers that the rows name.
"""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from tasks.batch.closing import ended_state, report_batch
from tasks.batch.handing_over import cancelled, finish_after_batch
from tasks.batch.naming import name_batch, read_batch
from tasks.batch.request import BatchRequest
from tasks.batch.session import work_on
from tasks.batch.shards import run_shards, shard_request
from tasks.batch.source import prepare_batch
from tasks.batch.stopping import heed_sigterm
from tasks.errors import StudioError
from tasks.outcome import failed_state
from tasks.runlog import show_batch_log
from tasks.scratch import scratch_folder

# A run without parameters must reach the first line and be refused there, not die on the way to it.
NOTHING: Any = {}


# The request is read by the first line of the recipe instead of Prefect, so that a refusal names field and fix.
@flow(
    name="render-batch",
    flow_run_name=name_batch,
    validate_parameters=False,
    on_cancellation=[finish_after_batch],
)
async def render_batch(batch: BatchRequest = NOTHING) -> State[Any]:
    """Turn every row of a manifest into a finished video in the archive.

    Args:
        batch: the rows, and how they are worked on.
    """
    show_batch_log()
    run_id = str(flow_run.get_id())
    try:
        request = read_batch(batch)
        with heed_sigterm() as stopping, scratch_folder() as folder:
            prepared = await prepare_batch(request, folder, run_id)
            shards = len(prepared.files)
            whole = shard_request(prepared.batch, request, shard=1, of=1)
            if shards == 1:
                await work_on(whole, prepared.files, folder, stopping)
            else:
                await run_shards(prepared.batch, request, shards, stopping)
            if await stopping.is_cancelled():
                return await cancelled(whole if shards == 1 else None)
            return ended_state(prepared.batch, await report_batch(prepared.batch.id, run_id))
    except StudioError as error:
        return failed_state(error)
