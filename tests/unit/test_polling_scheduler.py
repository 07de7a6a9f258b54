"""The poll scheduler in virtual time: whom it asks when, what it leaves to others, and how each job ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import JobUnknown, ProviderBusy, ProviderUnavailable, StudioUnavailable
from tasks.followers import GRACE_SECONDS
from tasks.ledger import Entry
from tasks.ledger.store import Ledger
from tasks.polling import Ending, PollScheduler
from tasks.providers.base import JobStatus, Pace
from tasks.settings import get_settings
from tests.simulated_polls import DONE, SimulatedLedger, TimedProvider, later, paced_durations, submitted
from tests.virtual_time import run_virtually, virtual_now

QUICK = Pace(first=0.3, growth=1.3, longest=2, per_second=40)


@dataclass
class Stage:
    """A scheduler on its own, and what it told."""

    ledger: SimulatedLedger
    provider: TimedProvider
    scheduler: PollScheduler
    endings: dict[str, Ending] = field(default_factory=dict)
    ended_at: dict[str, float] = field(default_factory=dict)

    def follow(self, job_id: str, seconds: float, *, deadline: float = 3600, **facts: Any) -> Entry:
        """Follow a job that takes so long from now on."""
        watch = facts.pop("watch", None)
        owner = facts.pop("follower", facts.get("owner", "run"))
        entry = submitted(job_id, **facts)
        self.ledger.rows[entry.id] = entry
        self.provider.ends[job_id] = self.now() + seconds
        self.follow_row(entry, owner=owner, deadline=deadline, watch=watch)
        return entry

    def follow_row(self, entry: Entry, *, owner: str, deadline: float = 3600, watch: Any = None) -> Callable[[], None]:
        """Follow a row that is there."""

        def tell(ending: Ending) -> None:
            name = f"{entry.job_id}" if owner == entry.owner else f"{entry.job_id} by {owner}"
            assert name not in self.endings, "a job ends once"
            self.endings[name], self.ended_at[name] = ending, self.now()
            if ending.kind == "ended" and owner == entry.owner:
                self.ledger.succeed(entry.id)

        return self.scheduler.follow(entry, owner=owner, deadline_seconds=deadline, tell=tell, watch=watch)

    async def until_ended(self, count: int, within: float = 7200) -> None:
        """Wait for so many endings."""
        end = self.now() + within
        while len(self.endings) < count and self.now() < end:  # noqa: ASYNC110 - virtual time costs nothing
            await asyncio.sleep(0.25)
        assert len(self.endings) == count

    def kinds(self) -> dict[str, str]:
        """How each job ended."""
        return {name: ending.kind for name, ending in self.endings.items()}

    def asked(self, job_id: str) -> list[float]:
        """When a job was asked about."""
        return [moment for moment, asked in self.provider.asked if asked == job_id]

    def knows(self, *seconds: float) -> None:
        """Put renders that took so long into the ledger's history."""
        self.ledger.samples = paced_durations([(None, taken) for taken in seconds], self.provider.pace)

    @staticmethod
    def now() -> float:
        return asyncio.get_running_loop().time()


@asynccontextmanager
async def stage(provider: TimedProvider | None = None) -> AsyncIterator[Stage]:
    ledger, provider = SimulatedLedger(), provider or TimedProvider()
    scheduler = PollScheduler(cast(Ledger, ledger), provider, per_second=provider.pace.per_second, now=virtual_now)
    try:
        yield Stage(ledger, provider, scheduler)
    finally:
        await scheduler.close()


def virtually(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test in virtual time."""

    def run(*arguments: Any, **named: Any) -> None:
        run_virtually(test(*arguments, **named))

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    run.__signature__ = __import__("inspect").signature(test)  # type: ignore[attr-defined]
    return run


@pytest.fixture
def notices(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Providers are told where to send notices."""
    monkeypatch.setenv("STUDIO_WEBHOOK_URL", "https://studio.invalid")
    monkeypatch.setenv("STUDIO_WEBHOOK_SECRET", "a secret of the tests")
    get_settings.cache_clear()


@virtually
async def test_without_history_the_pace_decides() -> None:
    """The first question comes at once, then pauses grow: a render of half a second is found as soon as ever."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        play.follow("short", 0.5)
        await play.until_ended(1)

        assert play.asked("short")[0] < 0.05
        assert len(play.asked("short")) == 3
        assert play.ended_at["short"] < 0.85


@virtually
async def test_with_history_nothing_is_asked_before_it_can_have_ended() -> None:
    """A render like a hundred others is asked about when those were finished, and found soon after."""
    async with stage() as play:
        play.knows(*(100 + number % 20 for number in range(60)))
        play.follow("usual", 110)
        await play.until_ended(1)

        assert play.asked("usual")[0] > 80
        assert len(play.asked("usual")) <= 5
        assert play.ended_at["usual"] < 118


@virtually
async def test_a_job_that_was_submitted_long_ago_is_asked_about_at_once() -> None:
    """A run that takes over what another left behind does not wait for a time that is past."""
    async with stage() as play:
        play.knows(*(100 + number % 20 for number in range(60)))
        old = submitted("old").model_copy(update={"submitted_at": later(-3600)})
        play.ledger.rows[old.id], play.provider.ends["old"] = old, 0
        play.follow_row(old, owner="run")
        await play.until_ended(1)

        assert play.ended_at["old"] < 1


@given(
    deadline=st.floats(0.2, 400),
    history=st.lists(st.floats(1, 300), max_size=20),
    first=st.floats(0.2, 30),
    age=st.floats(0, 500),
)
@settings(max_examples=40)
def test_every_job_is_asked_about_until_its_deadline(
    deadline: float, history: list[float], first: float, age: float
) -> None:
    """Whatever is known, a job that never ends is asked about to the last, and told to be overdue then."""

    @virtually
    async def check() -> None:
        async with stage(TimedProvider(pace=Pace(first=first, growth=1.3, longest=max(first, 30)))) as play:
            play.knows(*history)
            stuck = submitted("stuck").model_copy(update={"submitted_at": later(-age)})
            play.ledger.rows[stuck.id], play.provider.ends["stuck"] = stuck, 1e9
            play.follow_row(stuck, owner="run", deadline=deadline)
            await play.until_ended(1)

            assert play.kinds() == {"stuck": "overdue"}
            assert deadline - 0.2 <= play.asked("stuck")[-1] <= play.ended_at["stuck"] <= deadline + 1
            assert play.endings["stuck"].word == "rendering"

    check()


@virtually
async def test_the_rate_is_kept_and_owners_take_turns() -> None:
    """Hundreds that are due at once are asked about one by one, and a small batch is not behind a large one."""
    async with stage(TimedProvider(pace=Pace(first=5, growth=1, longest=5, per_second=20))) as play:
        for number in range(400):
            play.follow(f"large-{number}", 0, owner="large")
        for number in range(10):
            play.follow(f"small-{number}", 0, owner="small")
        await play.until_ended(410)

        assert play.provider.most_in_a_second() <= 20
        assert max(play.ended_at[f"small-{number}"] for number in range(10)) < 3
        assert 410 / 20 <= Stage.now() < 410 / 14


@virtually
async def test_a_notice_jumps_the_queue(notices: None) -> None:
    """While hundreds wait for their turn, a job whose notice has come is asked about within a tick or two."""
    async with stage(TimedProvider(pace=Pace(first=600, growth=1, longest=600, per_second=5))) as play:
        noticed = play.follow("noticed", 30)
        await asyncio.sleep(20)
        for number in range(200):
            play.follow(f"crowd-{number}", 1e6)
        await asyncio.sleep(10.5)
        play.ledger.change(noticed.id, next_poll_at=virtual_now())
        await play.until_ended(1, within=3)

        assert play.kinds() == {"noticed": "ended"}


@virtually
async def test_where_notices_come_little_is_asked(notices: None) -> None:
    """Once notices have proved themselves, each render costs one question; when they fail to come, it is found too."""
    async with stage() as play:
        play.knows(*(100 + number % 20 for number in range(60)))
        loop = asyncio.get_running_loop()
        for number in range(60):
            seconds = 95 + number % 30
            entry = play.follow(f"told-{number}", seconds)
            loop.call_later(seconds, lambda entry=entry: play.ledger.change(entry.id, next_poll_at=virtual_now()))
            await asyncio.sleep(2)
        await play.until_ended(60)
        assert sum(len(play.asked(f"told-{number}")) for number in range(10, 60)) <= 55

        for number in range(8):
            play.follow(f"silent-{number}", 100)
            await play.until_ended(61 + number)
        lags = [play.ended_at[f"silent-{number}"] - play.provider.ends[f"silent-{number}"] for number in range(8)]
        # The first ones wait for their notices, the later ones are asked about in time again.
        assert max(lags) < 80
        assert max(lags[4:]) < 12


@virtually
async def test_a_notice_that_comes_too_early_is_no_end() -> None:
    """The provider is asked on soon after a notice that was not true yet."""
    async with stage(TimedProvider(pace=Pace(first=2, growth=1.3, longest=600))) as play:
        entry = play.follow("early", 40)
        await asyncio.sleep(37)
        play.ledger.change(entry.id, next_poll_at=virtual_now())
        await play.until_ended(1)

        assert play.ended_at["early"] < 60


@virtually
async def test_a_provider_that_is_asked_too_fast_is_left_alone() -> None:
    """The pause that it asks for holds for every job there."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        play.provider.ends = {}
        answers = [ProviderBusy("too fast", provider="local", retry_after=30)]
        query = play.provider.query

        async def busy_first(job_id: str) -> JobStatus:
            if answers:
                play.provider.asked.append((Stage.now(), job_id))
                raise answers.pop()
            return await query(job_id)

        play.provider.query = busy_first  # type: ignore[method-assign]
        play.follow("one", 0)
        await asyncio.sleep(1)
        for number in range(5):
            play.follow(f"other-{number}", 0)
        await play.until_ended(6)

        assert [moment for moment, _ in play.provider.asked if 0.5 < moment < 30] == []
        assert len(play.provider.asked) == 7


@virtually
async def test_an_outage_is_told_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Transport troubles of many jobs are one line in the log, and all jobs are found when it is over."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        query = play.provider.query

        async def away(job_id: str) -> JobStatus:
            if Stage.now() < 20:
                raise ProviderUnavailable("cut off", provider="local", sent=True)
            return await query(job_id)

        play.provider.query = away  # type: ignore[method-assign]
        for number in range(30):
            play.follow(f"job-{number}", 5)
        await play.until_ended(30)

        assert set(play.kinds().values()) == {"ended"}
        assert caplog.text.count("no answer, asking on") == 1


@virtually
async def test_one_bad_answer_ends_one_job() -> None:
    """A defect met in one answer is told to whoever waits for that job; a denied job is unknown."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        query = play.provider.query

        async def odd(job_id: str) -> JobStatus:
            if job_id == "odd":
                raise ZeroDivisionError("a defect")
            if job_id == "denied":
                raise JobUnknown("no such job", provider="local")
            return await query(job_id)

        play.provider.query = odd  # type: ignore[method-assign]
        for name in ("odd", "denied", "fine"):
            play.follow(name, 3)
        await play.until_ended(3)

        assert play.kinds() == {"odd": "refused", "denied": "unknown", "fine": "ended"}
        assert isinstance(play.endings["odd"].error, ZeroDivisionError)
        assert isinstance(play.endings["denied"].error, JobUnknown)


@virtually
async def test_what_another_run_asks_about_is_left_to_it() -> None:
    """Its planned question is waited for; when it does not come, this run asks."""
    async with stage(TimedProvider(pace=Pace(first=2, growth=1.3, longest=30))) as play:
        entry = submitted("shared", owner="other").model_copy(update={"next_poll_at": later(20)})
        play.ledger.rows[entry.id], play.provider.ends["shared"] = entry, 5
        play.follow_row(entry, owner="follower")
        await play.until_ended(1)

        assert 20 + GRACE_SECONDS <= play.asked("shared")[0] < 20 + GRACE_SECONDS + 3
        assert play.kinds() == {"shared by follower": "ended"}


@virtually
async def test_two_runs_of_one_process_follow_one_row() -> None:
    """Both are told, and one of them can stop without the other."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        entry = play.follow("shared", 4)
        play.follow_row(entry, owner="second")
        forget = play.follow_row(entry, owner="third")
        await asyncio.sleep(1)
        forget()
        await play.until_ended(2)
        await asyncio.sleep(30)

        assert set(play.endings) == {"shared", "shared by second"}
        assert play.scheduler.waiting() == 0


@virtually
async def test_a_row_that_others_change_has_moved() -> None:
    """Somebody else's end, and another job in the same row, are told within a tick and nothing more is asked."""
    async with stage(TimedProvider(pace=Pace(first=600, growth=1, longest=600))) as play:
        archived, settled = play.follow("archived", 1e6), play.follow("settled", 1e6)
        await asyncio.sleep(5)
        play.ledger.succeed(archived.id)
        play.ledger.change(settled.id, job_id="another", updated_at=virtual_now())
        await play.until_ended(2, within=2)

        assert play.kinds() == {"archived": "moved", "settled": "moved"}
        assert len(play.provider.asked) == 2


@virtually
async def test_dropped_jobs_are_told_nothing_and_asked_nothing() -> None:
    """A cancelled batch stops asking."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        entries = [play.follow(f"job-{number}", 50) for number in range(20)]
        await asyncio.sleep(3)
        for entry in entries:
            play.scheduler.drop(entry.id)
        asked, written = len(play.provider.asked), play.ledger.calls
        await asyncio.sleep(100)

        assert play.endings == {}
        assert len(play.provider.asked) == asked
        assert play.ledger.calls <= written + 4
        assert play.scheduler.waiting() == 0


@virtually
async def test_a_ledger_that_stays_away_is_told_to_all_and_can_come_back(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for ever, and what is followed afterwards is asked about again."""
    async with stage(TimedProvider(pace=QUICK)) as play:
        news = play.ledger.news

        async def away(*_: Any, **__: Any) -> Any:
            raise StudioUnavailable("the ledger's database is away")

        for number in range(5):
            play.follow(f"job-{number}", 50)
        await asyncio.sleep(1)
        play.ledger.news = away  # type: ignore[method-assign]
        await play.until_ended(5)
        play.ledger.news = news  # type: ignore[method-assign]
        play.follow("afterwards", 1)
        await play.until_ended(6)

        errors = [ending.error for ending in play.endings.values() if ending.kind == "refused"]
        assert len(errors) == 5
        assert all(isinstance(error, StudioUnavailable) for error in errors)
        assert play.kinds()["afterwards"] == "ended"
        assert [record.levelno for record in caplog.records] == [logging.ERROR]


@virtually
async def test_watchers_see_each_answer_in_their_own_context() -> None:
    """Two runs of one process each draw on their own page."""
    run: ContextVar[str] = ContextVar("run")
    seen: list[tuple[str, str]] = []

    async def watch(status: JobStatus) -> None:
        seen.append((run.get(), status.phase))

    async with stage(TimedProvider(pace=QUICK)) as play:
        for name in ("one", "two"):
            run.set(name)
            play.follow(name, 0.4, watch=watch)
        await play.until_ended(2)

    for name in ("one", "two"):
        assert [phase for owner, phase in seen if owner == name] == ["running", "running", "succeeded"]


@virtually
async def test_waiting_costs_a_look_per_tick() -> None:
    """Hundreds that wait cost the ledger two calls a second, and nothing at all once they have ended."""
    async with stage() as play:
        play.knows(*(100 + number % 20 for number in range(60)))
        for number in range(300):
            play.follow(f"job-{number}", 100)
        await asyncio.sleep(5)
        before = play.ledger.calls
        await asyncio.sleep(50)
        assert play.ledger.calls - before <= 110
        assert play.provider.asked == []

        await play.until_ended(300)
        await asyncio.sleep(5)
        before = play.ledger.calls
        await asyncio.sleep(1000)
        assert play.ledger.calls == before


@virtually
async def test_what_was_found_unfinished_is_kept_for_the_forecast() -> None:
    """The ledger knows between which two questions each render ended."""
    async with stage() as play:
        play.follow("job", 47)
        await play.until_ended(1)

        (sample,) = play.ledger.samples
        assert sample.unfinished < 47 <= sample.finished
        assert sample.unfinished == pytest.approx(play.asked("job")[-2], abs=0.1)
        assert all(0 < second - first < 31 * 1.1 for first, second in pairwise(play.asked("job")))
        assert play.endings["job"].status == DONE
