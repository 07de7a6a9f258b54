"""The distribution of something that is only known to have happened between two looks."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CELL = 1.01
"""Each cell ends so much later than the one before it."""
WIDEST = 20.0
"""Cells reach from the middle divided by this to the middle times this; what lies beyond counts as at the edge."""
ROUNDS = 25
SMOOTHING = np.full(9, 1 / 9)
"""Weights of a cell and its neighbours: a few dozen samples must not leave gaps between them."""
TAIL_CELLS = 12
"""Beyond what was seen, the chance falls by a factor e over so many cells."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Distribution:
    """Chances by cells; inside a cell all moments are alike.

    Args:
        ends: (n,) ends of the cells, ascending; the first cell begins at 0.
        mass: (n,) chance of each, more than 0, together 1.
    """

    ends: Floats
    mass: Floats

    def quantile(self, share: float) -> float:
        """The end of the cell by which this share has happened."""
        return float(self.ends[min(int(np.searchsorted(np.cumsum(self.mass), share)), len(self.ends) - 1)])


def estimate(lower: Floats, upper: Floats) -> Distribution:
    """Estimate a distribution from intervals by expectation-maximisation with smoothing.

    Method: Silverman, Jones, Wilson and Nychka, "A smoothed EM approach to indirect estimation problems", 1990.

    Args:
        lower: (n,) moments at which it had not happened.
        upper: (n,) moments at which it had, more than ``lower``.
    """
    middle = float(np.median((lower + upper) / 2))
    lower, upper = np.clip(lower, middle / WIDEST, None), np.clip(upper, None, middle * WIDEST)
    lower = np.minimum(lower, upper / CELL)
    first = np.log(lower.min()) / np.log(CELL) - 4 * TAIL_CELLS
    cells = int(np.ceil(np.log(upper.max()) / np.log(CELL) + 4 * TAIL_CELLS - first))
    edges = CELL ** (first + np.arange(cells + 1))
    # Share of each cell that an interval covers.
    covered = np.minimum(edges[1:], upper[:, None]) - np.maximum(edges[:-1], lower[:, None])
    cover = np.clip(covered, 0, None) / np.diff(edges)
    mass = np.full(cells, 1 / cells)
    for _ in range(ROUNDS):
        found = mass * (cover / (cover @ mass)[:, None]).mean(axis=0)
        mass = np.convolve(found, SMOOTHING, mode="same")
        mass /= mass.sum()
    return Distribution(edges[1:], _with_tails(mass, len(lower)))


def _with_tails(mass: Floats, samples: int) -> Floats:
    """Leave the chance that the next one is the earliest or the latest of all: 1 in n + 1 each."""
    share = np.cumsum(mass)
    begin, end = (int(np.searchsorted(share, point)) for point in (0.5 / samples, 1 - 0.5 / samples))
    cells = np.arange(len(mass))
    early = np.where(cells <= begin, np.exp((cells - begin) / TAIL_CELLS), 0)
    late = np.where(cells >= end, np.exp((end - cells) / TAIL_CELLS), 0)
    tail = 1 / (samples + 1)
    found: Floats = (1 - 2 * tail) * mass / mass.sum() + tail * (early / early.sum() + late / late.sum())
    return found
