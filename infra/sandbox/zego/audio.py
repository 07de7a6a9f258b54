"""The audio that a drive speaks: a murmur for a text, the decoded file for a link."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import av
import numpy as np

from infra.sandbox.speech import RATE, murmur

FORMATS = frozenset({"mp3", "wav"})
_PIECE_BYTES = RATE * 2
"""A second."""


class Unspeakable(Exception):
    """There is nothing in it that could be spoken."""


async def text_pcm(text: str, speed: float, part: float) -> bytes:
    """Signed 16-bit mono at ``speech.RATE``: as long as the text takes to say, or the first ``part`` of that."""

    def make() -> bytes:
        wave = murmur(text, speed)
        return (wave[: round(len(wave) * part)] * 32_767).astype("<i2").tobytes()

    return await asyncio.to_thread(make)


async def file_pcm(path: Path, channel: int) -> AsyncIterator[bytes]:
    """Signed 16-bit mono at ``speech.RATE`` in pieces of a second.

    Args:
        path: an MP3 or WAV file.
        channel: of a stereo file: 0 both, mixed; 1 left; 2 right.

    Raises:
        Unspeakable: another format, damaged, or without sound.
    """
    pieces = _decode(path, channel)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


def _decode(path: Path, channel: int) -> Iterator[bytes]:
    try:
        with av.open(str(path)) as container:
            if container.format.name not in FORMATS or not container.streams.audio:
                raise Unspeakable(f"AudioUrl holds {container.format.name}, neither MP3 nor WAV")
            yield from _joined(_sides(container, channel))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unspeakable("AudioUrl holds no audio that can be decoded") from error


def _sides(container: av.container.InputContainer, channel: int) -> Iterator[bytes]:
    resampler = av.AudioResampler("s16", "stereo" if channel else "mono", RATE)
    for frame in itertools.chain(container.decode(audio=0), [None]):
        for part in resampler.resample(frame):
            samples = part.to_ndarray().reshape(-1)
            yield np.ascontiguousarray(samples[channel - 1 :: 2] if channel else samples).tobytes()


def _joined(parts: Iterator[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for part in parts:
        piece += part
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
