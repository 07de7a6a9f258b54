"""Finish what a crash, an outage or a lost answer left behind, and show what only a person can settle.

Runs every ten minutes beside live runs. It looks at the provider and never guesses, submits nothing, and may be run
again and again: what it finds done it leaves alone. Its report names every render that needs a person, with the command
that settles it; the money that the providers say they took goes into the ledger on the way. Live streams that nobody
attends to are closed first, as `close-streams` does every minute.

Needs the storage block named by ``STUDIO_STORAGE_BLOCK`` (``studio-archive`` unless set), the ledger, and the
credentials of the providers whose jobs were left.
"""

import time
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from pydantic import Field

from tasks.attend import (
    ask_for_accepted,
    finish_videos,
    free_uploads,
    give_up_intents,
    hand_out_archived,
    look_for_unanswered,
)
from tasks.charges import read_charges
from tasks.errors import StudioError
from tasks.leftovers import find_leftovers
from tasks.outcome import failed_state
from tasks.pass_report import last_state, report_pass
from tasks.runlog import show_plain_log
from tasks.scratch import scratch_folder
from tasks.show.reaping import reap_streams

Minutes = Annotated[
    int, Field(ge=1, le=60, description="Nothing new is begun after this many minutes; the next pass goes on.")
]
Unattended = Annotated[
    float | None,
    Field(
        ge=0,
        le=7 * 24 * 60,
        description="Minutes without a change after which a render counts as left behind; 0 looks at all now, "
        "empty takes STUDIO_UNATTENDED_MINUTES.",
    ),
]


@flow(name="reconcile", flow_run_name="reconcile")
async def reconcile(minutes: Minutes = 8, unattended_minutes: Unattended = None) -> State[Any]:
    """Finish what was left behind, and report what needs a person.

    Args:
        minutes: time budget of the pass; a step that has begun is finished.
        unattended_minutes: how long a render must have been left alone.
    """
    show_plain_log()
    owner, until = str(flow_run.get_id()), time.monotonic() + minutes * 60
    try:
        with scratch_folder() as folder:
            streams = await reap_streams(until)
            rows = await find_leftovers(unattended_minutes)
            rows = await give_up_intents(rows, owner, until)
            rows = await look_for_unanswered(rows, owner, until)
            rows = await ask_for_accepted(rows, owner, until)
            rows = await finish_videos(rows, folder, until)
            rows += await hand_out_archived(unattended_minutes, folder, until)
            notes = await read_charges(until) + await free_uploads()
            return last_state(await report_pass(rows, streams + notes))
    except StudioError as error:
        return failed_state(error)
