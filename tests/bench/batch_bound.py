"""The least lag that any schedule of questions can reach where renders end evenly anywhere between two moments.

For a price of a question, the best pauses between the first and the last moment shrink by that price from one question
to the next: that is where the derivative of lag plus price is the same for all of them.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

_PRICES = np.geomspace(1e-4, 1, 300)


def least_lag(shortest: float, longest: float, questions: float) -> float:
    """Least mean seconds from the end of a render to the question that finds it.

    Args:
        shortest: seconds that no render falls short of.
        longest: seconds that no render exceeds.
        questions: mean number of questions per render, 1 or more; the last finds the end.

    Raises:
        ValueError: with less than one question no end is ever found.
    """
    if questions < 1:
        raise ValueError(f"{questions:g} questions cannot find an end")
    best = _frontier()
    return float(np.interp(questions, best[:, 0], best[:, 1])) * (longest - shortest)


@cache
def _frontier() -> npt.NDArray[np.float64]:
    """Rows of mean questions and the least mean lag with them, fewest questions first."""
    return np.array(sorted(_best(price) for price in _PRICES))


def _best(price: float) -> tuple[float, float]:
    """Mean questions and mean lag of the best schedule at a price, for ends that are even between 0 and 1."""
    number = 1
    while (pauses := _pauses(number + 1, price))[-1] > 0:
        number += 1
    pauses = _pauses(number, price)
    return float(pauses @ np.arange(1, number + 1)), float(pauses @ pauses / 2)


def _pauses(number: int, price: float) -> npt.NDArray[np.float64]:
    """So many pauses, each shorter than the one before by the price, that add up to 1."""
    order = np.arange(1, number + 1)
    return (1 + price * order.sum()) / number - price * order
