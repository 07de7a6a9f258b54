"""When to look for something whose finish is known as a distribution only: optimal checking times.

Every look costs a price, and so does every moment that passes between the finish and the next look. The best times are
found by dynamic programming over the moments at which it may be found unfinished: Barlow, Hunter and Proschan, "Optimum
checking procedures", 1963, for any distribution on a grid.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.polling.distribution import Distribution

PRICE = 0.018
"""What one question costs, in mean render times of lag.

Renders that vary evenly by 20 % are then asked for about 3 times, and found 3 to 5 % of their time late.
"""
FARTHEST = 1.5
"""A pause ends at this multiple of the age at the latest: no gap in what was seen is trusted further than that."""
BEYOND = 1.12
"""Growth of the age from question to question after all that was ever seen."""
CLOSEST = 1.005
"""Least growth of the age from question to question."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The best next question after each moment at which a job was found unfinished; in units of the distribution.

    Args:
        moments: (n,) ascending, the first is 0.
        following: (n,) when to ask next.
    """

    moments: Floats
    following: Floats

    def after(self, age: float) -> float:
        """When to ask next about a job that is unfinished at this age; always later than the age."""
        if age > self.moments[-1]:
            return age * BEYOND
        nearest = int(np.searchsorted(self.moments, age))
        return max(float(self.following[nearest]), age * CLOSEST)


def plan(distribution: Distribution, price: float = PRICE) -> Schedule:
    """The schedule with the least expected lag plus price per question, both relative to the mean."""
    ends, mass = distribution.ends, distribution.mass
    moments = np.concatenate([[0.0], ends[:-1]])
    finished = np.concatenate([[0.0], np.cumsum(mass)])
    weighted = np.concatenate([[0.0], np.cumsum(mass * (moments + ends) / 2)])
    left = finished[-1] - finished
    question = price * weighted[-1]
    earliest = distribution.quantile(0.01)
    farthest = np.searchsorted(ends, FARTHEST * np.maximum(moments, earliest), side="right")
    costs, choice = np.zeros(len(ends) + 1), np.zeros(len(ends), dtype=np.intp)
    for state in reversed(range(len(ends))):
        # All of these are weighted by the chance to come to this state, which is the same for each.
        looks = slice(state, max(farthest[state], state + 1))
        after = slice(looks.start + 1, looks.stop + 1)
        lag = ends[looks] * (finished[after] - finished[state]) - (weighted[after] - weighted[state])
        total = lag + costs[after]
        best = int(np.argmin(total))
        choice[state] = state + best
        costs[state] = question * left[state] + total[best]
    return Schedule(moments, ends[choice])
