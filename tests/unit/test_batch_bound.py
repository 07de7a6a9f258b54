"""The bound that the poll bench holds the studio against is one: nothing beats it, and it can be reached."""

import numpy as np
import pytest

from tests.bench.batch_bound import least_lag


def test_no_schedule_beats_the_bound():
    """Of many random schedules none finds ends earlier with as many questions, and some come close."""
    random = np.random.default_rng(7)
    margins = []
    for _ in range(3000):
        number = int(random.integers(2, 9))
        pauses = random.dirichlet(np.full(number, random.uniform(1, 50)))
        questions, lag = float(pauses @ np.arange(1, number + 1)), float(pauses @ pauses / 2)
        margins.append(40 * lag / least_lag(20, 60, questions))

    assert 0.999 < min(margins) < 1.05


def test_one_question_can_only_be_the_last():
    """A single question must wait for the longest render; less than one finds nothing."""
    assert least_lag(20, 60, 1) == pytest.approx(20)
    with pytest.raises(ValueError, match="cannot find an end"):
        least_lag(20, 60, 0.9)
