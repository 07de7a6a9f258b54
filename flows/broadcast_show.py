"""A rundown in, a live show with a digital human in a room, and its record in the archive; the stream always closes.

The run form is `ShowRequest`. A show is one run, and its stream one row of the ledger: created at most once, stopped in
the end by this run, else by the hooks below, else by `close-streams`, which runs every minute, else by the vendor after
the time to live that every stream is given. A show that crashed is not started again, as it cannot be rewound. While it
is on air people pause, skip, interrupt, say something and stop it by `studio show`, which sends inputs to this run.

Needs the block named by ``STUDIO_ZEGO_BLOCK`` (``zego`` unless set), the storage block, and the ledger.
"""

from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from tasks.batch.stopping import heed_sigterm
from tasks.errors import StudioError
from tasks.outcome import failed_state
from tasks.runlog import show_plain_log
from tasks.scratch import scratch_folder
from tasks.show.account import load_zego
from tasks.show.broadcasting import broadcast
from tasks.show.checking import plan_show
from tasks.show.closing import hook_close
from tasks.show.naming import name_show
from tasks.show.reading import read_show
from tasks.show.rundown import ShowRequest
from tasks.show.showing import cancelled_state, show_state

# A run without parameters must reach the first line and be refused there, not die on the way to it.
NOTHING: Any = {}


# The request is read by the first line of the recipe instead of Prefect, so that a refusal names field and fix.
@flow(
    name="broadcast-show",
    flow_run_name=name_show,
    validate_parameters=False,
    on_cancellation=[hook_close],
    on_crashed=[hook_close],
    on_failure=[hook_close],
)
async def broadcast_show(show: ShowRequest = NOTHING) -> State[Any]:
    """Perform a rundown live, and leave a record of what happened.

    Args:
        show: the rundown, or the address of its file.
    """
    show_plain_log()
    run_id, run_count = UUID(str(flow_run.get_id())), int(flow_run.get_run_count() or 1)
    try:
        with heed_sigterm() as stopping, scratch_folder() as folder:
            rundown = await read_show(show, folder)
            account = await load_zego()
            plan = await plan_show(rundown, folder, account)
            shown = await broadcast(plan, account, run_id=run_id, run_count=run_count, asked=stopping.asked)
            if await stopping.is_cancelled():
                return cancelled_state(shown)
            return show_state(shown)
    except StudioError as error:
        return failed_state(error)
