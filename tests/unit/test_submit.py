"""Submit once: what the ledger and the provider's own count say after every kind of answer and crash."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tasks.delivery import Delivery
from tasks.errors import AmbiguousSubmit, ProviderBusy, ProviderRejected, ProviderUnavailable, StudioError
from tasks.ledger import BudgetExceeded, Entry, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.plan import RenderPlan
from tasks.providers.base import Estimate, Sighting, SubmitOrder
from tasks.settings import Budget, get_settings
from tasks.submit import reserve_intent, submit_once
from tests.scripted_provider import ScriptedProvider, instead_of_all

PLAN = RenderPlan(
    render_key="c" * 64,
    provider="local",
    account="local",
    endpoint="file:test",
    payload={"a": 1},
    estimate=Estimate(amount=Decimal(2), unit="credits"),
)


@pytest.fixture
def provider(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedProvider]:
    """The provider at the studio's border; submissions have a second and a half to be answered."""
    monkeypatch.setattr(get_settings(), "submit_timeout_seconds", 1.5)
    with instead_of_all(ScriptedProvider()) as scripted:
        yield scripted


async def _latest() -> Entry:
    async with open_ledger() as ledger:
        entry = await ledger.find(PLAN.render_key)
    assert entry is not None
    return entry


async def _run(owner: str = "run-1", patience: float = 0) -> Entry:
    return await submit_once.fn(await reserve_intent.fn(PLAN, Delivery(), owner), {}, owner, patience)


async def test_job_id_is_stored_before_anything_polls(provider: ScriptedProvider) -> None:
    """A submission ends with its job id in the ledger."""
    entry = await _run()

    assert (entry.state, entry.job_id) == (State.SUBMITTED, "job-1")
    assert await _latest() == entry


async def test_many_runs_of_one_render_make_one_submission(provider: ScriptedProvider) -> None:
    """Twenty runs at once: one submits, nineteen follow it."""
    entries = await asyncio.gather(*(_run(f"run-{number}") for number in range(20)))

    assert provider.orders == [f"{PLAN.render_key[:24]}-1"]
    assert {entry.job_id for entry in entries} == {"job-1"}


async def test_restarted_run_finds_its_answerless_submission_at_the_provider(provider: ScriptedProvider) -> None:
    """A run that died between the answer and the store goes on with the job that the provider knows."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        await ledger.mark_submitting(entry.id, "run-1")
    provider.sighting = Sighting(seen="accepted", job_id="job-0")

    resumed = await _run()

    assert (resumed.state, resumed.job_id) == (State.SUBMITTED, "job-0")
    assert provider.orders == []


async def test_restarted_run_submits_when_the_provider_never_had_it(provider: ScriptedProvider) -> None:
    """A run that died before its order left submits it, once."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        await ledger.mark_submitting(entry.id, "run-1")

    assert (await _run()).job_id == "job-1"
    assert len(provider.orders) == 1


async def test_nobody_knows_means_a_person_and_no_second_submission(provider: ScriptedProvider) -> None:
    """Where the provider cannot be asked, the render waits as ambiguous, however often it is run again."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        await ledger.mark_submitting(entry.id, "run-1")
    provider.sighting = Sighting(seen="unknown")

    for _ in range(3):
        with pytest.raises(AmbiguousSubmit, match=r"studio settle c{12}"):
            await _run()

    assert (await _latest()).state is State.AMBIGUOUS
    assert provider.orders == []


async def test_lost_answer_is_ambiguous_until_it_is_found(provider: ScriptedProvider) -> None:
    """No answer is written down as such; the next run finds the job and goes on with it."""
    provider.submit_errors = [ProviderUnavailable("no answer", provider="local", sent=True)]
    with pytest.raises(AmbiguousSubmit):
        await _run()
    assert (await _latest()).state is State.AMBIGUOUS
    provider.sighting = Sighting(seen="accepted", job_id="job-9")

    assert (await _run()).job_id == "job-9"
    assert provider.orders == []


@pytest.mark.parametrize("owner", ["run-1", "run-2"])
async def test_nobody_looks_before_the_time_of_a_submission_is_over(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    """While a submission may still be in the air, neither its own restarted run nor another takes it back."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        await ledger.mark_submitting(entry.id, "run-1")
    monkeypatch.setattr(get_settings(), "submit_timeout_seconds", 3600)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await _run(owner)

    assert (await _latest()).state is State.SUBMITTING
    assert provider.orders == []


async def test_provider_that_never_answers_is_ambiguous(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submission that hangs is given up within half its time, before anybody else may look."""

    async def hang(_order: object) -> str:
        await asyncio.sleep(3600)
        return "never"

    monkeypatch.setattr(provider, "submit", hang)

    with pytest.raises(AmbiguousSubmit):
        await _run()

    assert (await _latest()).state is State.AMBIGUOUS


async def test_dead_owner_is_waited_for_only_so_long(provider: ScriptedProvider) -> None:
    """Another run's submission without an answer is looked up after its time."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "dead")
    async with open_ledger() as ledger:
        await ledger.mark_submitting(entry.id, "dead")
    provider.sighting = Sighting(seen="accepted", job_id="job-0")

    assert (await _run("alive")).job_id == "job-0"


async def test_busy_provider_leaves_the_intent_open(provider: ScriptedProvider) -> None:
    """Not accepted now is not failed: the same request may simply be run again."""
    provider.submit_errors = [ProviderBusy("queue full", provider="local")]
    with pytest.raises(ProviderBusy):
        await _run()
    assert (await _latest()).state is State.RESERVED

    assert (await _run()).job_id == "job-1"


async def test_refused_order_is_failed_and_free_and_may_be_tried_anew(provider: ScriptedProvider) -> None:
    """A refusal ends the attempt without a charge; the next run is a new attempt under a new order id."""
    provider.submit_errors = [ProviderRejected("bad face", provider="local")]
    with pytest.raises(ProviderRejected):
        await _run()
    failed = await _latest()
    assert (failed.state, failed.charged) == (State.FAILED, False)

    assert (await _run()).attempt == 2
    assert provider.orders == [f"{PLAN.render_key[:24]}-2"]


async def test_resume_elsewhere_is_refused(provider: ScriptedProvider) -> None:
    """A render under way at one account is not continued, or paid again, at another."""
    await _run()

    with pytest.raises(StudioError, match="account other"):
        await reserve_intent.fn(PLAN.model_copy(update={"account": "other"}), Delivery(), "run-2")


async def test_failed_store_says_the_job_id(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the ledger goes away right after acceptance, the run fails loudly with the job id in its log."""

    async def away(*_: object, **__: object) -> Entry:
        raise StudioError("the ledger is gone")

    monkeypatch.setattr(Ledger, "mark_submitted", away)
    with pytest.raises(AmbiguousSubmit, match=r"job-1.*the ledger is gone.*--job-id job-1"):
        await _run()

    assert "job_id=job-1" in caplog.text
    assert (await _latest()).state is State.SUBMITTING


async def test_call_that_never_left_is_made_again(provider: ScriptedProvider) -> None:
    """A refused connection is no doubt: the same run offers the render again, and it is accepted once."""
    unreachable = [ProviderUnavailable("refused", provider="local", sent=False) for _ in range(2)]
    provider.submit_errors = [*unreachable]

    assert (await _run(patience=60)).job_id == "job-1"
    assert len(provider.orders) == 1


async def test_late_answer_settles_what_was_given_up(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that arrives after somebody has called the submission ambiguous still brings its job id home."""
    accept = provider.submit

    async def answer_late(order: SubmitOrder) -> str:
        job_id = await accept(order)
        async with open_ledger() as ledger:
            await ledger.mark_ambiguous(await _latest(), "another run lost patience")
        return job_id

    monkeypatch.setattr(provider, "submit", answer_late)

    assert ((await _run()).state, (await _latest()).job_id) == (State.SUBMITTED, "job-1")


async def test_process_that_slept_does_not_use_its_old_right(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was stopped between taking the right and the call sends nothing: others may have settled it."""
    take = Ledger.mark_submitting

    async def take_and_sleep(self: Ledger, *args: object, **kwargs: object) -> Entry:
        entry = await take(self, *args, **kwargs)  # type: ignore[arg-type]
        await asyncio.sleep(0.5)
        return entry

    monkeypatch.setattr(Ledger, "mark_submitting", take_and_sleep)
    with pytest.raises(ProviderUnavailable, match="is not used any more"):
        await _run()

    assert provider.orders == []
    assert (await _latest()).state is State.RESERVED


async def test_open_circuit_sends_nothing_and_says_until_when(provider: ScriptedProvider) -> None:
    """A provider in trouble five times in a row is left alone; the intent stays, nothing is ambiguous."""
    async with open_ledger() as ledger:
        for _ in range(5):
            breaker = await ledger.note_trouble("local", "file:test", "it burns.")
    assert breaker.is_open(datetime.now(UTC))

    with pytest.raises(ProviderBusy, match="it burns"):
        await _run()

    assert provider.orders == []
    assert (await _latest()).state is State.RESERVED


async def test_accepted_render_closes_the_circuit(provider: ScriptedProvider) -> None:
    """One success makes earlier troubles forgotten."""
    async with open_ledger() as ledger:
        for _ in range(4):
            await ledger.note_trouble("local", "file:test", "it burns.")

    await _run()

    async with open_ledger() as ledger:
        assert await ledger.breaker("local", "file:test") is None


async def test_cap_is_kept_before_anything_is_sent(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A render that would break the month's budget is refused with the figures; there is no row and no order."""
    monkeypatch.setattr(get_settings(), "budgets", {"local": Budget(month=Decimal("1.5"))})

    with pytest.raises(BudgetExceeded, match=r"1\.5 credits this month.*would cost 2 credits"):
        await _run()

    async with open_ledger() as ledger:
        assert await ledger.find(PLAN.render_key) is None
    assert provider.orders == []


async def test_hints_of_notices_reach_the_look_up(provider: ScriptedProvider) -> None:
    """A job id that a notice named for the order is handed to the provider's look-up."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        await ledger.mark_submitting(entry.id, "run-1")
        await ledger.note_hint("local", f"{PLAN.render_key[:24]}-1", "job-7")
    provider.sighting = Sighting(seen="accepted", job_id="job-7")

    assert (await _run()).job_id == "job-7"
    assert provider.hints_seen == [["job-7"]]


async def test_late_release_does_not_take_back_a_later_submission(provider: ScriptedProvider) -> None:
    """Whoever gives back a right that was taken since by somebody else is refused: that submission is in the air."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        first = await ledger.mark_submitting(entry.id, "run-1")
        await ledger.release(first, "looked up: the provider never had it", owner="looker")
        await ledger.mark_submitting(entry.id, "run-2")

        with pytest.raises(StateConflict):
            await ledger.release(first, "looked up: the provider never had it", owner="late looker")

    assert (await _latest()).owner == "run-2"


async def test_intent_that_another_run_ended_is_told(provider: ScriptedProvider) -> None:
    """A run that follows a submission which ends meanwhile says so, with the reason."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    async with open_ledger() as ledger:
        await ledger.mark_cancelled(entry.id, "given up", charged=False, expected=State.RESERVED)

    with pytest.raises(ProviderRejected, match="given up"):
        await submit_once.fn(entry, {}, "run-2", 0)


async def test_failed_look_up_leaves_the_doubt(provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that does not answer the look-up either has not refused: the doubt stays, for a person to read."""
    provider.submit_errors = [ProviderUnavailable("no answer", provider="local", sent=True)]
    with pytest.raises(AmbiguousSubmit):
        await _run()

    async def away(*_: object) -> Sighting:
        raise ProviderRejected("wrong key", provider="local")

    monkeypatch.setattr(provider, "look_up", away)
    with pytest.raises(AmbiguousSubmit):
        await _run()

    assert (await _latest()).state is State.AMBIGUOUS


async def test_follower_sends_what_the_first_run_uploaded(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that only followed has uploaded nothing; when the right comes to it, it sends the inputs that are there."""
    entry = await reserve_intent.fn(PLAN, Delivery(), "run-1")
    provider.submit_errors = [ProviderBusy("queue full", provider="local")]
    with pytest.raises(ProviderBusy):
        await submit_once.fn(entry, {"avatar": "file-1"}, "run-1", 0)
    sent: list[SubmitOrder] = []
    accept = provider.submit

    async def remember(order: SubmitOrder) -> str:
        sent.append(order)
        return await accept(order)

    monkeypatch.setattr(provider, "submit", remember)
    await submit_once.fn(entry, {}, "run-2", 0)

    assert [order.inputs for order in sent] == [{"avatar": "file-1"}]


async def test_one_render_tries_a_provider_that_was_in_trouble(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the circuit's time is over one run sends; the others wait for what comes of it."""
    async with open_ledger() as ledger:
        monkeypatch.setattr(ledger, "_clock", lambda: datetime.now(UTC) - timedelta(minutes=5))
        for _ in range(5):
            await ledger.note_trouble("local", "file:test", "it burned.")
        monkeypatch.undo()
    with instead_of_all(provider):
        plans = [PLAN.model_copy(update={"render_key": f"{number:064x}"}) for number in range(8)]
        entries = [await reserve_intent.fn(plan, Delivery(), "run") for plan in plans]
        ended = await asyncio.gather(
            *(submit_once.fn(entry, {}, "run", 0) for entry in entries), return_exceptions=True
        )

    assert sum(isinstance(end, ProviderBusy) for end in ended) == len(plans) - len(provider.orders)
    assert len(provider.orders) < len(plans)


async def test_ledger_that_loses_the_answer_names_the_way_out(
    provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A late answer for a row that somebody has given up is money without a place: told with its job id."""
    accept = provider.submit

    async def answer_too_late(order: SubmitOrder) -> str:
        job_id = await accept(order)
        async with open_ledger() as ledger:
            row = await ledger.mark_ambiguous(await _latest(), "lost patience")
            await ledger.settle(row.id, State.CANCELLED, owner="a person", note="abandoned")
        return job_id

    monkeypatch.setattr(provider, "submit", answer_too_late)
    with pytest.raises(AmbiguousSubmit, match="as job job-1"):
        await _run()

    assert "job_id=job-1" in caplog.text
