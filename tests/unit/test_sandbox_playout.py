"""The sandbox's playout: its arithmetic on a clock that the test turns, and its waits on the real one."""

import asyncio
import time

import numpy as np
import pytest

from infra.sandbox.zego.heard import KEPT_SECONDS, RATE
from infra.sandbox.zego.media_guesses import JITTER_SECONDS
from infra.sandbox.zego.playout import Playout

FRAME = 0.1


class Hands:
    """A clock that stands still between two turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def playout(clock: Hands) -> Playout:
    return Playout(clock)


def tone(seconds: float, rate: int = 16_000, pitch: float = 200.0) -> bytes:
    moments = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * pitch * moments)).astype("<i2").tobytes()


def stream(playout: Playout, clock: Hands, times: list[float], rate: int = 24_000) -> None:
    """Feed a frame at each of these seconds after the first one."""
    began = clock.now
    playout.begin("d", rate)
    for moment in times:
        clock.now = began + moment
        playout.feed("d", tone(FRAME, rate))


def test_a_steady_sender_measures_as_what_it_is(playout: Playout, clock: Hands) -> None:
    """At 1.25 times the speed of speech: no under-run, the speed as sent, and a lead that grows by a fifth."""
    stream(playout, clock, [number * FRAME / 1.25 for number in range(100)])
    facts = playout.facts("d")

    assert facts["frames"] == 100
    assert facts["bytes"] == 100 * 4800
    assert facts["seconds"] == pytest.approx(10)
    assert facts["underruns"] == 0
    assert facts["fastest"] == pytest.approx(1.25, abs=0.01)
    assert facts["most_ahead"] == pytest.approx(1.0 / (9 * FRAME / 1.25), abs=0.01)
    assert facts["most_lead_seconds"] == pytest.approx(10 - 99 * FRAME / 1.25 + JITTER_SECONDS, abs=0.001)
    assert facts["least_lead_seconds"] > 0


def test_an_empty_buffer_is_an_underrun_until_audio_comes(playout: Playout, clock: Hands) -> None:
    """Two holes in the audio are two under-runs, of exactly the silence that is heard."""
    stream(playout, clock, [0, 0.1, 1.0, 1.1, 3.0])

    # Plays 0.2 to 0.4, is silent until 1.0, plays until 1.2, is silent until 3.0.
    facts = playout.facts("d")
    assert facts["underruns"] == 2
    assert facts["underrun_seconds"] == pytest.approx(0.6 + 1.8)
    assert facts["least_lead_seconds"] == 0


def test_a_late_stop_is_an_underrun_and_a_prompt_one_is_not(playout: Playout, clock: Hands) -> None:
    """Without Stop the server waits for more audio; with it, the end of the audio is the end."""
    stream(playout, clock, [0, 0.1])
    clock.now += 0.1
    playout.finish("d")
    clock.now += 10
    assert playout.facts("d")["underruns"] == 0

    playout.begin("late", 16_000)
    playout.feed("late", tone(0.1))
    clock.now += 1.3
    playout.finish("late")
    assert playout.facts("late")["underruns"] == 1
    assert playout.facts("late")["underrun_seconds"] == pytest.approx(1.3 - JITTER_SECONDS - 0.1)


def test_the_audience_hears_the_audio_where_it_was_said(playout: Playout, clock: Hands) -> None:
    """Silence, then the drive from the jitter's end on, in the pitch it had, then silence again."""
    clock.now += 1.0
    playout.begin("d", 24_000)
    playout.feed("d", tone(1.0, 24_000, pitch=440))
    playout.finish("d")
    clock.now += 3.0
    begin, pcm = playout.heard_after(0)
    wave = np.frombuffer(pcm, "<i2").astype(float)
    first = round((1.0 + JITTER_SECONDS) * RATE)

    assert (begin, len(wave)) == (0, 4 * RATE)
    assert not wave[: first - 20].any()
    assert not wave[first + RATE + 20 :].any()
    spoken = wave[first : first + RATE]
    assert np.argmax(np.abs(np.fft.rfft(spoken))) == 440
    assert np.abs(spoken).max() == pytest.approx(8000, rel=0.05)


def test_the_audience_hears_frames_without_a_seam(playout: Playout, clock: Hands) -> None:
    """Conversion to the preview's rate leaves no click and no hole between frames."""
    playout.begin("d", 24_000)
    wave = tone(2.0, 24_000, pitch=300)
    for number in range(20):
        playout.feed("d", wave[number * 4800 : (number + 1) * 4800])
        clock.now += 0.09
    playout.finish("d")
    clock.now += 5
    heard = np.frombuffer(playout.heard_after(0)[1], "<i2").astype(float)
    spoken = heard[np.flatnonzero(heard)[0] :][: round(1.9 * RATE)]

    assert np.abs(np.diff(spoken)).max() < 8000 * 2 * np.pi * 300 / RATE * 1.1


def test_a_minute_is_kept(playout: Playout, clock: Hands) -> None:
    """However long the stream, and whether it spoke or not, only the last minute stays in memory."""
    clock.now += 5000
    begin, pcm = playout.heard_after(0)
    assert (begin, len(pcm)) == ((5000 - KEPT_SECONDS) * RATE, KEPT_SECONDS * RATE * 2)

    playout.begin("d", 16_000)
    playout.feed("d", tone(100.0))
    clock.now += 100
    begin, pcm = playout.heard_after(0)
    assert (begin, len(pcm)) == ((5100 - KEPT_SECONDS) * RATE, KEPT_SECONDS * RATE * 2)
    assert playout.heard_after(5100 * RATE) == (5100 * RATE, b"")


def test_a_new_drive_cuts_the_one_before(playout: Playout, clock: Hands) -> None:
    """Only one drive speaks; late audio of the one that was cut is nobody's."""
    playout.begin("old", 16_000)
    playout.feed("old", tone(5.0))
    clock.now += 1.0
    playout.begin("new", 16_000)
    playout.feed("old", tone(5.0))
    clock.now += 2.0

    assert playout.facts("old")["dropped"]
    assert playout.facts("old")["played_seconds"] == pytest.approx(1.0 - JITTER_SECONDS)
    assert not any(playout.heard_after(round(1.1 * RATE))[1])


def test_what_makes_no_sense_is_refused(playout: Playout) -> None:
    """Half samples, a drive that begins twice and audio after the end are errors of the caller."""
    playout.begin("d", 16_000)
    with pytest.raises(ValueError, match="whole samples"):
        playout.feed("d", b"abc")
    with pytest.raises(ValueError, match="began before"):
        playout.begin("d", 16_000)
    playout.finish("d")
    with pytest.raises(ValueError, match="is complete"):
        playout.feed("d", b"ab")
    with pytest.raises(KeyError):
        playout.feed("unknown", b"ab")


async def test_waits_last_as_long_as_the_speech() -> None:
    """The first word comes after the jitter, the end when all is said in real time."""
    playout = Playout()
    playout.begin("d", 16_000)
    began = time.monotonic()
    playout.feed("d", tone(0.5))
    assert await playout.wait_begun("d")
    assert time.monotonic() - began >= JITTER_SECONDS - 0.01
    playout.feed("d", tone(0.5))
    playout.finish("d")

    assert await playout.wait_said("d")
    assert time.monotonic() - began >= JITTER_SECONDS + 1.0 - 0.01
    assert playout.facts("d")["played_seconds"] == pytest.approx(1.0)


async def test_waits_end_with_a_drop_and_with_an_empty_drive() -> None:
    """Nobody waits for a drive that was cut, or for one that never said anything."""
    playout = Playout()
    playout.begin("cut", 16_000)
    playout.feed("cut", tone(60))
    playout.finish("cut")
    waiting = asyncio.create_task(playout.wait_said("cut"))
    await asyncio.sleep(0.05)
    playout.drop("cut")
    assert await asyncio.wait_for(waiting, 5) is False

    playout.begin("empty", 16_000)
    begun = asyncio.create_task(playout.wait_begun("empty"))
    said = asyncio.create_task(playout.wait_said("empty"))
    await asyncio.sleep(0.05)
    playout.finish("empty", unfinished=True)
    assert await asyncio.wait_for(begun, 5) is False
    assert await asyncio.wait_for(said, 5) is True
    assert playout.facts("empty")["unfinished"]
