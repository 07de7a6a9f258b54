"""What the stream's audience heard lately: one unbroken line of samples, silence included."""

from collections.abc import Iterator

import av
import numpy as np

from infra.sandbox.zego.pace import SAMPLE_BYTES

RATE = 16_000
"""Samples a second that are kept."""
KEPT_SECONDS = 60


class Heard:
    """The last ``KEPT_SECONDS`` as signed 16-bit mono at ``RATE``; sample 0 is the beginning of the stream."""

    def __init__(self) -> None:
        self.end = 0
        """Samples since the beginning."""
        self._kept = bytearray()

    def add(self, pcm: bytes) -> None:
        """Add what was said; whole samples."""
        self.end += len(pcm) // SAMPLE_BYTES
        self._kept += pcm
        self._trim()

    def be_silent_until(self, sample: int) -> None:
        """Fill up with silence."""
        missing = sample - self.end
        if missing <= 0:
            return
        self._kept += bytes(min(missing, KEPT_SECONDS * RATE) * SAMPLE_BYTES)
        self.end = sample
        self._trim()

    def after(self, sample: int) -> tuple[int, bytes]:
        """What was heard from this sample on, and the sample that it begins with: a later one for an old place."""
        begin = min(max(sample, self.end - len(self._kept) // SAMPLE_BYTES), self.end)
        return begin, bytes(self._kept[len(self._kept) - (self.end - begin) * SAMPLE_BYTES :])

    def _trim(self) -> None:
        surplus = len(self._kept) - KEPT_SECONDS * RATE * SAMPLE_BYTES
        if surplus > 0:
            del self._kept[:surplus]


class Converter:
    """Brings the audio of one drive to ``RATE``, piece by piece.

    Args:
        sample_rate: of the audio, in Hz; signed 16-bit mono.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._resampler = av.AudioResampler("s16", "mono", RATE) if sample_rate != RATE else None

    def convert(self, pcm: bytes) -> bytes:
        """The next piece; a resampler holds back a few samples."""
        if self._resampler is None or not pcm:
            return pcm
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, np.int16)[None], format="s16", layout="mono")
        frame.sample_rate = self._rate
        return b"".join(_raw(self._resampler.resample(frame)))

    def flush(self) -> bytes:
        """The rest; nothing may be converted afterwards."""
        if self._resampler is None:
            return b""
        rest = b"".join(_raw(self._resampler.resample(None)))
        self._resampler = None
        return rest


def _raw(frames: list[av.AudioFrame]) -> Iterator[bytes]:
    return (frame.to_ndarray().tobytes() for frame in frames)
