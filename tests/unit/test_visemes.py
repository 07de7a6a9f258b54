"""Mouth shapes from phonemes and from sound: `tasks.providers.local.visemes`."""

import numpy as np
import pytest

from tasks.audio import Wave
from tasks.providers.local.visemes import frame_count, rest_track, track_from_audio, track_from_phonemes
from tasks.providers.local.voice import Phoneme

OPEN, WIDE, PRESS, TUCK = range(4)


def at(track: np.ndarray, seconds: float, fps: int = 25) -> np.ndarray:
    return track[round(seconds * fps)]


def spell(symbols: str, each: float = 0.2) -> list[Phoneme]:
    return [Phoneme(i * each, (i + 1) * each, None if s == " " else s) for i, s in enumerate(symbols)]


def hum(seconds: float, rate: int, formants: tuple[float, ...]) -> Wave:
    """A vowel-like sound: harmonics of 120 Hz, strong near the formants."""
    time = np.arange(round(seconds * rate)) / rate
    wave = np.zeros_like(time)
    for harmonic in np.arange(120, min(5000, rate / 2), 120):
        gain = sum(np.exp(-(((harmonic - formant) / 120) ** 2)) for formant in formants) + 0.01
        wave += gain * np.sin(2 * np.pi * harmonic * time)
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


def test_lips_meet_for_m_and_open_for_a() -> None:
    """The shapes that viewers notice most are the ones that phonetics demands."""
    track = track_from_phonemes(spell(" ɑmɑfɑ "), 1.4, 25)  # noqa: RUF001 - a phonetic symbol

    assert at(track, 0.24)[OPEN] > 0.7
    assert at(track, 0.40)[PRESS] > 0.8
    assert at(track, 0.40)[OPEN] < 0.2
    assert at(track, 0.80)[TUCK] > 0.7


def test_lips_round_for_u_and_spread_for_i() -> None:
    """Rounded and spread vowels differ in width."""
    track = track_from_phonemes(spell(" uui iii"), 1.6, 25)

    assert at(track, 0.35)[WIDE] < -0.6
    assert at(track, 1.2)[WIDE] > 0.5


def test_mouth_moves_before_the_sound() -> None:
    """The jaw opens ahead of the vowel's middle, as jaws do."""
    track = track_from_phonemes([Phoneme(0, 1, None), Phoneme(1, 1.2, "a"), Phoneme(1.2, 2, None)], 2, 100)

    assert 1.03 < np.argmax(track[:, OPEN]) / 100 < 1.1


@pytest.mark.parametrize(("seconds", "fps", "frames"), [(1.0, 25, 25), (1.001, 25, 26), (0.04, 25, 1), (0.1, 30, 3)])
def test_frames_cover_the_sound(seconds: float, fps: int, frames: int) -> None:
    """A track has exactly the frames that the video needs; rounding errors add none."""
    assert frame_count(seconds, fps) == frames
    assert rest_track(seconds, fps).shape == (frames, 4)
    assert track_from_phonemes([Phoneme(0, seconds, "a")], seconds, fps).shape == (frames, 4)


def test_values_stay_in_their_ranges() -> None:
    """The renderer can rely on the ranges, whatever the phonemes."""
    symbols = "".join(np.random.default_rng(1).choice(list("ɑmfuizsʃ ʔX"), 300))  # noqa: RUF001 - phonetic symbols

    track = track_from_phonemes(spell(symbols, 0.03), 9, 30)

    assert np.isfinite(track).all()
    assert (track[:, [OPEN, PRESS, TUCK]] >= 0).all()
    assert (np.abs(track) <= 1).all()


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
def test_sound_alone_opens_and_shuts_the_mouth(rate: int) -> None:
    """A mouth follows a recording in any language: open in the vowel, shut in the pause, whatever the sample rate."""
    pause = np.zeros(rate // 2, np.float32)
    wave = np.concatenate([pause, hum(0.5, rate, (750, 1200)), pause, hum(0.5, rate, (300, 2300)), pause])

    track = track_from_audio(wave, rate, 25)

    assert track is not None
    assert track.shape == (63, 4)
    assert at(track, 0.7)[OPEN] > 0.3
    assert at(track, 0.7)[OPEN] > 1.5 * at(track, 1.72)[OPEN]
    assert at(track, 1.2)[OPEN] < 0.05
    assert at(track, 1.2)[PRESS] > 0.2
    assert at(track, 1.72)[WIDE] > at(track, 0.7)[WIDE]


def test_silence_has_no_track() -> None:
    """Silence and faint hiss are not speech."""
    hiss = np.random.default_rng(0).normal(0, 1e-4, 16_000).astype(np.float32)

    assert track_from_audio(np.zeros(16_000, np.float32), 16_000, 25) is None
    assert track_from_audio(hiss, 16_000, 25) is None


def test_blocks_do_not_show() -> None:
    """The estimate is made block by block; a repeated sound gives a repeated mouth across block borders."""
    once = np.concatenate([hum(0.3, 16_000, (750, 1200)), np.zeros(3200, np.float32)])

    track = track_from_audio(np.tile(once, 50), 16_000, 25)

    assert track is not None
    cycles = track[: 48 * 25 // 2, OPEN].reshape(-1, 25)
    assert np.abs(cycles[1:] - cycles[1]).max() < 0.02
