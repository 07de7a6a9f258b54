"""Plans of polls that cross a notice: the notice stays, on both databases."""

# ruff: noqa: F401, F811 - fixtures are imported and then asked for by name

from datetime import UTC, datetime, timedelta

from tasks.ledger import PollPlan, State
from tasks.ledger.store import Ledger
from tasks.polling.jobs import Ending, Job
from tasks.polling.plans import PlanBook
from tests.contract.test_ledger import brought_to, ledger, postgres, url


def ignore(_ending: Ending) -> None:
    """Nobody waits."""


async def test_a_plan_does_not_overwrite_a_notice_that_nobody_has_heard(ledger: Ledger) -> None:
    """A notice written between the look for news and the writing of plans would be lost."""
    row = await brought_to(ledger, State.SUBMITTED)
    job = Job.of(row, owner="run", deadline=0.0, tell=ignore, watch=None)
    book = PlanBook(ledger)
    first, second, third = (datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (30, 60, 90))

    book.add(job, PollPlan(row.id, first, None))
    await book.write()
    assert (await ledger.get(row.id)).next_poll_at == first

    notice = datetime.now(UTC)
    await ledger.set_next_poll(row.id, notice)
    book.add(job, PollPlan(row.id, second, None))
    await book.write()
    assert (await ledger.get(row.id)).next_poll_at == notice

    # As the news do when they bring it.
    job.stored_plan = notice
    book.add(job, PollPlan(row.id, third, None))
    await book.write()
    assert (await ledger.get(row.id)).next_poll_at == third


async def test_a_plan_replaces_what_is_no_news(ledger: Ledger) -> None:
    """Another run's plan that lies ahead, and one that was forgotten long ago, must not stay for ever."""
    now = datetime.now(UTC)
    seen = now - timedelta(days=1)
    for stored in (now + timedelta(minutes=5), now - timedelta(minutes=5), seen):
        row = await brought_to(ledger, State.SUBMITTED)
        await ledger.set_next_poll(row.id, stored)
        await ledger.plan_polls([PollPlan(row.id, now + timedelta(seconds=9), None, seen)])
        assert (await ledger.get(row.id)).next_poll_at == now + timedelta(seconds=9)
