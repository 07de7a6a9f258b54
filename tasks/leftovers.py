"""What crashes, outages and lost answers left in the ledger: how it is found, and worked through row by row.

Safe beside live runs: rows that somebody touches or means to touch are not found, every change of a row names the state
that it expects, and a row that another run has moved on meanwhile is left to it. One bad row never stops the others.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.delivery import Delivery
from tasks.errors import (
    AmbiguousSubmit,
    DownloadBroken,
    JobUnknown,
    ProviderBusy,
    ProviderUnavailable,
    RequestRefused,
    ResultExpired,
    StillRunning,
    StorageError,
    StudioError,
    StudioUnavailable,
)
from tasks.ledger import LIVE_PROVIDERS, Entry, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.plan import RenderPlan
from tasks.providers.base import Estimate
from tasks.settings import get_settings
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

MOST_ROWS = 1000
"""Rows of one state that a pass looks at; the next pass goes on."""
SILENCES = 3
"""Calls in a row that a provider may leave without an answer before this step asks it no more."""

# These pass by themselves; the row is as it was.
_PASSING = (ProviderUnavailable, ProviderBusy, StorageError, StudioUnavailable, StillRunning)
# For these the video may be out of reach for ever.
_HOPELESS = (DownloadBroken, ResultExpired, JobUnknown)

log = logging.getLogger("studio.reconcile")


class Verdict(StrEnum):
    """What became of something that was left behind."""

    DONE = "done"
    WAITS = "left for the next pass"
    PERSON = "needs a person"
    BROKEN = "unexpected error"
    SHOWN = "for information"


class Note(BaseModel):
    """One line of the report."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    what: str = Field(description="The first digits of a render key, or what else was looked at.")
    provider: str = ""
    title: str = ""
    state: str = ""
    since: datetime | None = None
    done: str = Field("", description="What was found and done.")
    next_step: str = Field("", description="What a person can do, if anything.")


class Leftover(BaseModel):
    """A row that was left behind, and what has become of it so far."""

    model_config = ConfigDict(frozen=True)

    entry: Entry
    since: datetime = Field(description="Its last change before this pass.")
    verdict: Verdict = Verdict.WAITS
    done: list[str] = Field(default_factory=list)
    next_step: str = ""

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """A row as it was found."""
        return cls(entry=entry, since=entry.updated_at)

    def told(self, verdict: Verdict, done: str, next_step: str = "", *, entry: Entry | None = None) -> Self:
        """The same with one more remark, and the row as it is now."""
        news = {"verdict": verdict, "done": [*self.done, done], "next_step": next_step}
        return self.model_copy(update=news | ({"entry": entry} if entry else {}))

    @property
    def note(self) -> Note:
        """Its line of the report."""
        entry = self.entry
        return Note(
            verdict=self.verdict,
            what=entry.short_key,
            provider=entry.provider,
            title=entry.title,
            state=entry.state,
            since=self.since,
            done="; ".join(self.done),
            next_step=self.next_step,
        )


Work = Callable[["Ledger", Leftover], Awaitable[Leftover]]


@step("find what was left")
async def find_leftovers(unattended_minutes: float | None = None) -> list[Leftover]:
    """Unfinished renders that nobody attends to, the longest unattended first; live streams have their own flow.

    Args:
        unattended_minutes: minutes without a change or a planned question; None takes the setting, 0 finds all.

    Intents count after ``reserved_hours``, submissions under way after ``submit_timeout_seconds``, whatever was given.
    """
    settings = get_settings()
    unattended = how_long(unattended_minutes)
    answer_time = timedelta(seconds=settings.submit_timeout_seconds)
    patience = {
        State.RESERVED: timedelta(hours=settings.reserved_hours),
        State.SUBMITTING: max(unattended, answer_time),
        # Always named, as somebody may be waiting for it.
        State.AMBIGUOUS: timedelta(),
        State.SUCCEEDED: unattended,
    }
    async with open_ledger() as ledger:
        rows = [
            row
            for state, age in patience.items()
            for row in await ledger.stale(state, age, without=LIVE_PROVIDERS, limit=MOST_ROWS)
        ]
        rows += await _accepted(ledger, unattended)
    rows.sort(key=lambda row: row.next_poll_at or row.updated_at)
    log.info("found left behind rows=%d %s", len(rows), dict(Counter(str(row.state) for row in rows)))
    return [Leftover.of(row) for row in rows]


async def _accepted(ledger: "Ledger", unattended: timedelta) -> list[Entry]:
    """Accepted renders that nobody means to ask for."""
    if not unattended:
        return await ledger.in_states({State.SUBMITTED}, without=LIVE_PROVIDERS, limit=MOST_ROWS)
    # Intents are among them, which must not crowd the others out.
    rows = await ledger.unattended(unattended, without=LIVE_PROVIDERS, limit=5 * MOST_ROWS)
    return [row for row in rows if row.state is State.SUBMITTED][:MOST_ROWS]


def how_long(unattended_minutes: float | None) -> timedelta:
    """How long a row must have been left alone to count as left behind."""
    minutes = get_settings().unattended_minutes if unattended_minutes is None else unattended_minutes
    return timedelta(minutes=minutes)


async def work_through(
    rows: Sequence[Leftover], states: Collection[State], work: Work, *, until: float, at_once: int
) -> list[Leftover]:
    """Do some work on the rows in some states, as long as there is time; the others stay as they are.

    A row that has changed since it was found is left to whoever changed it, even if it is in the same state again: a
    submission that was made anew meanwhile must not be judged by its age before.

    Args:
        rows: all rows of the pass.
        states: which of them the work is for.
        work: takes the ledger and a row, and gives the row as it is afterwards; it may raise.
        until: no row is begun after this moment of ``time.monotonic()``.
        at_once: rows worked on at the same time.
    """
    slots = asyncio.Semaphore(at_once)
    silences: Counter[str] = Counter()
    async with open_ledger() as ledger:

        async def one(row: Leftover) -> Leftover:
            if row.entry.state not in states or row.verdict is not Verdict.WAITS:
                return row
            async with slots:
                is_silent = silences[row.entry.provider] >= SILENCES
                if is_silent or time.monotonic() > until:
                    told = "the provider does not answer" if is_silent else "no time was left in this pass"
                    return row.told(Verdict.WAITS, told)
                try:
                    now = await ledger.get(row.entry.id)
                    if (now.state, now.updated_at) != (row.entry.state, row.entry.updated_at):
                        return row.told(Verdict.DONE, "another run attends to it", entry=now)
                    after = await work(ledger, row)
                except StateConflict as conflict:
                    return row.told(Verdict.DONE, "another run attends to it", entry=conflict.entry)
                except Exception as error:  # noqa: BLE001 - reported, row by row
                    if isinstance(error, ProviderUnavailable | ProviderBusy):
                        silences[row.entry.provider] += 1
                    return row.told(*judge(error, f"key={row.entry.render_key}", row.entry.short_key))
                silences[row.entry.provider] = 0
                return after

        return list(await asyncio.gather(*map(one, rows)))


def judge(error: Exception, where: str, key: str = "KEY") -> tuple[Verdict, str, str]:
    """What an error means for the report: the verdict, what happened, and the next step; unexpected ones are logged."""
    if isinstance(error, _PASSING):
        log.warning("left for the next pass %s error=%s", where, error)
        prefix = "the provider does not answer: " if isinstance(error, ProviderUnavailable | ProviderBusy) else ""
        return Verdict.WAITS, f"{prefix}{error.message}", ""
    if isinstance(error, StudioError):
        log.warning("needs a person %s error=%s", where, error)
        if isinstance(error, _HOPELESS):
            way_out = f"Look in the provider's console. To give it up: studio settle {key} --abandon"
            return Verdict.PERSON, error.message, way_out
        if isinstance(error, RequestRefused):
            problems = error.problems
            return Verdict.PERSON, "; ".join(p.wrong for p in problems), " ".join(p.fix for p in problems)
        return Verdict.PERSON, error.message, error.fix.replace("KEY", key)
    log.error("unexpected error %s", where, exc_info=error)
    return Verdict.BROKEN, f"{type(error).__name__}: {error}", "This is a defect; the run's log has the details."


def still_ambiguous(row: Leftover, error: AmbiguousSubmit) -> Leftover:
    """A row that only a person can settle."""
    return row.told(Verdict.PERSON, error.message, error.fix)


def plan_of_entry(entry: Entry) -> RenderPlan:
    """The plan that a ledger entry was made from."""
    return RenderPlan(
        render_key=entry.render_key,
        provider=entry.provider,
        account=entry.account,
        endpoint=entry.endpoint,
        mode=entry.mode,
        payload=entry.payload,
        estimate=Estimate(amount=entry.estimate, unit=entry.unit or ""),
        title=entry.title,
        speech_seconds=entry.speech_seconds,
        work=entry.work,
    )


def delivery_of_entry(entry: Entry) -> Delivery | None:
    """How the video is to be handed out; None where the ledger does not say it, as in rows of earlier versions."""
    if not entry.context:
        return None
    try:
        return Delivery.model_validate(entry.context)
    except ValidationError as error:
        log.warning("unreadable context key=%s problems=%d", entry.render_key, error.error_count())
        return None
