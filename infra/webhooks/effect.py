"""What a notice does to the ledger: it wakes a poll or is kept, and never changes what is known."""

import logging
from datetime import UTC, datetime

from tasks.ledger import Entry, State
from tasks.ledger.store import Ledger
from tasks.ledger.stream_models import StreamEvent

_UNANSWERED = frozenset({State.RESERVED, State.SUBMITTING, State.AMBIGUOUS})
"""States in which a job id is what a look-up needs."""

log = logging.getLogger("studio.webhooks")


async def apply_notice(ledger: Ledger, provider: str, order_id: str, job_id: str) -> Entry | None:
    """Wake the poll of the job, or keep a hint where the job is not known; as often and in any order as it comes.

    Returns:
        The attempt that the order names; None when the ledger has none.

    Raises:
        StudioUnavailable: the ledger does not answer.
    """
    entry = await ledger.find_order(provider, order_id)
    if entry is None:
        return None
    if entry.state in _UNANSWERED:
        await ledger.note_hint(provider, order_id, job_id)
    elif entry.state is State.SUBMITTED and entry.job_id == job_id:
        await ledger.set_next_poll(entry.id, datetime.now(UTC))
    elif entry.state is State.SUBMITTED:
        log.warning("notice names another job order=%s job_id=%s named=%s", order_id, entry.job_id, job_id)
        await ledger.note_hint(provider, order_id, job_id)
    elif not entry.is_open:
        # Somebody has given this order up; a job that answers to it is money that nobody follows.
        log.warning("notice of an order that has ended order=%s named=%s state=%s", order_id, job_id, entry.state)
        await ledger.note_hint(provider, order_id, job_id)
    log.info("notice order=%s job_id=%s state=%s", order_id, job_id, entry.state)
    return entry


async def keep_event(ledger: Ledger, event: StreamEvent) -> bool:
    """Keep what a callback tells for the show that waits for it; as often and in any order as it comes.

    Returns:
        Whether it is news.

    Raises:
        StudioUnavailable: the ledger does not answer.
    """
    is_new = await ledger.add_stream_event(event)
    log.info(
        "callback task_id=%s kind=%s drive_id=%s status=%s late=%.1f new=%s",
        event.task_id,
        event.kind,
        event.drive_id,
        event.status,
        (event.received_at - event.happened_at).total_seconds(),
        is_new,
    )
    return is_new
