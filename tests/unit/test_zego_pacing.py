"""The schedule of a drive's frames: `tasks.providers.zego.pacing`, on a clock of the test's own."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from tasks.providers.zego.pacing import FRAME_SECONDS, LEAD_SECONDS, MOST_AHEAD, Pace

Moments = list[float]


def sent_at(count: int, *, given: Callable[[int, float], float], held: Callable[[int], float]) -> tuple[Pace, Moments]:
    """Send frames; the source gives each at a moment, and the sender is held up by so many seconds at each."""
    pace, now, moments = Pace(), 100.0, []
    for number in range(count):
        asked, ready = now, max(now, given(number, now))
        now = max(ready, pace.due(asked, ready, FRAME_SECONDS)) + held(number)
        pace.sent(now, FRAME_SECONDS)
        moments.append(now - 100)
    return pace, moments


def at_once(_number: int, now: float) -> float:
    return now


def never(_number: int) -> float:
    return 0.0


def least_in_hand(moments: Moments) -> float:
    """The least audio that a listener without any buffer of its own has when a frame comes."""
    return min(number * FRAME_SECONDS - (at - moments[0]) for number, at in enumerate(moments))


def test_never_far_ahead_and_never_dry() -> None:
    """From the first second on, what was sent is at most 1.3 times what has passed, and the listener never runs dry."""
    _, moments = sent_at(6000, given=at_once, held=never)

    ahead = [(number + 1) * FRAME_SECONDS / at for number, at in enumerate(moments) if number >= 9]
    assert max(ahead) <= 1.3
    assert least_in_hand(moments) >= -1e-9


def test_lead_is_steady_and_nothing_drifts() -> None:
    """After the beginning the listener always has a second in hand, over hours."""
    pace, moments = sent_at(40_000, given=at_once, held=never)

    leads = [(number + 1) * FRAME_SECONDS - at for number, at in enumerate(moments)]
    assert leads[60:] == pytest.approx([LEAD_SECONDS] * len(leads[60:]))
    assert pace.drift == pytest.approx(0, abs=1e-6)
    assert pace.seconds == pytest.approx(4000)


def test_small_delays_do_not_add_up() -> None:
    """A timer that is always 5 ms late costs 5 ms in all, not 5 ms a frame."""
    pace, moments = sent_at(6000, given=at_once, held=lambda _: 0.005)

    assert moments[-1] == pytest.approx(599.9 - 0.9 + 0.005, abs=0.01)
    assert pace.drift == pytest.approx(0.005, abs=1e-6)
    assert pace.latest == pytest.approx(0.005, abs=1e-6)


def test_short_hold_up_is_made_up_for_without_a_burst() -> None:
    """After half a second without the processor the lead comes back at the speed that is allowed, and is not heard."""
    pace, moments = sent_at(600, given=at_once, held=lambda number: 0.5 if number == 300 else 0)

    gaps = [later - earlier for earlier, later in pairwise(moments[301:])]
    assert min(gaps) >= FRAME_SECONDS / MOST_AHEAD - 1e-9
    assert least_in_hand(moments) >= -1e-9
    assert pace.latest == pytest.approx(0.5, abs=1e-6)
    assert pace.drift == pytest.approx(0, abs=1e-6)


def test_long_hold_up_is_not_made_up_for() -> None:
    """After ten seconds away the show goes on at its pace: ten seconds at once would be heard ten seconds late."""
    pace, moments = sent_at(600, given=at_once, held=lambda number: 10 if number == 300 else 0)

    after = [at - moments[301] for at in moments[301:]]
    assert all((number + 1) * FRAME_SECONDS - at <= LEAD_SECONDS + 1e-9 for number, at in enumerate(after))
    assert pace.drift == pytest.approx(10, abs=1.2)


def test_live_source_is_passed_on_as_it_comes() -> None:
    """What a live pipe gives leaves at once, its jitter is not blamed on the sender, and nothing is late in the end."""
    jitter = [0.0, 0.03, 0.06, 0.02, 0.08]

    def live(number: int, _now: float) -> float:
        return 100 + number * FRAME_SECONDS + jitter[number % 5]

    pace, moments = sent_at(6000, given=live, held=never)

    late = [at - (number * FRAME_SECONDS + jitter[number % 5]) for number, at in enumerate(moments)]
    assert max(late) < 0.1
    assert pace.latest < 0.1
    assert pace.drift < 0.1


def test_source_that_pauses_is_followed_without_a_burst() -> None:
    """A live source that was silent for five seconds and then gives all at once is sent at the pace of speech."""

    def halting(number: int, now: float) -> float:
        return now + 5 if number == 100 else now

    pace, moments = sent_at(300, given=halting, held=never)

    after = [at - moments[100] for at in moments[100:]]
    assert max(number * FRAME_SECONDS / at for number, at in enumerate(after) if number) <= MOST_AHEAD
    assert all((number + 1) * FRAME_SECONDS - at <= LEAD_SECONDS + 1e-9 for number, at in enumerate(after))
    assert least_in_hand(after) >= -1e-9
    assert pace.latest == pytest.approx(0, abs=1e-6)
    assert pace.drift == pytest.approx(0, abs=1e-6)
