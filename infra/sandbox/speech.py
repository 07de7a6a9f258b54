"""Sound for scripts that nothing here can speak: a murmur with the length and the rhythm of speech."""

import unicodedata
from pathlib import Path

import av
import numpy as np

from infra.sandbox.material import JobFailed, Material
from tasks.audio import Wave, decode_mono
from tasks.errors import MediaRefused

RATE = 24_000
LONGEST_SECONDS = 3600.0

_LETTERS_PER_SECOND, _SIGNS_PER_SECOND = 15.0, 4.0
_SHORTEST_SECONDS = 1.0
_SYLLABLES_PER_SECOND = 4.5
_PITCH, _HARMONICS = 130.0, 12
_LOUDNESS = 0.25


def spoken_seconds(text: str, speed: float = 1.0) -> float:
    """How long a text takes to say: about 15 letters a second, or 4 Chinese, Japanese or Korean signs."""
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    seconds = wide / _SIGNS_PER_SECOND + (len(text) - wide) / _LETTERS_PER_SECOND
    return max(_SHORTEST_SECONDS, seconds / speed)


def recorded_seconds(path: Path) -> float:
    """How long a recording says that it is; 0 for one that cannot be read."""
    try:
        with av.open(str(path)) as container:
            return float((container.duration or 0) / av.time_base)
    except (av.FFmpegError, OSError):
        return 0.0


def murmur(text: str, speed: float = 1.0) -> Wave:
    """float32[n] at ``RATE``: a hummed voice that opens and closes like syllables, a little different for each text."""
    clock = np.arange(round(spoken_seconds(text, speed) * RATE)) / RATE
    turn = sum(map(ord, text)) % 7 / 7
    pitch = _PITCH * (1 + 0.08 * np.sin(2 * np.pi * 0.6 * clock + turn))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(phase * number) / number for number in range(1, _HARMONICS + 1))
    syllables = np.abs(np.sin(np.pi * _SYLLABLES_PER_SECOND * speed * clock)) ** 1.5
    phrases = 0.6 + 0.4 * np.sin(2 * np.pi * 0.35 * clock + 2 * np.pi * turn)
    return np.asarray(_LOUDNESS * voice * syllables * phrases, np.float32)


def hear(material: Material) -> Wave:
    """The recording, or a murmur for the script: float32[n] at ``RATE``.

    Raises:
        JobFailed: the recording cannot be decoded.
    """
    if material.recording is None:
        return murmur(material.script, material.speed)
    try:
        return decode_mono(material.recording, RATE, max_seconds=LONGEST_SECONDS)
    except MediaRefused as error:
        raise JobFailed("the audio cannot be decoded") from error
