"""Several runs that want one render: one asks the provider and archives, the others watch the ledger."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tasks.errors import StillRunning
from tasks.ledger import Entry, State
from tasks.providers.base import Pace

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

GRACE_SECONDS = 10.0
"""How late another run's question may be before this run asks itself."""
ARCHIVING_SECONDS = 120
"""How long another run is given to archive what it found finished."""

log = logging.getLogger("studio.poll")


class OtherAsker:
    """Whether another living run has planned the next question about a job.

    Args:
        owner: id of this flow run.
        pace: of the provider; no plan lies further ahead than that allows.
    """

    def __init__(self, owner: str, pace: Pace) -> None:
        self._owner = owner
        self._farthest = timedelta(seconds=2 * pace.longest + GRACE_SECONDS)
        self._overdue_since: float | None = None

    def is_there(self, entry: Entry, own_plan: datetime | None) -> bool:
        """Judge by the row as it is now; a plan that is overdue is believed in for a short while only.

        Args:
            entry: the row.
            own_plan: the last plan of this run.
        """
        plan = entry.next_poll_at
        if plan is None or entry.owner == self._owner or plan == own_plan:
            self._overdue_since = None
            return False
        ahead = plan - datetime.now(UTC)
        if ahead > timedelta():
            self._overdue_since = None
            # A plan far in the future was made by a clock that is wrong.
            return ahead < self._farthest
        # By this run's own clock: notices may bring the plan forward again and again without anybody asking.
        now = time.monotonic()
        self._overdue_since = self._overdue_since or now
        return now - self._overdue_since < GRACE_SECONDS


async def is_archived_by_another(ledger: "Ledger", entry: Entry, owner: str) -> bool:
    """Wait for another run that has found the render finished; False when it does not get it archived in time."""
    if entry.state is not State.SUCCEEDED or entry.owner in {owner, ""}:
        return False
    age = (datetime.now(UTC) - entry.updated_at).total_seconds()
    left = max(0, min(ARCHIVING_SECONDS, ARCHIVING_SECONDS - age))
    try:
        return (await ledger.wait_change(entry.id, State.SUCCEEDED, deadline=left)).state is State.ARCHIVED
    except StillRunning:
        log.warning("taking over what was not archived key=%s owner=%s", entry.render_key, entry.owner)
        return False
