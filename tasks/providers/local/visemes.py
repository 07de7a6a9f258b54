"""Mouth shapes over time: exact from timed phonemes, or estimated from the sound of any language.

A track is float32[frames, 4]; its columns are ``open`` 0..1 (jaw), ``wide`` -1..1 (pucker to spread), ``press`` 0..1
(lips together) and ``tuck`` 0..1 (lower lip under the teeth, as in f).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tasks.audio import Wave
from tasks.providers.local.voice import Phoneme
from tasks.quality.articulation import CURVE_RATE, estimate_articulation

Track = npt.NDArray[np.float32]


class _Viseme(NamedTuple):
    open: float
    wide: float
    press: float = 0.0
    tuck: float = 0.0
    strength: float = 1.0
    """How much the shape wins over its neighbours: lips must meet for a p, but hardly move for a k."""


_REST = _Viseme(0.0, 0.0, press=0.35, strength=0.8)
_VISEMES: dict[str, _Viseme] = {
    symbol: viseme
    for symbols, viseme in (
        ("ɑa", _Viseme(1.0, 0.0)),  # noqa: RUF001 - a phonetic symbol
        ("æ", _Viseme(0.85, 0.35)),
        ("ʌɐ", _Viseme(0.65, 0.05)),
        ("ɔɒ", _Viseme(0.75, -0.55)),
        ("OQ", _Viseme(0.6, -0.8)),
        ("W", _Viseme(0.85, -0.2)),
        ("I", _Viseme(0.85, 0.25)),
        ("A", _Viseme(0.55, 0.6)),
        ("ɛe", _Viseme(0.6, 0.4)),
        ("ɜəᵊɚ", _Viseme(0.38, -0.05, strength=0.6)),
        ("iᵻɪ", _Viseme(0.28, 0.75)),  # noqa: RUF001 - a phonetic symbol
        ("Y", _Viseme(0.6, -0.3)),
        ("uʊ", _Viseme(0.28, -1.0)),
        ("w", _Viseme(0.15, -1.0, strength=1.3)),
        ("mbp", _Viseme(0.0, 0.0, press=1.0, strength=2.6)),
        ("fv", _Viseme(0.10, 0.1, tuck=1.0, strength=2.2)),
        ("szʦ", _Viseme(0.12, 0.45)),
        ("ʃʒʧʤ", _Viseme(0.2, -0.55, strength=1.3)),
        ("θð", _Viseme(0.22, 0.1)),
        ("tdnTɾ", _Viseme(0.2, 0.2, strength=0.6)),
        ("l", _Viseme(0.32, 0.15, strength=0.7)),
        ("ɹr", _Viseme(0.25, -0.5, strength=0.8)),
        ("kɡgŋ", _Viseme(0.25, 0.1, strength=0.4)),  # noqa: RUF001 - a phonetic symbol
        ("hj", _Viseme(0.3, 0.1, strength=0.3)),
    )
    for symbol in symbols
}
# Silences shorter than this are word borders inside fluent speech: the mouth does not rest.
_SHORTEST_REST = 0.03
# Lips are in place a moment before a sound is heard.
_TEXT_LEAD = 0.025
_AUDIO_LEAD = 0.03


def frame_count(seconds: float, fps: int) -> int:
    """Frames needed to cover so many seconds; a rounding error of the length adds no frame."""
    return max(1, int(np.ceil(round(seconds * fps, 6))))


def track_from_phonemes(phonemes: Sequence[Phoneme], seconds: float, fps: int) -> Track:
    """Blend the shapes of timed phonemes by dominance (Cohen and Massaro): each pulls on its surroundings."""
    times = np.arange(frame_count(seconds, fps)) / fps + _TEXT_LEAD
    # Where nothing pulls, the mouth rests.
    total = np.full(len(times), 1e-6)
    weighted = np.outer(total, _REST[:4])
    for phoneme in phonemes:
        viseme = _shape_of(phoneme)
        if viseme is None:
            continue
        centre = (phoneme.start + phoneme.end) / 2
        half = max((phoneme.end - phoneme.start) / 2, 0.025)
        reach = half * 0.6 + 0.018
        # Four widths away the pull is below 1e-7; a long script would otherwise cost frames times phonemes.
        low, high = np.searchsorted(times, [centre - half / 2 - 4 * reach, centre + half / 2 + 4 * reach])
        distance = np.maximum(np.abs(times[low:high] - centre) - half / 2, 0) / reach
        pull = viseme.strength * np.exp(-distance * distance)
        weighted[low:high] += pull[:, None] * np.array(viseme[:4])
        total[low:high] += pull
    return np.asarray(weighted / total[:, None], np.float32)


def _shape_of(phoneme: Phoneme) -> _Viseme | None:
    viseme = _VISEMES.get(phoneme.symbol or "")
    if viseme is None and phoneme.end - phoneme.start >= _SHORTEST_REST:
        return _REST
    return viseme


def track_from_audio(wave: Wave, rate: int, fps: int) -> Track | None:
    """Estimate mouth shapes from the sound itself; None when nothing in it is loud enough to be a voice."""
    mouth = estimate_articulation(wave, rate)
    if mouth is None:
        return None
    times = np.arange(frame_count(len(wave) / rate, fps)) / fps + _AUDIO_LEAD
    clock = np.arange(len(mouth.jaw)) / CURVE_RATE
    curves = (mouth.jaw, mouth.lips, mouth.closure, np.zeros_like(mouth.jaw))
    return np.stack([np.interp(times, clock, curve) for curve in curves], axis=1).astype(np.float32)


def rest_track(seconds: float, fps: int) -> Track:
    """A mouth at rest."""
    return np.tile(np.array(_REST[:4], np.float32), (frame_count(seconds, fps), 1))
