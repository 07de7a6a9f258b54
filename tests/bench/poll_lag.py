"""How soon a finished render is noticed, and for how many questions: the real scheduler in simulated time."""

import asyncio
import gc
import os
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from statistics import mean, median
from typing import cast
from uuid import uuid4

import numpy as np
from sqlalchemy import insert

from tasks.ledger import State
from tasks.ledger.schema import submissions
from tasks.ledger.store import Ledger
from tasks.polling import Ending, PollScheduler
from tasks.providers.base import JobStatus
from tasks.settings import get_settings
from tests.bench.child import in_child
from tests.bench.lab import Lab
from tests.bench.rows import Limit, Row
from tests.simulated_polls import (
    DONE,
    QUERY_SECONDS,
    RUNNING,
    SimulatedLedger,
    TimedProvider,
    paced_durations,
    submitted,
)
from tests.virtual_time import run_virtually, virtual_now

JOBS, PER_SECOND, HISTORY = 2000, 6.0, 60
SHORTEST, LONGEST = 60.0, 180.0
MANY = 10_000
STALL_SECONDS = 30.0
Render = tuple[float | None, float]
"""Seconds of speech, and seconds that the render takes."""


@dataclass(frozen=True)
class Found:
    """How one simulation went."""

    questions: float
    """Per render."""
    lags: list[float]
    """Seconds, per render."""
    shares: list[float]
    """Of the render's time."""
    most_in_a_second: int

    @property
    def lag(self) -> float:
        """The middle of the shares, in %."""
        return 100 * median(self.shares)


def run(lab: Lab) -> list[Row]:
    """Three kinds of renders, and what 10,000 that wait cost."""
    jobs = 400 if lab.quick else JOBS
    by_work = [_simulate(_by_work, jobs, seed) for seed in lab.rounds(3)]
    without = [_simulate(_without_pattern, jobs, seed) for seed in lab.rounds(3)]
    noticed = [_simulate(_without_pattern, jobs, seed, notices=True) for seed in lab.rounds(3)]
    cold = _simulate(_by_work, jobs, 0, history=0)
    most = max(found.most_in_a_second for found in [*by_work, *without, *noticed, cold])
    return [
        *_rows("time follows speech within 20 %", by_work, Limit(4), Limit(5)),
        *_rows("60 to 180 s without pattern", without, None, None),
        Row(
            "the same: mean lag",
            [mean(found.lags) for found in without],
            baseline="the least that as many questions can reach",
            baseline_samples=[least_lag(found.questions) for found in without],
            wanted=Limit(1.2, of="ratio"),
        ),
        *_rows("60 to 180 s, with notices", noticed, Limit(1.2), Limit(1)),
        *_rows("time follows speech, nothing known at first", [cold], None, None),
        Row("most questions in any second", [most], unit="", wanted=Limit(40), note="40 are allowed"),
        *_waiting(lab),
    ]


def _rows(what: str, rounds: list[Found], questions: Limit | None, lag: Limit | None) -> list[Row]:
    return [
        Row(f"{what}: questions per render", [found.questions for found in rounds], unit="", wanted=questions),
        Row(f"{what}: median lag", [found.lag for found in rounds], unit="% of the time", wanted=lag),
    ]


def _by_work(dice: random.Random) -> Render:
    work = dice.uniform(5, 60)
    return work, (20 + 2 * work) * dice.uniform(0.8, 1.2)


def _without_pattern(dice: random.Random) -> Render:
    return None, dice.uniform(SHORTEST, LONGEST)


def _simulate(
    kind: Callable[[random.Random], Render], jobs: int, seed: int, *, notices: bool = False, history: int = HISTORY
) -> Found:
    """Submit renders one after another and follow each to its end."""
    dice = random.Random(seed)  # noqa: S311 - not a secret
    random.seed(seed)
    if notices:
        os.environ |= {"STUDIO_WEBHOOK_URL": "https://studio.invalid", "STUDIO_WEBHOOK_SECRET": "a secret of the bench"}
    get_settings.cache_clear()
    try:
        return run_virtually(_follow(kind, jobs, dice, notices=notices, history=history))
    finally:
        for name in ("STUDIO_WEBHOOK_URL", "STUDIO_WEBHOOK_SECRET"):
            os.environ.pop(name, None)
        get_settings.cache_clear()


async def _follow(
    kind: Callable[[random.Random], Render], jobs: int, dice: random.Random, *, notices: bool, history: int
) -> Found:
    loop, ledger, provider = asyncio.get_running_loop(), SimulatedLedger(), TimedProvider()
    ledger.samples = paced_durations([kind(dice) for _ in range(history)], provider.pace)
    scheduler = PollScheduler(cast(Ledger, ledger), provider, per_second=provider.pace.per_second, now=virtual_now)
    lags: list[float] = []
    shares: list[float] = []
    all_done = asyncio.Event()

    def submit(number: int) -> None:
        work, seconds = kind(dice)
        entry = submitted(f"job-{number}", work=work)
        ledger.rows[entry.id] = entry
        end = provider.ends[f"job-{number}"] = loop.time() + seconds

        def tell(ending: Ending) -> None:
            if ending.kind != "ended":
                raise RuntimeError(f"a job ended in another way: {ending}")
            lags.append(loop.time() - end)
            shares.append(lags[-1] / seconds)
            ledger.succeed(entry.id)
            del ledger.rows[entry.id]
            if len(lags) == jobs:
                all_done.set()

        if notices:
            loop.call_at(end, lambda: ledger.change(entry.id, next_poll_at=virtual_now()))
        scheduler.follow(entry, owner=f"batch-{number % 2}", deadline_seconds=3600, tell=tell)

    for number in range(jobs):
        loop.call_at(number / PER_SECOND, submit, number)
    await all_done.wait()
    await scheduler.close()
    return Found(len(provider.asked) / jobs, lags, shares, provider.most_in_a_second())


def least_lag(questions: float) -> float:
    """The least mean lag in seconds that any schedule with so many questions per render reaches, 60 to 180 s evenly.

    For renders that end evenly between a and b, looks at x1 < x2 < … < b cost a mean lag of the sum of squared gaps
    / 2(b - a), and questions: the sum of the chances to come to a look. Mixtures of schedules count, too.
    """
    points = [_at_price(price) for price in np.geomspace(0.05, 60, 120)]
    hull: list[tuple[float, float]] = []
    for point in sorted(points):
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return float(np.interp(questions, [point[0] for point in hull], [point[1] for point in hull]))


def _at_price(price: float) -> tuple[float, float]:
    """Questions and mean lag of the schedule with the least lag + price * questions, among looks at half seconds."""
    moments = np.arange(SHORTEST, LONGEST + 0.25, 0.5)
    width = LONGEST - SHORTEST
    best: dict[int, tuple[float, float, float]] = {len(moments) - 1: (0.0, 0.0, 0.0)}
    for state in reversed(range(len(moments) - 1)):
        to_come = (LONGEST - moments[state]) / width
        options = []
        for look in range(state + 1, len(moments)):
            gap = moments[look] - moments[state]
            _, asked, lag = best[look]
            found = (asked + to_come, lag + gap**2 / 2 / width)
            options.append((found[1] + price * found[0], *found))
        best[state] = min(options)
    return best[0][1], best[0][2]


def _turns_up(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> bool:
    """Whether the middle lies on or above the line between the others, so that a mixture of them is as good."""
    (ax, ay), (bx, by), (cx, cy) = first, middle, last
    return (by - ay) * (cx - ax) >= (cy - ay) * (bx - ax)


def _waiting(lab: Lab) -> list[Row]:
    """What thousands of jobs that wait cost one process, with a real ledger in a SQLite file."""
    call = in_child("tests.bench.poll_lag:follow_many", folder=str(lab.folder), count=MANY)
    found = call.answer
    return [
        Row(f"memory per waiting job, {MANY} jobs", [found["bytes"]], unit="B", wanted=Limit(2000)),
        Row(
            f"longest stall of the loop, {MANY} jobs, {found['questions']} questions",
            [found["stall"]],
            wanted=Limit(0.25),
            note=f"while {found['seconds']:.0f} s passed",
        ),
    ]


async def follow_many(folder: str, count: int) -> dict[str, float]:
    """Follow so many jobs in a ledger for a while; returns bytes per job, and the longest stall in seconds."""
    dice = random.Random(0)  # noqa: S311 - not a secret
    async with await Ledger.open(f"sqlite+aiosqlite:///{folder}/polls.db") as ledger:
        await _fill(ledger, count, dice)
        provider = AgingProvider()
        scheduler = PollScheduler(ledger, provider, per_second=provider.pace.per_second)
        bytes_each = await _follow_rows(ledger, scheduler, count)
        heart = asyncio.create_task(_longest_stall(STALL_SECONDS))
        stall = await heart
        await scheduler.close()
    return {"bytes": bytes_each, "stall": stall, "questions": provider.queries, "seconds": STALL_SECONDS}


async def _follow_rows(ledger: Ledger, scheduler: PollScheduler, count: int) -> float:
    """Follow all rows; returns what that took of memory, in bytes per job."""
    finished: set[asyncio.Task[object]] = set()

    def tell(ending: Ending) -> None:
        if ending.kind == "ended":
            task = asyncio.create_task(ledger.mark_succeeded(ending.entry_id, {"location": "x"}))
            finished.add(task)
            task.add_done_callback(finished.discard)

    rows = await ledger.in_states({State.SUBMITTED}, limit=count)
    ids = [row.id for row in rows]
    rows.clear()
    tracemalloc.start()
    for begin in range(0, count, 500):
        for entry in (await ledger.get_many(ids[begin : begin + 500])).values():
            scheduler.follow(entry, owner="batch", deadline_seconds=3600, tell=tell)
        await asyncio.sleep(0.05)
    await asyncio.sleep(2)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return taken / count


async def _longest_stall(seconds: float) -> float:
    """The most that a short sleep was late."""
    loop = asyncio.get_running_loop()
    end, worst = loop.time() + seconds, 0.0
    while (began := loop.time()) < end:
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - began - 0.01)
    return worst


async def _fill(ledger: Ledger, count: int, dice: random.Random) -> None:
    """Write accepted jobs of the last minute, and some that ended, straight into the table."""
    now = datetime.now(UTC)
    rows = []
    for number in range(count + HISTORY):
        begun = now - timedelta(seconds=dice.uniform(0, SHORTEST))
        taken = timedelta(seconds=dice.uniform(SHORTEST, LONGEST)) if number >= count else None
        rows.append(
            {
                "id": uuid4(),
                "render_key": sha256(f"{number}".encode()).hexdigest(),
                "attempt": 1,
                "state": State.SUCCEEDED if taken else State.SUBMITTED,
                "provider": "topview",
                "account": "local",
                "endpoint": "file:test",
                "mode": "",
                "job_id": f"{dice.uniform(SHORTEST, LONGEST)} {begun.timestamp()} {number}",
                "payload": {},
                "inputs": {},
                "context": {},
                "reason": "",
                "owner": "batch",
                "reserved_by": "batch",
                "title": f"Row {number}",
                "created_at": begun,
                "updated_at": begun,
                "submitted_at": begun,
                "succeeded_at": begun + taken if taken else None,
                "unfinished_at": begun + taken * 0.95 if taken else None,
            }
        )
    await ledger._database.write(lambda connection: connection.execute(insert(submissions), rows))


@dataclass
class AgingProvider(TimedProvider):
    """Its job ids say how long a job takes, and since when."""

    async def query(self, job_id: str) -> JobStatus:
        self.queries += 1
        seconds, begun, _ = job_id.split()
        await asyncio.sleep(QUERY_SECONDS)
        return DONE if time.time() - float(begun) >= float(seconds) else RUNNING
