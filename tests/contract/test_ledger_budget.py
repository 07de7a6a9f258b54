"""Caps on what a month and a run may cost, and the way of older tables to these, on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from tasks.ledger import BudgetExceeded, Charge, Entry, Intent, Limits, PollPlan, State
from tasks.ledger import upgrade as upgrading
from tasks.ledger.database import Database
from tasks.ledger.store import Ledger
from tests.contract.test_ledger import (
    an_intent,
    brought_to,
    ledger,
    outputs,
    postgres,
    start_worker,
    url,
)

JANUARY = datetime(2026, 1, 20, tzinfo=UTC)
PAID = {"provider": "topview", "account": "team", "estimate": Decimal(10), "unit": "credits"}


def a_paid(**more: Any) -> Intent:
    return an_intent(**(PAID | more))


def a_charge(row: Entry, amount: Decimal) -> Charge:
    return Charge(
        provider=row.provider,
        account=row.account,
        reference=f"log-{row.id}",
        at=row.updated_at,
        amount=amount,
        unit="credits",
        submission_id=row.id,
    )


async def spend(ledger: Ledger, limits: Limits, *, owner: str = "run-1", **more: Any) -> Entry:
    entry, created = await ledger.reserve(a_paid(**more), owner=owner, limits=limits)
    assert created
    return entry


async def test_the_month_is_capped_and_the_refusal_tells_the_figures(ledger: Ledger) -> None:
    """A cap is reached exactly and not passed; the refusal has the figures and leaves no row."""
    cap = Limits(month=Decimal(20))
    await spend(ledger, cap)
    await spend(ledger, cap, owner="run-2")
    intent = a_paid(estimate=Decimal("0.5"))
    with pytest.raises(
        BudgetExceeded, match=r"at most 20 credits this month: 20 credits are committed.*0\.5"
    ) as refused:
        await ledger.reserve(intent, owner="run-3", limits=cap)

    assert (refused.value.cap, refused.value.limit, refused.value.committed) == ("month", 20, 20)
    assert (refused.value.estimate, refused.value.unit) == (Decimal("0.5"), "credits")
    assert "STUDIO_BUDGETS" in refused.value.fix
    assert await ledger.find(intent.render_key) is None
    assert await ledger.history(intent.render_key) == []


async def test_other_accounts_providers_and_units_have_caps_of_their_own(ledger: Ledger) -> None:
    """What another account, another provider or another unit costs does not count."""
    cap = Limits(month=Decimal(10), run=Decimal(10))
    await spend(ledger, cap)
    for other in ({"account": "other"}, {"provider": "mingyan"}, {"unit": "CNY"}):
        await spend(ledger, cap, **other)
    with pytest.raises(BudgetExceeded):
        await spend(ledger, cap)


async def test_a_run_is_capped_by_what_it_reserved_itself(ledger: Ledger) -> None:
    """One run's cap leaves the others alone."""
    cap = Limits(run=Decimal(15))
    await spend(ledger, cap)
    await spend(ledger, cap, owner="run-2")
    with pytest.raises(BudgetExceeded, match="in this run") as refused:
        await spend(ledger, cap)
    assert refused.value.cap == "run"


async def test_what_is_known_to_be_free_again_does_not_count(ledger: Ledger) -> None:
    """A charge replaces its estimate; ended rows count unless they surely cost nothing."""
    cap = Limits(month=Decimal(30), run=Decimal(30))
    cheap = await brought_to(ledger, State.SUBMITTED, **PAID)
    await ledger.record_charge(a_charge(cheap, Decimal(4)))
    await ledger.mark_succeeded(cheap.id, {})
    refunded = await brought_to(ledger, State.SUBMITTED, **PAID)
    await ledger.mark_failed(refunded.id, "no face", charged=False, expected=State.SUBMITTED)
    unclear = await brought_to(ledger, State.SUBMITTED, **PAID)
    await ledger.mark_failed(unclear.id, "no face", charged=None, expected=State.SUBMITTED)
    given_up = await brought_to(ledger, State.RESERVED, **PAID)
    await ledger.mark_cancelled(given_up.id, "no", charged=None, expected=State.RESERVED)

    assert [line.amount for line in await ledger.committed("topview")] == [Decimal(14)]
    await spend(ledger, cap, estimate=Decimal(16))
    with pytest.raises(BudgetExceeded):
        await spend(ledger, cap, estimate=Decimal("0.000001"))


async def test_giving_up_takes_no_known_charge_back(ledger: Ledger) -> None:
    """A person who gives up a result without knowing its price leaves the price that the provider named."""
    row = await brought_to(ledger, State.SUBMITTED, **PAID)
    await ledger.record_charge(a_charge(row, Decimal(4)))
    row = await ledger.mark_succeeded(row.id, {})
    row = await ledger.mark_cancelled(row.id, "never decodes", charged=None, expected=State.SUCCEEDED)
    assert (row.charged, row.charge) == (True, Decimal(4))
    lost = await brought_to(ledger, State.AMBIGUOUS, **PAID)
    lost = await ledger.settle(lost.id, State.CANCELLED, owner="p", note="not there", charged=False)
    assert lost.charged is False
    assert [line.amount for line in await ledger.committed("topview")] == [Decimal(4)]


async def test_a_held_key_is_returned_whatever_the_caps_say(ledger: Ledger) -> None:
    """A render that is under way costs nothing more, so no cap keeps anybody from following it."""
    intent = a_paid()
    row, _ = await ledger.reserve(intent, owner="run-1")
    held, created = await ledger.reserve(intent, owner="run-2", limits=Limits(month=Decimal(0), run=Decimal(0)))
    assert (held.id, created) == (row.id, False)


async def test_an_unknown_price_is_refused_under_a_cap_and_no_price_is_not(ledger: Ledger) -> None:
    """A cap that could not be kept refuses; what surely costs nothing passes even a used-up cap."""
    with pytest.raises(BudgetExceeded, match="nobody knows") as refused:
        await spend(ledger, Limits(run=Decimal(1000)), estimate=None, unit=None)
    assert "STUDIO_PRICES" in refused.value.fix
    await spend(ledger, Limits(), estimate=None, unit=None)
    await spend(ledger, Limits(month=Decimal(0)), estimate=Decimal(0))


async def test_a_month_ends_and_what_is_still_to_be_paid_does_not(url: str) -> None:
    """A new month forgets what was paid in the old one, but not what was only reserved; strays count in theirs."""
    now, cap = JANUARY, Limits(month=Decimal(30))
    async with await Ledger.open(url, clock=lambda: now) as ledger:
        await brought_to(ledger, State.SUBMITTED, **PAID)
        waiting = await spend(ledger, cap)
        stray = Charge(
            provider="topview", account="team", reference="log-1", at=now, amount=Decimal(10), unit="credits"
        )
        await ledger.record_charge(stray)
        with pytest.raises(BudgetExceeded):
            await spend(ledger, cap, estimate=Decimal("0.1"))
        now = JANUARY + timedelta(days=12)
        assert [line.amount for line in await ledger.committed("topview")] == [Decimal(10)]
        await ledger.mark_submitting(waiting.id, "run-1")
        await ledger.mark_submitted(waiting.id, "job-late")
        assert [line.amount for line in await ledger.committed("topview")] == [Decimal(10)]
        await spend(ledger, cap, estimate=Decimal(20))
        with pytest.raises(BudgetExceeded):
            await spend(ledger, cap, estimate=Decimal("0.1"))


@pytest.mark.parametrize("cap", ["month", "run"])
async def test_racing_processes_never_pass_a_cap(url: str, cap: str) -> None:
    """Of 200 reservations at once from 4 processes exactly as many succeed as the cap has room for."""
    limits = Limits.model_validate({cap: "25"}).model_dump_json()
    said = outputs([start_worker("spend", url, str(50 * number + 1), "50", limits) for number in range(4)])

    assert len(said) == 200
    assert said.count("reserved") == 22
    assert said.count(f"refused {cap}") == 178


@pytest.fixture(params=["0001", "0002", "0003"])
async def old_ledger(url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Database:
    """A database at an older revision with one submitted row."""
    database = Database(url, patience=5)
    await database.prepare()
    monkeypatch.setattr(upgrading, "REVISION", request.param)
    await upgrading.upgrade(database)
    monkeypatch.undo()
    moment = "'2026-01-20 00:00:00'" + ("" if url.startswith("sqlite") else "::timestamptz")
    amount = "1500000" if url.startswith("sqlite") else "1.5"
    columns = (
        "id, render_key, attempt, state, provider, account, endpoint, mode, job_id, payload, inputs, estimate, unit, "
        "reason, owner, reserved_by, title, created_at, updated_at, submitted_at"
    )
    await database.write(
        lambda connection: connection.execute(
            text(
                f"INSERT INTO submissions ({columns}) VALUES ('{'1' * 32}', '{'a' * 64}', 1, 'submitted', 'topview', "  # noqa: S608 - own words
                f"'team', 'https', '', 'job-1', '{{}}', '{{}}', {amount}, 'credits', '', 'run-1', 'run-1', 'Old', "
                f"{moment}, {moment}, {moment})"
            )
        )
    )
    return database


async def test_an_older_ledger_keeps_its_rows(old_ledger: Database, url: str) -> None:
    """Rows of every older revision get what they lack, empty, and go on as before; the upgrade runs once."""
    await old_ledger.close()
    for _ in range(2):
        async with await Ledger.open(url, clock=lambda: JANUARY) as ledger:
            row = await ledger.find("a" * 64)
            assert row is not None
            assert (row.context, row.title, row.estimate) == ({}, "Old", Decimal("1.5"))
            assert (row.work, row.unfinished_at) == (None, None)
            assert [line.amount for line in await ledger.committed("topview")] == [Decimal("1.5")]
            assert [(line.month, line.expected) for line in await ledger.costs()] == [("2026-01", Decimal("1.5"))]
    async with await Ledger.open(url) as ledger:
        await ledger.plan_polls([PollPlan(row.id, JANUARY, JANUARY + timedelta(seconds=5))])
        assert [tick.id for tick in await ledger.news("topview", "https", since=JANUARY)] == [row.id]
        assert (await ledger.mark_succeeded(row.id, {})).state == State.SUCCEEDED
        assert [line.unfinished for line in await ledger.durations("topview", "")] == [5]
        assert await ledger.claim("inbox/a", "one", stale_after=timedelta(hours=1))
