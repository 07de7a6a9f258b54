"""What is learnt from renders that ended, and the best times to ask that follow from it."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import mean, median

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tasks.ledger.batch_models import Duration
from tasks.polling.distribution import Distribution
from tasks.polling.forecast import FEWEST_SAMPLES, Expectation, Forecast
from tasks.polling.schedule import plan
from tasks.providers.base import Pace
from tests.simulated_polls import paced_durations

PACE = Pace(first=5, growth=1.3, longest=30)
SECONDS = st.floats(0, 1e5, allow_nan=False)
SAMPLES = st.lists(
    st.builds(
        lambda work, first, second: Duration(work, *sorted((first, second))),
        st.none() | st.floats(0, 1e4),
        SECONDS,
        SECONDS,
    ),
    max_size=60,
)


def asked_at(expectation: Expectation, until: float) -> list[float]:
    """The ages at which a render is asked about that takes so long."""
    ages = [expectation.next_age(0.0)]
    while ages[-1] < until:
        ages.append(expectation.next_age(ages[-1]))
    return ages


def learn(times: Sequence[tuple[float | None, float]]) -> Forecast:
    """Learn from renders that were asked about without a forecast."""
    forecast = Forecast.learn(paced_durations(times, PACE))
    assert forecast is not None
    return forecast


def ask_and_learn(forecast: Forecast, draw: Callable[[], float], renders: int) -> tuple[Forecast, float]:
    """Follow renders by a forecast; what is learnt from them, and the median lag as a part of their time."""
    samples, lags = [], []
    for _ in range(renders):
        seconds = draw()
        ages = [0.0, *asked_at(forecast.expect(None), seconds)]
        samples.append(Duration(None, ages[-2], ages[-1]))
        lags.append((ages[-1] - seconds) / seconds)
    learnt = Forecast.learn(samples)
    assert learnt is not None
    return learnt, median(lags)


@given(samples=SAMPLES, work=st.none() | st.floats(0, 1e4), age=SECONDS)
def test_whatever_was_seen_the_next_question_lies_ahead_and_within_reach(
    samples: list[Duration], work: float | None, age: float
) -> None:
    """Questions come one after another and never end, so every job is asked about until its deadline."""
    forecast = Forecast.learn(samples)
    if forecast is None:
        assert len(samples) < FEWEST_SAMPLES
        return
    expectation = forecast.expect(work)

    ages = [age]
    for _ in range(30):
        ages.append(expectation.next_age(ages[-1]))

    assert all(later > earlier for earlier, later in pairwise(ages))
    assert np.isfinite(ages).all()
    # Once renders may have ended, no pause is longer than half of the age.
    assert all(later <= 1.51 * earlier for earlier, later in pairwise(ages[1:]))


@given(mass=st.lists(st.floats(1e-6, 1), min_size=2, max_size=80), price=st.floats(0.001, 1))
def test_no_other_schedule_is_cheaper(mass: list[float], price: float) -> None:
    """The schedule of a distribution costs no more than any that leaves out or adds one question."""
    shares = np.array(mass) / sum(mass)
    # Far enough from zero that the bound on pauses is never met.
    ends = 100 + np.arange(1.0, len(mass) + 1) / len(mass)
    schedule = plan(Distribution(ends, shares), price)
    times = [schedule.after(0.0)]
    while times[-1] < ends[-1] - 1e-9:
        following = int(np.searchsorted(schedule.moments, times[-1]))
        times.append(float(schedule.following[following]))

    def cost(looks: Sequence[float]) -> float:
        begin = np.concatenate([[0.0], ends[:-1]])
        middle = (begin + ends) / 2
        found = np.searchsorted(looks, ends - 1e-9)
        lag = float(shares @ (np.array(looks)[found] - middle))
        return lag + price * float(shares @ middle) * float(shares @ (found + 1))

    best = cost(times)
    for number in range(len(times) - 1):
        assert best <= cost([*times[:number], *times[number + 1 :]]) + 1e-9
    for moment in ends:
        assert best <= cost(sorted({*times, float(moment)})) + 1e-9


def test_time_that_follows_the_work_is_found_soon_with_few_questions() -> None:
    """Within 20 % of a line: at most 4 questions per render and a median lag of 5 %."""
    dice = random.Random(1)  # noqa: S311 - not a secret
    draw = lambda: (work := dice.uniform(5, 60), (20 + 2 * work) * dice.uniform(0.8, 1.2))  # noqa: E731 - two facts
    forecast = learn([draw() for _ in range(60)])

    runs = [(seconds, asked_at(forecast.expect(work), seconds)) for work, seconds in (draw() for _ in range(500))]

    assert mean(len(ages) for _, ages in runs) <= 4
    assert median((ages[-1] - seconds) / seconds for seconds, ages in runs) <= 0.05
    assert 15 < forecast.base < 30
    assert 1.7 < forecast.per_work < 2.3


def test_one_job_that_hung_does_not_bend_the_line() -> None:
    """A studio that was off for a night finds its renders hours late; the others tell the truth."""
    times: list[tuple[float | None, float]] = [(float(work), 20 + 2.0 * work) for work in range(5, 60)]
    samples = [*paced_durations(times, PACE), Duration(30, 60, 36_000), Duration(50, 0, 36_000)]

    forecast = Forecast.learn(samples)

    assert forecast is not None
    assert 60 < forecast.expect(30).next_age(0) < 100
    # Nor is a gap between the many and the few trusted.
    assert forecast.expect(30).next_age(100) < 160


def test_without_work_its_distribution_is_known() -> None:
    """Samples without work, or a job without, fall back on how long renders take."""
    forecast = learn([(None, 100 + number) for number in range(20)])

    assert forecast.by_work is None
    assert 80 < forecast.expect(30).next_age(0) < 125
    mixed = learn([(10.0 if number % 2 else None, 100 + number) for number in range(40)])
    assert 80 < mixed.expect(None).next_age(0) < 140


def test_few_samples_are_no_forecast() -> None:
    """Less than a handful of renders says nothing."""
    assert Forecast.learn(paced_durations([(None, 100)] * (FEWEST_SAMPLES - 1), PACE)) is None


def test_renders_that_become_faster_or_slower_are_met_again() -> None:
    """After a change at the vendor the forecast finds back to a small lag by what it sees itself."""
    dice = random.Random(2)  # noqa: S311 - not a secret
    forecast = learn([(None, dice.uniform(80, 120)) for _ in range(60)])
    for low, high in ((30, 45), (160, 240)):
        lag = 1.0
        for _ in range(12):
            forecast, lag = ask_and_learn(forecast, lambda: dice.uniform(low, high), 60)  # noqa: B023 - called at once
        assert lag <= 0.06


def test_a_render_that_takes_longer_than_all_before_is_asked_about_at_growing_pauses() -> None:
    """Beyond everything that was seen, questions go on."""
    forecast = learn([(None, 100 + number) for number in range(20)])
    ages = asked_at(forecast.expect(None), 3000)
    late = [later - earlier for earlier, later in pairwise(ages) if earlier > 400]

    assert len(late) > 5
    assert late == sorted(late)
