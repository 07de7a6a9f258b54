"""Close the live streams that nobody attends to any more: of shows that were killed, or could not close them.

Records of shows that could not be archived when these ended are archived here as well.

Runs every minute beside live shows, which it leaves alone, and pauses itself when there have been none for an hour; the
next show wakes it. Closing is safe however often it is done, and by however many: by the show itself, the hooks of its
run, this flow and `reconcile`.

Needs the ledger, and the ZEGO credentials block named by ``STUDIO_ZEGO_BLOCK`` (``zego`` unless set); without that
block, and without streams, there is nothing to do.
"""

import time
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from tasks.errors import StudioError
from tasks.outcome import failed_state
from tasks.pass_report import last_state
from tasks.runlog import show_plain_log
from tasks.show.archiving import archive_left_records
from tasks.show.reaping import QUIET_SECONDS, reap_streams, report_streams
from tasks.show.waking import rest_if_idle

BUDGET_SECONDS = 45.0
"""Nothing new is begun after that: the next pass is near."""

Quiet = Annotated[
    float, Field(ge=0, le=3600, description="Seconds without a sign of life after which a show counts as dead.")
]


@flow(name="close-streams", flow_run_name="close streams")
async def close_streams(quiet_seconds: Quiet = QUIET_SECONDS) -> State[Any]:
    """Close what was left.

    Args:
        quiet_seconds: how long a show must have given no sign of life.
    """
    show_plain_log()
    until = time.monotonic() + BUDGET_SECONDS
    try:
        notes = await reap_streams(until, quiet_seconds)
        notes += await archive_left_records(until)
        if not notes:
            await rest_if_idle()
        return last_state(await report_streams(notes))
    except StudioError as error:
        return failed_state(error)
