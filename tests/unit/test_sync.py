"""The report on lips and sound: `tasks.quality.sync`."""

from pathlib import Path

import numpy as np
import pytest

from tasks.audio import Wave
from tasks.inspect import examine_video
from tasks.providers.local.visemes import track_from_phonemes
from tasks.providers.local.voice import RATE, get_voice
from tasks.quality.sync import SyncReport
from tests.talking_video import moving_pictures, talking_pictures, write_video

TEXT = "The studio opens its doors, and everybody may come in. Five people bought maps of Mumbai."


@pytest.fixture(scope="module")
def spoken() -> tuple[Wave, np.ndarray]:
    """A voice, and how far the jaw is open in each picture."""
    speech = get_voice().speak(TEXT)
    return speech.wave, track_from_phonemes(speech.phonemes, len(speech.wave) / RATE, 25)[:, 0]


def report_of(path: Path) -> SyncReport:
    sync = examine_video(path).sync
    assert sync is not None
    return sync


@pytest.mark.parametrize("delay", [0.0, 0.3, -0.2])
def test_shift_between_lips_and_sound_is_measured(
    tmp_path: Path, spoken: tuple[Wave, np.ndarray], delay: float
) -> None:
    """A shift that a viewer would notice is found, with its size and direction; none is called in sync."""
    wave, jaw = spoken
    cut = round(-min(delay, 0) * RATE)
    path = write_video(tmp_path / "a.mp4", talking_pictures(jaw), wave[cut:], rate=RATE, delay=max(delay, 0))

    sync = report_of(path)

    assert sync.lag_ms == pytest.approx(1000 * delay + 25, abs=40)
    assert sync.verdict == ("in sync" if delay == 0 else "out of sync")
    assert sync.face_seen > 0.95


def test_still_picture_is_called_still(tmp_path: Path, spoken: tuple[Wave, np.ndarray]) -> None:
    """A face that does not speak has next to no movement, and no lag is trusted."""
    wave, jaw = spoken
    still = report_of(write_video(tmp_path / "still.mp4", talking_pictures(0 * jaw), wave, rate=RATE))
    moving = report_of(write_video(tmp_path / "moving.mp4", talking_pictures(jaw), wave, rate=RATE))

    assert still.verdict == "mouth still"
    assert still.movement < 0.1 * moving.movement


def test_foreign_sound_is_not_called_in_sync(tmp_path: Path, spoken: tuple[Wave, np.ndarray]) -> None:
    """Lips of one sentence with the sound of another do not pass."""
    _, jaw = spoken
    other = get_voice().speak(
        "Nobody knows why seventeen hungry foxes were waiting there so very patiently, all night."
    )
    path = write_video(tmp_path / "a.mp4", talking_pictures(jaw), other.wave, rate=RATE)

    assert report_of(path).verdict in {"unsure", "out of sync"}


def test_no_face_and_no_voice_are_named(tmp_path: Path, spoken: tuple[Wave, np.ndarray]) -> None:
    """Where there is nothing to compare, the report says what is missing instead of a number."""
    wave, jaw = spoken
    faceless = report_of(write_video(tmp_path / "a.mp4", moving_pictures(100), wave[: 4 * RATE], rate=RATE))
    voiceless = report_of(write_video(tmp_path / "b.mp4", talking_pictures(jaw[:100]), 0 * wave[: 4 * RATE], rate=RATE))

    assert (faceless.verdict, faceless.lag_ms) == ("no face", None)
    assert (voiceless.verdict, voiceless.lag_ms) == ("no voice", None)


def test_long_video_is_sampled(tmp_path: Path) -> None:
    """A long video costs no more than a minute of looking, spread from its beginning to its end."""
    pictures = moving_pictures(200, 64, 64)
    path = write_video(tmp_path / "a.mp4", pictures, np.zeros(8000 * 100, np.float32), fps=2, rate=8000)

    assert report_of(path).sampled_seconds == pytest.approx(60, abs=2)
