"""A script through the studio's own voice: each sentence is made while the one before it is spoken."""

from collections.abc import AsyncGenerator, Generator
from threading import Lock

import numpy as np
from scipy.signal import resample_poly

from tasks.audio import Wave
from tasks.errors import Problem
from tasks.providers.local.voice import BRING_RECORDING, DEFAULT_VOICE, RATE, check_script, get_voice
from tasks.show.ahead import read_ahead
from tasks.show.pcm import as_pcm
from tasks.show.rundown import SpeechCue

# Raises the voice towards the loudness of recordings. The loudness of a whole script is not known at its first word, so
# all sentences get the same, but none more than its peaks allow.
_GAIN = 1.7
_HIGHEST_PEAK = 10 ** (-1 / 20)

_FIELDS = {"speech.text": "script", "speech.voice": "voice", "speech.speed": "speed"}

# One voice is loaded per process, and speaks one sentence at a time: shows beside each other take turns.
_turn = Lock()


def spoken_pcm(script: str, *, voice: str | None = None, speed: float = 1.0, sample_rate: int) -> AsyncGenerator[bytes]:
    """Speak a script that ``check_spoken`` found nothing wrong with.

    Args:
        script: what is said.
        voice: name of a bundled voice; None takes the default.
        speed: 1 is normal, 2 is twice as fast.
        sample_rate: samples per second wanted.

    Yields:
        PCM, signed 16-bit little-endian, mono: one piece per sentence, with the pause after it.

    Raises:
        RenderFailed: the installed voice is not the known one.
    """
    return read_ahead(_sentences(script, voice or DEFAULT_VOICE, speed, sample_rate))


def check_spoken(cue: SpeechCue) -> list[Problem]:
    """What keeps the studio's voice from speaking this cue, by the names of its fields; empty when nothing does."""
    return [
        Problem(
            _FIELDS[problem.field],
            problem.wrong,
            "Use a text cue with a timbre, or a recording." if problem.fix == BRING_RECORDING else problem.fix,
        )
        for problem in check_script(cue.script, "en", cue.voice, cue.speed)
    ]


def _sentences(script: str, voice: str, speed: float, sample_rate: int) -> Generator[bytes]:
    with _turn:
        coming = get_voice(voice).sentences(script, speed)
    while True:
        with _turn:
            spoken = next(coming, None)
        if spoken is None:
            return
        yield as_pcm(_at_rate(_raised(spoken.wave), sample_rate))


def _raised(wave: Wave) -> Wave:
    peak = float(np.abs(wave).max(initial=0))
    return wave * np.float32(min(_GAIN, _HIGHEST_PEAK / peak) if peak else 1)


def _at_rate(wave: Wave, sample_rate: int) -> Wave:
    """Sentences begin and end in silence, so that each can be resampled on its own."""
    if sample_rate == RATE:
        return wave
    resampled: Wave = resample_poly(wave, sample_rate, RATE).astype(np.float32)
    return resampled
