"""Pick up the manifests that people dropped under `inbox/` in the archive bucket, and start a batch for each.

Runs every two minutes. A file is read once it has not changed for a few seconds, by one pass only. A good one is moved
to `done/<day>/`, with a note beside it that names its run; one with mistakes to `rejected/<day>/`, with a note that
lists them by row and column. A pass that dies is finished by a later one: no file is lost, and none starts two runs.

Needs the storage block named by ``STUDIO_STORAGE_BLOCK`` (``studio-archive`` unless set), the ledger, and the
deployment `render-batch/studio`.
"""

import time
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from pydantic import Field

from tasks.batch.inbox.steps import last_state, look_into_inbox, pick_up, report_pickups
from tasks.errors import StudioError
from tasks.outcome import failed_state
from tasks.runlog import show_plain_log

Minutes = Annotated[
    int, Field(ge=1, le=60, description="No further file is begun after this many minutes; the next pass goes on.")
]


@flow(name="pick-up-inbox", flow_run_name="pick up the inbox")
async def pick_up_inbox(minutes: Minutes = 10) -> State[Any]:
    """Start or reject what was dropped.

    Args:
        minutes: time budget of the pass; a file that has been begun is brought to its end.
    """
    show_plain_log()
    owner, until = str(flow_run.get_id()), time.monotonic() + minutes * 60
    try:
        drops = await look_into_inbox()
        picked = await pick_up(drops, owner, until) if drops else []
        return last_state(await report_pickups(picked))
    except StudioError as error:
        return failed_state(error)
