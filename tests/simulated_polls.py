"""A ledger in memory and a provider whose jobs end when they are told to, for the poll scheduler in virtual time."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from tasks.ledger import Entry, State
from tasks.ledger.batch_models import CallSlots, Duration, PollPlan, Tick
from tasks.providers.base import JobStatus, Pace, ResultFile
from tests.scripted_provider import ScriptedProvider
from tests.virtual_time import virtual_now

LEDGER_SECONDS = 0.003
QUERY_SECONDS = 0.02
DONE = JobStatus(phase="succeeded", word="done", result=ResultFile(location="/tmp/x.mp4"))
RUNNING = JobStatus(phase="running", word="rendering")


def submitted(job_id: str, *, work: float | None = None, owner: str = "run") -> Entry:
    """A row of a job that was accepted at this moment."""
    now = virtual_now()
    return Entry(
        id=uuid4(),
        render_key=sha256(job_id.encode()).hexdigest(),
        attempt=1,
        state=State.SUBMITTED,
        provider="topview",
        account="local",
        endpoint="file:test",
        work=work,
        job_id=job_id,
        charged=None,
        charge=None,
        reason="",
        result=None,
        location=None,
        owner=owner,
        reserved_by=owner,
        created_at=now,
        updated_at=now,
        submitted_at=now,
        succeeded_at=None,
        archived_at=None,
        next_poll_at=None,
        unfinished_at=None,
    )


class SimulatedLedger:
    """What the scheduler needs of the ledger, with its meaning, in memory."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Entry] = {}
        self.samples: list[Duration] = []
        self.queue_end = 0.0
        self.calls = 0

    def change(self, entry_id: UUID, **changed: Any) -> None:
        """Write to a row as somebody."""
        self.rows[entry_id] = self.rows[entry_id].model_copy(update=changed)

    def succeed(self, entry_id: UUID) -> None:
        """Note the end of a job as a run does."""
        row, now = self.rows[entry_id], virtual_now()
        assert row.submitted_at is not None
        unfinished = 0.0 if row.unfinished_at is None else (row.unfinished_at - row.submitted_at).total_seconds()
        self.samples.insert(0, Duration(row.work, unfinished, (now - row.submitted_at).total_seconds()))
        self.change(entry_id, state=State.SUCCEEDED, updated_at=now, next_poll_at=None)

    async def ticks(self, ids: Collection[UUID]) -> dict[UUID, Tick]:
        await self._take_time()
        return {entry_id: _tick(self.rows[entry_id]) for entry_id in ids if entry_id in self.rows}

    async def news(self, provider: str, endpoint: str, *, since: datetime) -> list[Tick]:
        await self._take_time()
        now = virtual_now()
        return [
            _tick(row)
            for row in self.rows.values()
            if row.updated_at >= since
            or (row.state is State.SUBMITTED and row.next_poll_at is not None and row.next_poll_at <= now)
        ]

    async def durations(self, provider: str, mode: str, *, limit: int = 200) -> list[Duration]:
        await self._take_time()
        return self.samples[:limit]

    async def plan_polls(self, plans: Sequence[PollPlan]) -> None:
        await self._take_time()
        for plan in plans:
            row = self.rows[plan.id]
            if row.state is State.SUBMITTED:
                self.change(plan.id, next_poll_at=plan.at, unfinished_at=plan.unfinished_at or row.unfinished_at)

    async def take_calls(self, provider: str, endpoint: str, wanted: int, per_second: float) -> CallSlots:
        await self._take_time()
        now = asyncio.get_running_loop().time()
        count = min(wanted, max(1, int(per_second)))
        begin = max(self.queue_end, now)
        self.queue_end = begin + count / per_second
        return CallSlots(count, begin - now)

    async def note_trouble(self, provider: str, endpoint: str, reason: str) -> None:
        await self._take_time()

    async def note_health(self, provider: str, endpoint: str) -> None:
        await self._take_time()

    async def _take_time(self) -> None:
        self.calls += 1
        await asyncio.sleep(LEDGER_SECONDS)


def _tick(row: Entry) -> Tick:
    return Tick(row.id, row.state, row.owner, row.next_poll_at, row.updated_at)


@dataclass
class TimedProvider(ScriptedProvider):
    """Its jobs end at moments of the loop's clock."""

    name: str = "topview"
    pace: Pace = field(default_factory=lambda: Pace(first=5, growth=1.3, longest=30, per_second=40))
    ends: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[float, str]] = field(default_factory=list)

    async def query(self, job_id: str) -> JobStatus:
        loop = asyncio.get_running_loop()
        self.asked.append((loop.time(), job_id))
        await asyncio.sleep(QUERY_SECONDS / 2)
        has_ended = loop.time() >= self.ends[job_id]
        await asyncio.sleep(QUERY_SECONDS / 2)
        return DONE if has_ended else RUNNING

    def most_in_a_second(self) -> int:
        """The most questions that any second saw."""
        moments = [moment for moment, _ in self.asked]
        most = begin = 0
        for end, moment in enumerate(moments):
            while moments[begin] <= moment - 1:
                begin += 1
            most = max(most, end - begin + 1)
        return most


def paced_durations(times: Sequence[tuple[float | None, float]], pace: Pace) -> list[Duration]:
    """What the ledger holds of renders that were asked about without a forecast: work and true time of each."""
    samples = []
    for work, seconds in times:
        age, pause, before = 0.0, pace.first, 0.0
        while age < seconds:
            before, age, pause = age, age + pause, min(pause * pace.growth, pace.longest)
        samples.append(Duration(work, before, age))
    return samples


def later(seconds: float) -> datetime:
    """A moment from now."""
    return virtual_now() + timedelta(seconds=seconds)
