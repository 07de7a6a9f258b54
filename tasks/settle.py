"""Settle a submission that got no answer: by looking at the provider, never by guessing."""

import logging
from typing import TYPE_CHECKING, Literal, cast

from tasks.errors import AmbiguousSubmit, JobUnknown, ProviderError, ProviderRejected, RenderFailed
from tasks.http import may_repeat_poll, patiently
from tasks.ledger import Entry, State, StateConflict
from tasks.notices import notice_url
from tasks.overtaken import unless_overtaken
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

    async def is_taken(job_id: str) -> bool:
        row = await ledger.find_job(entry.provider, job_id)
        return row is not None and row.id != entry.id

    # Newest first; whoever sent a notice may have named another render's job.
    named = reversed(await ledger.hints(entry.provider, order.order_id))
    hints = [job_id for job_id in named if not await is_taken(job_id)]

    async def look() -> Sighting:
        if entry.job_id and await _knows(provider, entry.job_id):
            return Sighting(seen="accepted", job_id=entry.job_id)
        return await provider.look_up(order, hints, is_taken)

    sighting: Sighting = await patiently(may_repeat_poll, seconds=LOOK_SECONDS)(look)
    try:
        if sighting.seen == "unknown":
            return await _leave_open(ledger, entry, owner)
        return await _write_down(ledger, entry, sighting.job_id, owner)
    except StateConflict as conflict:
        # The answer came after all, or somebody else looked as well.
        if sighting.job_id and conflict.entry.job_id != sighting.job_id:
            cry_for_help(entry, sighting.job_id)
        return conflict.entry


async def _knows(provider: Provider, job_id: str) -> bool:
    """Whether the provider knows the job that the row names, which it once denied."""
    try:
        await provider.query(job_id)
    except JobUnknown:
        return False
    return True


async def _leave_open(ledger: "Ledger", entry: Entry, owner: str) -> Entry:
    if entry.state is State.AMBIGUOUS:
        return entry
    return await ledger.mark_ambiguous(entry, "no answer came, and the provider cannot tell", owner=owner)


async def _write_down(ledger: "Ledger", entry: Entry, job_id: str | None, owner: str) -> Entry:
    note = "looked up: accepted" if job_id else "looked up: the provider never had it"
    since = entry.updated_at
    if entry.state is State.AMBIGUOUS:
        to: Literal[State.SUBMITTED, State.RESERVED] = State.SUBMITTED if job_id else State.RESERVED
        settled = await ledger.settle(entry.id, to, owner=owner, note=note, job_id=job_id, since=since)
    elif job_id:
        settled = await ledger.mark_submitted(entry.id, job_id, owner=owner, since=since)
    else:
        settled = await ledger.release(entry, note, owner=owner)
    log.info("settled key=%s job=%s state=%s", entry.render_key, job_id, settled.state)
    return settled


def ambiguous(entry: Entry) -> AmbiguousSubmit:
    """The error that names an ambiguous submission and the ways out."""
    return AmbiguousSubmit(
        _doubt(entry),
        provider=entry.provider,
        job_id=entry.job_id or "",
        fix=f"It is never submitted again by itself. Where {entry.provider} can be asked, `reconcile` finds it within "
        f"minutes; if `studio settle` still lists it then, look in {entry.provider}'s console and say what you see: "
        f"studio settle {entry.short_key} --job-id ID | --resubmit | --abandon.",
    )


def ended_by_another(entry: Entry) -> ProviderError:
    """The error that says that a submission which this run cares for was ended by another one."""
    told = f"{entry.provider} render {entry.short_key} was ended by another run: {entry.reason.rstrip('.')}."
    fix = "Run the request again; that makes a new submission."
    if entry.job_id:
        return RenderFailed(told, provider=entry.provider, job_id=entry.job_id, fix=fix)
    # Nothing was accepted, so another provider may be asked.
    return ProviderRejected(told, provider=entry.provider, fix=fix)


async def denied(ledger: "Ledger", entry: Entry, error: JobUnknown, owner: str) -> AmbiguousSubmit:
    """Note that the provider does not know a job that it once gave, and the error that names the ways out."""
    await unless_overtaken(ledger.mark_denied(entry.id, error.message, owner=owner))
    return ambiguous(await ledger.get(entry.id))


def cry_for_help(entry: Entry, job_id: str) -> None:
    """Name a job that was accepted and has no place in the ledger, where nobody can overlook it."""
    log.critical(
        "accepted but not stored provider=%s job_id=%s key=%s; settle it: studio settle %s --job-id %s",
        entry.provider,
        job_id,
        entry.render_key,
        entry.short_key,
        job_id,
    )


def _doubt(entry: Entry) -> str:
    if entry.job_id:
        return f"{entry.provider} does not know job {entry.job_id} of render {entry.render_key}."
    return f"nobody knows whether {entry.provider} accepted render {entry.render_key}."


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
