"""Settle a submission that got no answer: by looking at the provider, never by guessing."""

import logging
from typing import TYPE_CHECKING, Literal, cast

from tasks.errors import AmbiguousSubmit
from tasks.http import may_repeat_poll, patiently
from tasks.ledger import Entry, State, StateConflict
from tasks.notices import notice_url
from tasks.providers.base import MediaRole, Provider, Sighting, SubmitOrder

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

LOOK_SECONDS = 60
"""How long to go on asking a provider that does not answer the look-up either."""

log = logging.getLogger("studio.settle")


async def look_and_settle(ledger: "Ledger", provider: Provider, entry: Entry, owner: str) -> Entry:
    """Look for the job of a `submitting` or `ambiguous` entry and write down what is found.

    Args:
        ledger: where the entry is.
        provider: where the submission went.
        entry: a submission whose time for an answer is over.
        owner: id of the flow run.

    Returns:
        The entry: submitted, reserved again (the provider surely never had it), or ambiguous.

    Raises:
        ProviderError: the provider does not answer the look-up; nothing was changed.
    """
    order = order_of(entry)
    hints = await ledger.hints(entry.provider, order.order_id)
    sighting: Sighting = await patiently(may_repeat_poll, seconds=LOOK_SECONDS)(provider.look_up, order, hints)
    try:
        if sighting.seen == "unknown":
            return await _leave_open(ledger, entry, owner)
        return await _write_down(ledger, entry, sighting.job_id, owner)
    except StateConflict as conflict:
        # The answer came after all, or somebody else looked as well.
        return conflict.entry


async def _leave_open(ledger: "Ledger", entry: Entry, owner: str) -> Entry:
    if entry.state is State.AMBIGUOUS:
        return entry
    return await ledger.mark_ambiguous(entry, "no answer came, and the provider cannot tell", owner=owner)


async def _write_down(ledger: "Ledger", entry: Entry, job_id: str | None, owner: str) -> Entry:
    note = "looked up: accepted" if job_id else "looked up: the provider never had it"
    log.info("settled key=%s job=%s", entry.render_key, job_id)
    if entry.state is State.AMBIGUOUS:
        to: Literal[State.SUBMITTED, State.RESERVED] = State.SUBMITTED if job_id else State.RESERVED
        return await ledger.settle(entry.id, to, owner=owner, note=note, job_id=job_id)
    if job_id:
        return await ledger.mark_submitted(entry.id, job_id, owner=owner)
    return await ledger.release(entry, note, owner=owner)


def ambiguous(entry: Entry) -> AmbiguousSubmit:
    """The error that names an ambiguous submission and the ways out."""
    return AmbiguousSubmit(
        f"nobody knows whether {entry.provider} accepted render {entry.render_key}.",
        provider=entry.provider,
        fix=f"It is looked up again by `reconcile`, and never submitted again by itself. To end the doubt, look in the "
        f"provider's console, then: studio settle {entry.render_key[:12]} --job-id ID | --resubmit | --abandon.",
    )


def order_of(entry: Entry) -> SubmitOrder:
    """The order that a ledger entry stands for."""
    order = SubmitOrder(
        render_key=entry.render_key,
        attempt=entry.attempt,
        payload=entry.payload,
        inputs=cast(dict[MediaRole, str], entry.inputs),
        sent_at=entry.created_at,
    )
    return order.model_copy(update={"notice_url": notice_url(entry.provider, order.order_id)})
