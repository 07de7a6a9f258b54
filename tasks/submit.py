"""Submit once: the only way to a provider's paid call, and always through the ledger.

`reserved` rows may be submitted by whoever wins the change to `submitting`. A `submitting` row without an answer is
settled by looking at the provider, never by guessing and never by a second submission.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from tasks.archive import find_in_store
from tasks.blocks import load_store
from tasks.circuit import NEXT_TRY_SECONDS, pass_circuit
from tasks.delivery import Delivery
from tasks.errors import (
    AmbiguousSubmit,
    LedgerConflict,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    StillRunning,
    StudioError,
)
from tasks.http import may_repeat_submit, patiently
from tasks.ledger import AtCapacity, Entry, Intent, Limits, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.overtaken import unless_overtaken
from tasks.plan import RenderPlan
from tasks.providers.base import MediaRole, MediaSet, Provider
from tasks.registry import get_provider, provider_of, refuse_elsewhere
from tasks.settings import get_settings
from tasks.settle import ambiguous, cry_for_help, ended_by_another, look_and_settle, order_of
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

log = logging.getLogger("studio.submit")


@step("reserve")
async def reserve_intent(plan: RenderPlan, delivery: Delivery, owner: str) -> Entry:
    """Write down the intent to pay for this render, within the budget, or find the one that is already there.

    Args:
        plan: what will be rendered.
        delivery: how the video will be handed out, kept for whoever finishes it.
        owner: id of the flow run, for people who read the ledger.

    Raises:
        BudgetExceeded: a cap would be broken; nothing was reserved.
        StudioError: an open submission exists under another account or endpoint.
    """
    intent = Intent(
        render_key=plan.render_key,
        provider=plan.provider,
        account=plan.account,
        endpoint=plan.endpoint,
        mode=plan.mode,
        payload=plan.payload,
        estimate=plan.estimate.amount,
        unit=plan.estimate.unit or None,
        title=plan.title,
        speech_seconds=plan.speech_seconds,
        work=plan.work,
        context=delivery.model_dump(mode="json"),
    )
    budget = get_settings().budgets.get(plan.provider)
    limits = Limits(month=budget.month, run=budget.run) if budget else Limits()
    async with open_ledger() as ledger:
        entry, created = await ledger.reserve(intent, owner=owner, limits=limits)
        if entry.state is State.ARCHIVED and not await _is_in_archive(entry):
            # The provider may still hold the result.
            log.warning("archived but no longer there key=%s location=%s", entry.render_key, entry.location)
            entry = await ledger.mark_archive_lost(entry.id, "no longer in the archive", owner=owner)
    refuse_elsewhere(entry, plan.account, plan.endpoint)
    log.info("intent key=%s attempt=%s state=%s new=%s", entry.render_key, entry.attempt, entry.state, created)
    return entry


async def _is_in_archive(entry: Entry) -> bool:
    """Look again: another run may have archived it since this one looked."""
    store = await load_store(get_settings().storage_block)
    return await find_in_store(store, entry.render_key) is not None


@step("upload")
async def upload_inputs(plan: RenderPlan, media: MediaSet) -> dict[MediaRole, str]:
    """Bring the media to where the provider reads them."""
    provider = await get_provider(plan.provider)
    return {role: await provider.upload(item) for role, item in media.items()}


@step("submit")
async def submit_once(
    entry: Entry, inputs: dict[MediaRole, str], owner: str, patience_seconds: float | None = None
) -> Entry:
    """Submit a reserved render, or follow the submission that somebody else made for the same key.

    Args:
        entry: the intent.
        inputs: the provider's references to the media.
        owner: id of the flow run.
        patience_seconds: how long to offer it again while the provider does not accept; None takes the setting.

    Returns:
        The ledger entry, submitted or further.

    Raises:
        ProviderRejected: the provider refused for good; nothing was accepted.
        ProviderBusy: not accepted now; the intent stays reserved and the same request may be run again.
        ProviderUnavailable: it could not be reached; the intent stays reserved.
        AmbiguousSubmit: nobody can tell whether it was accepted; a person must settle it.
    """
    provider = await provider_of(entry)
    patience = get_settings().busy_patience_seconds if patience_seconds is None else patience_seconds
    async with open_ledger() as ledger:

        async def offer() -> Entry:
            current = await ledger.get(entry.id)
            while current.state in {State.RESERVED, State.SUBMITTING, State.AMBIGUOUS}:
                if current.state is State.RESERVED:
                    current = await _try_send(ledger, provider, current, inputs, owner)
                else:
                    current = await _await_answer(ledger, provider, current, owner)
            if not current.is_open:
                raise ended_by_another(current)
            return current

        # Between two tries the intent is only reserved, so a crash while waiting leaves no doubt behind.
        return await patiently(may_repeat_submit, seconds=patience, first=2)(offer)


async def _try_send(
    ledger: "Ledger", provider: Provider, entry: Entry, inputs: dict[MediaRole, str], owner: str
) -> Entry:
    """One try at the paid call; what it leaves in the ledger is what is known afterwards."""
    is_trial = await pass_circuit(ledger, provider)
    try:
        # A run that only followed has no inputs; those of the run that uploaded stay.
        given = cast(dict[str, str], inputs) or None
        most = get_settings().concurrency.get(provider.name)
        entry = await ledger.mark_submitting(entry.id, owner, inputs=given, most=most)
    except LedgerConflict:
        return await ledger.get(entry.id)
    except AtCapacity as full:
        raise ProviderBusy(full.message, provider=provider.name, retry_after=NEXT_TRY_SECONDS, fix=full.fix) from full
    try:
        await _make_sure_of_the_right(ledger, entry)
    except BaseException:
        # Surely nothing has left yet, whatever went wrong.
        await unless_overtaken(ledger.release(entry, "nothing was sent", owner=owner))
        raise
    try:
        async with asyncio.timeout(get_settings().submit_timeout_seconds / 2):
            job_id = await provider.submit(order_of(entry))
    except ProviderRejected as error:
        ended = ledger.mark_failed(
            entry.id,
            str(error),
            charged=False,
            expected=State.SUBMITTING,
            owner=owner,
            since=entry.updated_at,
        )
        await unless_overtaken(ended)
        raise
    except ProviderBusy as error:
        await unless_overtaken(ledger.release(entry, str(error), owner=owner))
        raise
    except (ProviderUnavailable, TimeoutError) as error:
        return await _without_answer(ledger, provider, entry, error, owner=owner, is_trial=is_trial)
    entry = await _store(ledger, entry, job_id, owner)
    await ledger.note_health(provider.name, provider.endpoint)
    return entry


async def _without_answer(
    ledger: "Ledger",
    provider: Provider,
    entry: Entry,
    error: ProviderUnavailable | TimeoutError,
    *,
    owner: str,
    is_trial: bool,
) -> Entry:
    """Write down the doubt, or that there is none; the row first, since it decides about money."""
    note = error.message if isinstance(error, ProviderUnavailable) else "the provider did not answer in time."
    surely_not_sent = isinstance(error, ProviderUnavailable) and not error.sent
    change = ledger.release if surely_not_sent else ledger.mark_ambiguous
    overtaken = await unless_overtaken(change(entry, note, owner=owner))
    await ledger.note_trouble(provider.name, provider.endpoint, note, is_trial=is_trial)
    if surely_not_sent:
        raise error
    if overtaken is not None:
        # Somebody has looked meanwhile and knows more.
        return overtaken
    raise ambiguous(entry) from error


async def _make_sure_of_the_right(ledger: "Ledger", entry: Entry) -> None:
    """Look once more, directly before the call: this process may have been asleep since it took the right."""
    now = await ledger.get(entry.id)
    age = (datetime.now(UTC) - entry.updated_at).total_seconds()
    is_mine = (now.state, now.updated_at) == (State.SUBMITTING, entry.updated_at)
    if not is_mine or age > get_settings().submit_timeout_seconds / 4:
        raise ProviderUnavailable(
            f"the right to submit {entry.short_key} was taken {age:.0f} s ago and is not used any more.",
            provider=entry.provider,
            sent=False,
        )


async def _store(ledger: "Ledger", entry: Entry, job_id: str, owner: str) -> Entry:
    """Write down the job id; whatever hinders that is told loudly, with the id.

    Raises:
        AmbiguousSubmit: accepted, and the ledger could not take it; names the command that settles it.
    """
    try:
        try:
            return await ledger.mark_submitted(entry.id, job_id, owner=owner, since=entry.updated_at)
        except StateConflict as conflict:
            if conflict.actual is not State.AMBIGUOUS:
                raise
            note = "the answer came late"
            return await ledger.settle(entry.id, State.SUBMITTED, owner=owner, note=note, job_id=job_id)
    except asyncio.CancelledError:
        # The ledger finishes what it has begun; only whether it did is not known here.
        log.warning("cancelled while storing provider=%s job_id=%s key=%s", entry.provider, job_id, entry.render_key)
        raise
    except StudioError as error:
        cry_for_help(entry, job_id)
        raise AmbiguousSubmit(
            f"{entry.provider} accepted render {entry.short_key} as job {job_id}, and it could not be stored: "
            f"{error.message}",
            provider=entry.provider,
            job_id=job_id,
            fix=f"Go on with it: studio settle {entry.short_key} --job-id {job_id}.",
        ) from error
    except BaseException:
        cry_for_help(entry, job_id)
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
            answered = await ledger.wait_change(entry.id, State.SUBMITTING, deadline=max(0, left))
        except StillRunning:
            log.warning("no answer in time, looking key=%s owner=%s", entry.render_key, entry.owner)
        else:
            if answered.state is State.RESERVED:
                # The provider has just told another run to wait; the right must not go round without a pause.
                raise ProviderBusy(
                    f"{entry.provider} did not accept it: {answered.reason}",
                    provider=entry.provider,
                    retry_after=NEXT_TRY_SECONDS,
                    fix="Run the same request again later.",
                )
            return answered
    try:
        settled = await look_and_settle(ledger, provider, entry, owner)
    except ProviderError as error:
        # Nobody could look: the doubt stays, and no other provider may be asked.
        raise ambiguous(entry) from error
    if settled.state is State.AMBIGUOUS:
        raise ambiguous(settled)
    return settled
