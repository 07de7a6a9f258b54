"""What was left behind: which rows are found, and what each step makes of them, on a real ledger."""

import asyncio
import logging
import time
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tasks import registry
from tasks.attend import ask_for_accepted, give_up_intents, look_for_unanswered
from tasks.blocks import BlockMissing
from tasks.charges import costs_this_month, read_charges
from tasks.errors import ProviderBusy, ProviderUnavailable
from tasks.ledger import Entry, State
from tasks.ledger.opening import open_ledger
from tasks.leftovers import Leftover, Verdict, find_leftovers, work_through
from tasks.pass_report import last_state, summarise
from tasks.providers.base import JobStatus, SeenCharge, Sighting
from tasks.settings import get_settings
from tests.left_behind import RUNNING, KnowingProvider, done, key_of, leave

FAR = float("inf")


@pytest.fixture
def provider(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> KnowingProvider:
    """The only provider of the studio."""
    knowing = KnowingProvider()

    async def make() -> KnowingProvider:
        return knowing

    monkeypatch.setattr(registry, "PROVIDERS", {"local": make})
    return knowing


async def found(unattended_minutes: float | None = None) -> set[str]:
    return {row.entry.title for row in await find_leftovers.fn(unattended_minutes)}


async def latest(name: str) -> Entry:
    async with open_ledger() as ledger:
        entry = await ledger.find(key_of(name))
    assert entry is not None
    return entry


async def only(rows: Awaitable[list[Leftover]]) -> Leftover:
    (row,) = await rows
    return row


async def test_rows_of_live_runs_are_not_found(provider: KnowingProvider) -> None:
    """A row that was touched lately, or that somebody means to ask for, is left to whoever attends to it."""
    for name, state, hours in [
        ("young intent", State.RESERVED, 20),
        ("old intent", State.RESERVED, 30),
        ("fresh post", State.SUBMITTING, 0.001),
        ("dead post", State.SUBMITTING, 1),
        ("fresh job", State.SUBMITTED, 0.01),
        ("dead job", State.SUBMITTED, 1),
        ("polled job", State.SUBMITTED, 1),
        ("fresh result", State.SUCCEEDED, 0.01),
        ("dead result", State.SUCCEEDED, 1),
        ("doubt", State.AMBIGUOUS, 1),
        ("finished", State.ARCHIVED, 1),
    ]:
        await leave(name, state, hours=hours)
    async with open_ledger() as ledger:
        await ledger.set_next_poll((await latest("polled job")).id, datetime.now(UTC) + timedelta(seconds=30))

    left = {"old intent", "dead post", "dead job", "dead result", "doubt"}
    assert await found() == left
    # "Now" finds all but intents that are young and submissions that may still be answered.
    assert await found(0) == left | {"fresh job", "polled job", "fresh result"}


async def test_an_old_intent_is_given_up_at_no_cost(provider: KnowingProvider) -> None:
    """An intent that nobody follows holds a part of the budget no longer, and is free."""
    await leave("old", State.RESERVED, hours=30)

    row = await only(give_up_intents.fn(await find_leftovers.fn(), "pass", FAR))

    entry = await latest("old")
    assert (row.verdict, entry.state, entry.charged, entry.owner) == (Verdict.DONE, State.CANCELLED, False, "pass")
    assert "nothing was sent for 24 h" in entry.reason


@pytest.mark.parametrize("state", [State.SUBMITTING, State.AMBIGUOUS])
async def test_an_unanswered_submission_is_settled_by_looking(provider: KnowingProvider, state: State) -> None:
    """Found jobs go on, absent ones are reserved again, and what nobody knows names the command that settles it."""
    for name in ("accepted", "absent", "unknown"):
        await leave(name, state)
    provider.sightings = {
        key_of("accepted"): Sighting(seen="accepted", job_id="job-9"),
        key_of("absent"): Sighting(seen="absent"),
    }

    rows = await look_for_unanswered.fn(await find_leftovers.fn(), "pass", FAR)

    told = {row.entry.title: row for row in rows}
    assert {name: row.verdict for name, row in told.items()} == {
        "accepted": Verdict.WAITS,
        "absent": Verdict.DONE,
        "unknown": Verdict.PERSON,
    }
    assert (await latest("accepted")).job_id == "job-9"
    assert (await latest("absent")).state is State.RESERVED
    assert (await latest("unknown")).state is State.AMBIGUOUS
    assert f"studio settle {key_of('unknown')[:12]} --job-id ID | --resubmit | --abandon" in told["unknown"].next_step
    assert provider.orders == []


async def test_each_accepted_job_is_asked_for_once(provider: KnowingProvider) -> None:
    """Finished, failed, running, unknown and stuck jobs each end where they belong, after one question."""
    for name, hours in [("finished", 1), ("failed", 1), ("running", 1), ("unknown", 1), ("stuck", 50)]:
        await leave(name, State.SUBMITTED, hours=hours)
    provider.jobs = {
        "job-finished": done(Path("/tmp/x.mp4")).model_copy(update={"cost": Decimal(3), "cost_unit": "credits"}),
        "job-failed": JobStatus(phase="failed", word="fail", reason="no face", charged=False),
        "job-running": RUNNING,
        "job-stuck": RUNNING,
    }

    rows = await ask_for_accepted.fn(await find_leftovers.fn(), "pass", FAR)

    assert {row.entry.title: (row.verdict, row.entry.state) for row in rows} == {
        "finished": (Verdict.WAITS, State.SUCCEEDED),
        "failed": (Verdict.DONE, State.FAILED),
        "running": (Verdict.WAITS, State.SUBMITTED),
        "unknown": (Verdict.PERSON, State.AMBIGUOUS),
        "stuck": (Verdict.PERSON, State.SUBMITTED),
    }
    assert provider.queries == 5
    assert ((await latest("finished")).charge, (await latest("failed")).reason) == (Decimal(3), "no face")
    # What was asked for counts as attended until the next pass.
    assert await found() == {"unknown"}


@pytest.mark.parametrize(
    "error",
    [ProviderUnavailable("down", provider="local", sent=True), ProviderBusy("too fast", provider="local")],
)
async def test_a_silent_provider_is_left_alone_and_asked_again_later(
    provider: KnowingProvider, error: Exception
) -> None:
    """Ten jobs at a provider that is down cost a few questions, change nothing, and wait for the next pass."""
    for number in range(10):
        await leave(f"{number}", State.SUBMITTED)
        provider.jobs[f"job-{number}"] = error

    rows = await ask_for_accepted.fn(await find_leftovers.fn(), "pass", FAR)

    assert {(row.verdict, row.entry.state) for row in rows} == {(Verdict.WAITS, State.SUBMITTED)}
    assert all("the provider does not answer" in row.note.done for row in rows)
    assert provider.queries <= 6
    assert len(await found()) == 10


async def test_a_job_that_is_too_new_to_be_known_needs_nobody(provider: KnowingProvider) -> None:
    """A provider may not know a job in its first moments; the next pass asks again."""
    await leave("new", State.SUBMITTED, hours=0.01)

    row = await only(ask_for_accepted.fn(await find_leftovers.fn(0), "pass", FAR))

    assert (row.verdict, row.entry.state) == (Verdict.WAITS, State.SUBMITTED)


async def test_rows_of_another_account_are_shown_and_not_touched(provider: KnowingProvider) -> None:
    """A job at an account that this studio does not use now cannot be asked for, and a person is told why."""
    before = await leave("elsewhere", State.SUBMITTED, account="other")

    row = await only(ask_for_accepted.fn(await find_leftovers.fn(), "pass", FAR))

    assert (row.verdict, provider.queries) == (Verdict.PERSON, 0)
    assert "account other" in row.note.done
    assert f"studio settle {key_of('elsewhere')[:12]} --abandon" in row.next_step
    assert await latest("elsewhere") == before


async def test_rows_of_a_provider_that_is_not_set_up_are_shown(
    provider: KnowingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without credentials a row stays as it is, and the report says which block is missing."""

    async def missing() -> KnowingProvider:
        raise BlockMissing("there is no block local/x.", fix="Save one.")

    monkeypatch.setattr(registry, "PROVIDERS", {"local": missing})
    before = await leave("orphan", State.SUBMITTED)

    row = await only(ask_for_accepted.fn(await find_leftovers.fn(), "pass", FAR))

    assert (row.verdict, row.next_step) == (Verdict.PERSON, "Save one.")
    assert "there is no block local/x." in row.note.done
    assert await latest("orphan") == before


async def test_one_bad_row_never_stops_the_others(provider: KnowingProvider, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is logged with its traceback, fails the pass, and hinders nobody."""
    for name in ("bad", "good"):
        await leave(name, State.SUBMITTED)
    provider.jobs = {"job-bad": ZeroDivisionError("oops"), "job-good": done(Path("/tmp/x.mp4"))}

    with caplog.at_level(logging.ERROR, "studio.reconcile"):
        rows = await ask_for_accepted.fn(await find_leftovers.fn(), "pass", FAR)

    assert {row.entry.title: row.verdict for row in rows} == {"bad": Verdict.BROKEN, "good": Verdict.WAITS}
    assert (await latest("good")).state is State.SUCCEEDED
    assert any(record.exc_info for record in caplog.records)
    assert last_state([row.note for row in rows]).is_failed()


async def test_no_row_is_begun_when_the_time_is_over(provider: KnowingProvider) -> None:
    """The budget of time ends a pass early; the rows wait, unchanged, for the next one."""
    await leave("late", State.SUBMITTED)

    row = await only(ask_for_accepted.fn(await find_leftovers.fn(), "pass", time.monotonic() - 1))

    assert (row.verdict, provider.queries) == (Verdict.WAITS, 0)
    assert "no time was left" in row.note.done


async def test_a_row_that_another_run_moves_on_is_left_to_it(provider: KnowingProvider) -> None:
    """A run that submits an old intent at the very moment wins or loses it whole; nothing is overwritten."""
    await leave("contested", State.RESERVED, hours=30)
    rows = await find_leftovers.fn()
    async with open_ledger() as ledger:
        await ledger.mark_submitting(rows[0].entry.id, "live")

    row = await only(give_up_intents.fn(rows, "pass", FAR))

    assert "another run attends to it" in row.note.done
    # Nor does a later step of the pass take the fresh submission for an old one.
    provider.sightings = {key_of("contested"): Sighting(seen="absent")}
    assert await look_for_unanswered.fn([row], "pass", FAR) == [row]
    assert ((await latest("contested")).state, (await latest("contested")).owner) == (State.SUBMITTING, "live")


async def test_a_submission_made_anew_meanwhile_is_not_taken_back(provider: KnowingProvider) -> None:
    """A row that was found unanswered and is being submitted again by now is in the air: taking it back pays twice."""
    await leave("renewed", State.SUBMITTING)
    rows = await find_leftovers.fn()
    async with open_ledger() as ledger:
        await ledger.release(rows[0].entry, "never left", owner="live")
        await ledger.mark_submitting(rows[0].entry.id, "live")
    provider.sightings = {key_of("renewed"): Sighting(seen="absent")}

    row = await only(look_for_unanswered.fn(rows, "pass", FAR))

    assert "another run attends to it" in row.note.done
    assert (await latest("renewed")).state is State.SUBMITTING


async def test_a_row_that_is_moved_during_the_look_is_left_to_its_run(provider: KnowingProvider) -> None:
    """When the answer comes while the provider is being asked, the answer stays."""
    await leave("answered", State.SUCCEEDED)
    rows = await find_leftovers.fn()

    async def work(ledger: Any, row: Leftover) -> Leftover:
        await ledger.mark_archived(row.entry.id, "s3://archive/x", owner="live")
        await ledger.mark_failed(row.entry.id, "x", charged=None, expected=State.SUCCEEDED, owner="pass")
        return row

    row = await only(work_through(rows, {State.SUCCEEDED}, work, until=FAR, at_once=1))

    assert (row.verdict, row.entry.state) == (Verdict.DONE, State.ARCHIVED)


async def test_only_so_many_rows_are_worked_on_at_once(provider: KnowingProvider) -> None:
    """A thousand rows left behind are no reason to call a provider a thousand times at once."""
    for number in range(8):
        await leave(f"{number}", State.SUBMITTED)
    now, most = 0, 0

    async def work(ledger: object, row: Leftover) -> Leftover:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1
        return row

    await work_through(await find_leftovers.fn(), {State.SUBMITTED}, work, until=FAR, at_once=3)

    assert most == 3


async def test_charges_find_their_render_or_are_shown(provider: KnowingProvider) -> None:
    """Money of a known job is assigned to its row, also in parts; money of other jobs stays visible; both once."""
    await leave("known", State.SUBMITTED)
    now = datetime.now(UTC)
    provider.seen_charges = [
        SeenCharge(job_id="job-known", at=now, amount=Decimal(5), unit="credits"),
        SeenCharge(job_id="job-known", at=now, amount=Decimal(-1), unit="credits"),
        SeenCharge(job_id="job-foreign", at=now, amount=Decimal(7), unit="credits"),
    ]

    notes = [await read_charges.fn(FAR) for _ in range(2)]

    assert (await latest("known")).charge == Decimal(4)
    (line,) = await costs_this_month()
    assert (line.charged, line.unassigned, line.renders) == (Decimal(4), Decimal(7), 1)
    assert [len(found) for found in notes] == [1, 1]
    # It does not make every pass look as if something had been left behind.
    assert summarise(notes[0]) == "nothing was left behind"
    assert "7 credits" in notes[0][0].done
    assert "job-foreign" in notes[0][0].done


async def test_books_that_cannot_be_read_are_reported(
    provider: KnowingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A provider whose books do not answer is a line in the report, not the end of the pass."""

    async def down(_since: datetime) -> list[SeenCharge]:
        raise ProviderUnavailable("down", provider="local", sent=True)

    monkeypatch.setattr(provider, "charges", down)

    (note,) = await read_charges.fn(FAR)

    assert (note.what, note.verdict) == ("charges", Verdict.WAITS)


@pytest.mark.parametrize(
    ("verdicts", "name", "sentence"),
    [
        ([], "Completed", "nothing was left behind"),
        ([Verdict.DONE, Verdict.DONE, Verdict.WAITS], "Completed", "2 done, 1 left for the next pass"),
        ([Verdict.DONE, Verdict.PERSON], "Needs a person", "1 done, 1 needs a person"),
        ([Verdict.PERSON, Verdict.PERSON, Verdict.BROKEN], "Failed", "2 need a person, 1 ended in an unexpected"),
    ],
)
async def test_last_state_says_what_is_open(
    studio_home: Path, verdicts: list[Verdict], name: str, sentence: str
) -> None:
    """The list of runs alone tells whether somebody has to look."""
    entry = await leave("row", State.SUBMITTED)
    notes = [Leftover.of(entry).told(verdict, "x").note for verdict in verdicts]

    state = last_state(notes)

    assert state.name == name
    assert sentence in (state.message or "")
    assert summarise(notes) in (state.message or "")


async def test_settings_decide_how_long_is_long(provider: KnowingProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator with slow runs can raise what counts as unattended."""
    await leave("job", State.SUBMITTED, hours=1)
    monkeypatch.setattr(get_settings(), "unattended_minutes", 120)

    assert await found() == set()
    assert await found(30) == {"job"}
