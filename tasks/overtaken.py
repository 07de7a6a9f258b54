"""A change of the ledger that somebody else may have made first."""

import logging
from collections.abc import Awaitable, Collection

from tasks.ledger import Entry, State, StateConflict

log = logging.getLogger("studio.ledger")


async def unless_overtaken(change: Awaitable[Entry], *, done: Collection[State] | None = None) -> Entry | None:
    """Make a change; where others have overtaken it, leave the row as they left it.

    Args:
        change: the change under way, such as ``ledger.mark_failed(…)``.
        done: states in which others may have brought the row; None allows any.

    Returns:
        The row as the others left it, which says more than we know; None when the change was made.

    Raises:
        StateConflict: the row is in a state that is not among ``done``.
    """
    try:
        await change
    except StateConflict as conflict:
        if done is not None and conflict.actual not in done:
            raise
        log.info("overtaken key=%s state=%s", conflict.entry.render_key, conflict.actual)
        return conflict.entry
    return None
