"""How long a render will probably take, learnt from those that lately ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from tasks.ledger.batch_models import Duration
from tasks.polling.distribution import Distribution, estimate
from tasks.polling.schedule import Schedule, plan

FEWEST_SAMPLES = 8
EARLIEST_SHARE = 0.8
"""A render that was never found unfinished is taken to have ended in the last part of its time: renders that become
faster are then asked for earlier and earlier, until they are met unfinished again."""
LATEST_SHARE, LATEST_MARGIN = 0.99, 1.1
FIT_ROUNDS = 12
FIT_NOISE = 0.05
"""Deviations below this share of the time count alike in the fit."""
SHORTEST = 0.05

Floats = npt.NDArray[np.float64]


class Expectation(NamedTuple):
    """What is expected of one render, in seconds."""

    typical: float
    schedule: Schedule
    """In units of the typical time."""
    latest: float
    """Nearly all have ended by then."""

    def next_age(self, age: float) -> float:
        """The best age for the next question about a render that is unfinished at this age."""
        return self.schedule.after(age / self.typical) * self.typical


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """How times lie around the typical one."""

    schedule: Schedule
    latest: float

    @classmethod
    def around(cls, typical: Floats, lower: Floats, upper: Floats) -> Self:
        found: Distribution = estimate(lower / typical, upper / typical)
        return cls(plan(found), found.quantile(LATEST_SHARE) * LATEST_MARGIN)

    def expect(self, typical: float) -> Expectation:
        return Expectation(typical, self.schedule, self.latest * typical)


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Time of a render: as a line over its work where that is known, and as a distribution around it."""

    typical: float
    overall: _Spread
    base: float
    """Seconds that a render takes whatever its work."""
    per_work: float
    """Seconds that it takes per second of speech."""
    by_work: _Spread | None

    @classmethod
    def learn(cls, samples: Sequence[Duration]) -> Self | None:
        """Learn from renders that ended; None when they are too few."""
        if len(samples) < FEWEST_SAMPLES:
            return None
        lower, upper = _intervals(samples)
        typical = float(np.median((lower + upper) / 2))
        overall = _Spread.around(np.full(len(samples), typical), lower, upper)
        known = np.array([sample.work is not None for sample in samples])
        if known.sum() < FEWEST_SAMPLES:
            return cls(typical, overall, typical, 0.0, None)
        work = np.array([sample.work for sample in samples if sample.work is not None], dtype=np.float64)
        base, per_work = _fit(work, lower[known], upper[known])
        by_work = _Spread.around(base + per_work * work, lower[known], upper[known])
        return cls(typical, overall, base, per_work, by_work)

    def expect(self, work: float | None) -> Expectation:
        """What is expected of a render with so many seconds of speech, None where they are not known."""
        if work is None or self.by_work is None:
            return self.overall.expect(self.typical)
        return self.by_work.expect(max(self.base + self.per_work * work, SHORTEST))


def _intervals(samples: Sequence[Duration]) -> tuple[Floats, Floats]:
    """Between which ages each render ended, in seconds."""
    upper = np.maximum([sample.finished for sample in samples], SHORTEST)
    lower = np.array([sample.unfinished for sample in samples], dtype=np.float64)
    return np.where(lower > 0, np.minimum(lower, upper), upper * EARLIEST_SHARE), upper


def _fit(work: Floats, lower: Floats, upper: Floats) -> tuple[float, float]:
    """The line ``base + per_work * work`` through the middles, both at least 0, that lies least far from them.

    Distances are relative and count once, not squared, so that one job which hung does not bend it; where a job's end
    is known roughly only, it counts for less.
    """
    middle = (lower + upper) / 2
    vague = FIT_NOISE + (upper - lower) / middle
    expected = np.full(len(work), np.median(middle))
    base, per_work = float(expected[0]), 0.0
    for _ in range(FIT_ROUNDS):
        distance = np.abs(middle - expected) / expected
        weight = 1 / (vague * (FIT_NOISE + distance) * expected**2)
        base, per_work = _least_squares(work, middle, weight)
        expected = np.maximum(base + per_work * work, SHORTEST)
    return base, per_work


def _least_squares(work: Floats, seconds: Floats, weight: Floats) -> tuple[float, float]:
    total = weight.sum()
    mean_work, mean = float(weight @ work / total), float(weight @ seconds / total)
    spread = float(weight @ (work - mean_work) ** 2)
    slope = float(weight @ ((work - mean_work) * (seconds - mean))) / spread if spread > 0 else 0.0
    if slope <= 0:
        return mean, 0.0
    base = mean - slope * mean_work
    if base < 0:
        return 0.0, float(weight @ (work * seconds) / (weight @ work**2))
    return base, slope
