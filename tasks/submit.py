"""Submit once: the only way to a provider's paid call, and always through the ledger.

`reserved` rows may be submitted by whoever wins the change to `submitting`. A `submitting` row without an answer is
settled by looking at the provider, never by guessing and never by a second submission.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from prefect import task

from tasks.errors import AmbiguousSubmit, LedgerConflict, ProviderBusy, ProviderRejected, StillRunning, StudioError
from tasks.ledger import Entry, Intent, State
from tasks.ledger.opening import open_ledger
from tasks.plan import RenderPlan
from tasks.providers.base import MediaRole, MediaSet, Provider, SubmitOrder
from tasks.providers.registry import get_provider
from tasks.settings import get_settings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

log = logging.getLogger("studio.submit")


@task(name="reserve", task_run_name="reserve")
async def reserve_intent(plan: RenderPlan, owner: str) -> Entry:
    """Write down the intent to pay for this render, or find the one that is already there.

    Args:
        plan: what will be rendered.
        owner: id of the flow run, for people who read the ledger.

    Raises:
        StudioError: an open submission exists under another account or endpoint.
    """
    intent = Intent(
        render_key=plan.render_key,
        provider=plan.provider,
        account=plan.account,
        endpoint=plan.endpoint,
        payload=plan.payload,
        estimate=plan.estimate.amount,
        unit=plan.estimate.unit,
        title=plan.title,
        speech_seconds=plan.speech_seconds,
    )
    async with open_ledger() as ledger:
        entry, created = await ledger.reserve(intent, owner=owner)
        if entry.state is State.ARCHIVED:
            # Only called when the archive does not have it; the provider may still hold the result.
            log.warning("archived but no longer there key=%s location=%s", entry.render_key, entry.location)
            entry = await ledger.mark_archive_lost(entry.id, "no longer in the archive", owner=owner)
    _refuse_elsewhere(plan, entry)
    log.info("intent key=%s attempt=%s state=%s new=%s", entry.render_key, entry.attempt, entry.state, created)
    return entry


@task(name="upload", task_run_name="upload")
async def upload_inputs(plan: RenderPlan, media: MediaSet) -> dict[MediaRole, str]:
    """Bring the media to the provider; content-addressed there, so a repeat is cheap."""
    provider = get_provider(plan.provider)
    return {role: await provider.upload(item) for role, item in media.items()}


@task(name="submit", task_run_name="submit")
async def submit_once(entry: Entry, inputs: dict[MediaRole, str], owner: str) -> Entry:
    """Submit a reserved render, or follow the submission that somebody else made for the same key.

    Returns:
        The ledger entry, submitted or further.

    Raises:
        ProviderRejected: the provider refused for good; nothing was accepted.
        ProviderBusy: not accepted now; the intent stays reserved and the same request may be run again.
        AmbiguousSubmit: nobody can tell whether it was accepted; a person must settle it.
    """
    provider = get_provider(entry.provider)
    async with open_ledger() as ledger:
        while entry.state in {State.RESERVED, State.SUBMITTING, State.AMBIGUOUS}:
            if entry.state is State.RESERVED:
                entry = await _try_send(ledger, provider, entry, inputs, owner)
            else:
                entry = await _await_answer(ledger, provider, entry, owner)
    return entry


async def _try_send(
    ledger: "Ledger", provider: Provider, entry: Entry, inputs: dict[MediaRole, str], owner: str
) -> Entry:
    try:
        entry = await ledger.mark_submitting(entry.id, owner, inputs=cast(dict[str, str], inputs))
    except LedgerConflict:
        return await ledger.get(entry.id)
    try:
        async with asyncio.timeout(get_settings().submit_timeout_seconds / 2):
            job_id = await provider.submit(order_of(entry))
    except ProviderRejected as error:
        await ledger.mark_failed(entry.id, str(error), charged=False, expected=State.SUBMITTING, owner=owner)
        raise
    except ProviderBusy as error:
        await ledger.release(entry.id, str(error), owner=owner)
        raise
    except (AmbiguousSubmit, TimeoutError) as error:
        note = str(error) or "the provider did not answer in time"
        await ledger.mark_ambiguous(entry.id, note, owner=owner)
        raise _ambiguous(entry) from error
    try:
        return await ledger.mark_submitted(entry.id, job_id, owner=owner)
    except Exception:
        log.critical(
            "accepted but not stored provider=%s job_id=%s key=%s; settle it by hand with this job id",
            entry.provider,
            job_id,
            entry.render_key,
        )
        raise


async def _await_answer(ledger: "Ledger", provider: Provider, entry: Entry, owner: str) -> Entry:
    """Wait for the outcome of a submission under way, and settle it by looking when its time is over.

    The time counts from the moment the right to submit was taken. Nobody is exempt: a run that was started again
    cannot know whether its earlier process is dead or only silent.
    """
    if entry.state is State.SUBMITTING:
        elapsed = (datetime.now(UTC) - entry.updated_at).total_seconds()
        timeout = get_settings().submit_timeout_seconds
        # A clock that was set back must not make the wait longer.
        left = min(timeout, timeout - elapsed)
        try:
            return await ledger.wait_change(entry.id, State.SUBMITTING, deadline=max(0, left))
        except StillRunning:
            log.warning("no answer in time, looking key=%s owner=%s", entry.render_key, entry.owner)
    sighting = await provider.look_up(order_of(entry))
    if sighting.seen == "unknown":
        if entry.state is State.SUBMITTING:
            await ledger.mark_ambiguous(entry.id, "no answer came, and the provider cannot tell", owner=owner)
        raise _ambiguous(entry)
    return await _settle(ledger, entry, sighting.job_id, owner)


async def _settle(ledger: "Ledger", entry: Entry, job_id: str | None, owner: str) -> Entry:
    """Write down what the look-up found: the job, or that the provider never had it."""
    note = "looked up: accepted" if job_id else "looked up: the provider never had it"
    if entry.state is State.AMBIGUOUS:
        to: Literal[State.SUBMITTED, State.RESERVED] = State.SUBMITTED if job_id else State.RESERVED
        return await ledger.settle(entry.id, to, owner=owner, note=note, job_id=job_id)
    if job_id:
        return await ledger.mark_submitted(entry.id, job_id, owner=owner)
    return await ledger.release(entry.id, note, owner=owner)


def _ambiguous(entry: Entry) -> AmbiguousSubmit:
    return AmbiguousSubmit(
        f"nobody knows whether {entry.provider} accepted render {entry.render_key}.",
        provider=entry.provider,
        fix="Run the request again to look once more, or look in the provider's console and settle it in the ledger; "
        "it is never submitted again by itself.",
    )


def order_of(entry: Entry) -> SubmitOrder:
    """The order that a ledger entry stands for."""
    return SubmitOrder(
        render_key=entry.render_key,
        attempt=entry.attempt,
        payload=entry.payload,
        inputs=cast(dict[MediaRole, str], entry.inputs),
    )


def _refuse_elsewhere(plan: RenderPlan, entry: Entry) -> None:
    if (entry.account, entry.endpoint) != (plan.account, plan.endpoint):
        raise StudioError(
            f"render {entry.render_key} is under way at {entry.endpoint} (account {entry.account}), "
            f"but this studio now uses {plan.endpoint} (account {plan.account}).",
            fix="Switch back to that account and endpoint to finish it, or cancel it in the ledger.",
        )
