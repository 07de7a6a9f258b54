"""Several runs that want one render: one asks the provider and archives, the others watch the ledger."""

import logging
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.errors import StillRunning
from tasks.ledger import Entry, State
from tasks.ledger.batch_models import Tick

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

GRACE_SECONDS = 10.0
"""How late another run's question may be before this run asks itself."""
ARCHIVING_SECONDS = 120
"""How long another run is given to archive what it found finished."""

log = logging.getLogger("studio.poll")


def planned_by_another(row: Tick, owner: str, own_plans: Collection[datetime | None]) -> datetime | None:
    """The next question as another living run has planned it; None when it is for this run to ask.

    Args:
        row: the row as it is now.
        owner: id of this flow run.
        own_plans: the last plans of this run.
    """
    if row.next_poll_at is None or row.owner == owner or row.next_poll_at in own_plans:
        return None
    return row.next_poll_at


def is_believed(ahead: float, overdue: float, farthest: float) -> bool:
    """Whether another run's plan is a reason not to ask; one that is overdue is believed in for a short while only.

    Args:
        ahead: seconds until its question; less than 0 when it should have come.
        overdue: seconds that this run has waited for it by its own clock: notices may bring a plan forward again and
            again without anybody asking.
        farthest: seconds; a plan further ahead was made by a clock that is wrong.
    """
    return ahead < farthest + GRACE_SECONDS if ahead > 0 else overdue < GRACE_SECONDS


async def after_archiving(ledger: "Ledger", entry: Entry, owner: str) -> Entry:
    """The row of a render that is followed, once another run that has found it finished has had time to archive it."""
    row = await ledger.get(entry.id)
    if row.state is not State.SUCCEEDED or row.owner in {owner, ""}:
        return row
    age = (datetime.now(UTC) - row.updated_at).total_seconds()
    left = max(0, min(ARCHIVING_SECONDS, ARCHIVING_SECONDS - age))
    try:
        return await ledger.wait_change(row.id, State.SUCCEEDED, deadline=left)
    except StillRunning:
        log.warning("taking over what was not archived key=%s owner=%s", row.render_key, row.owner)
        return row
