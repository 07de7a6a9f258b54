"""Sound from any file as plain mono samples, in one forward pass.

Works for recordings and for the sound track of a video; the first sample lies at the moment the file starts to play.
"""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from tasks.errors import MediaRefused, Problem
from tasks.settings import get_settings

Wave = npt.NDArray[np.float32]

log = logging.getLogger("studio.audio")

# Timestamps of real files jitter by a few milliseconds; from here on it is a hole that would shift lips against sound.
_HOLE_SECONDS = 0.05


class MonoBlocks:
    """Turns decoded frames into consecutive blocks of mono samples, with silence where the file has a hole.

    Args:
        rate: samples per second of the blocks.
        origin: time of the file, in seconds, at which the first sample lies.
        max_seconds: reach on the file's clock; a timestamp beyond it is not trusted and not filled up to.
    """

    def __init__(self, rate: int, origin: float, max_seconds: float) -> None:
        self.rate = rate
        self.samples = 0
        """Samples handed out so far."""
        self._origin = origin
        self._max_seconds = max_seconds
        self._resampler: av.AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None
        self._skip = 0

    def feed(self, frame: av.AudioFrame) -> Iterator[Wave]:
        """Yield what one decoded frame adds: float32[n] in [-1, 1], possibly after a block of silence."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:
            # A stream may change its layout or rate half-way; a resampler keeps to the first it saw.
            yield from self.flush()
            self._shape = shape
        if frame.time is not None:
            yield from self._align(frame.time - self._origin)
        if self._resampler is None:
            # 32 bit integers: for floats the down-mix of two channels is not normalised and would clip.
            self._resampler = av.AudioResampler("s32", "mono", self.rate)
        # Own timestamps would make the resampler fill holes as well.
        frame.pts = None
        yield from self._convert(self._resampler.resample(frame))

    def flush(self) -> Iterator[Wave]:
        """Yield the last samples that the resampler holds back."""
        if self._resampler is not None:
            yield from self._convert(self._resampler.resample(None))
        self._resampler = None

    def _align(self, seconds: float) -> Iterator[Wave]:
        """Fill up to the time of the next frame, or cut what lies before the start of the file."""
        missing = seconds - self.samples / self.rate
        if self.samples == 0 and self._resampler is None and missing < 0:
            self._skip = round(-missing * self.rate)
        elif missing > _HOLE_SECONDS and seconds <= self._max_seconds:
            yield from self.flush()
            hole = max(0, round(seconds * self.rate) - self.samples)
            self.samples += hole
            for start in range(0, hole, self.rate):
                yield np.zeros(min(self.rate, hole - start), np.float32)

    def _convert(self, frames: list[av.AudioFrame]) -> Iterator[Wave]:
        for frame in frames:
            block = frame.to_ndarray()[0, : frame.samples].astype(np.float32) / np.float32(2**31)
            cut = min(self._skip, len(block))
            self._skip -= cut
            self.samples += len(block) - cut
            if cut < len(block):
                yield block[cut:]


def decode_mono(path: Path, rate: int, *, max_seconds: float | None = None, field: str = "speech.audio") -> Wave:
    """Decode the sound of an audio or video file.

    Args:
        path: any container and codec that FFmpeg reads, 1 or more channels, any sample rate.
        rate: samples per second wanted.
        max_seconds: longest sound accepted; None takes the setting for speech.
        field: name of the form field to blame.

    Returns:
        float32[n] in [-1, 1], from the moment the file starts to play; a late sound track begins with silence.

    Raises:
        MediaRefused: no such file, not media, no sound track, nothing decodable, or too long.
    """
    limit = get_settings().max_speech_seconds if max_seconds is None else max_seconds
    samples = bytearray()
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise _refused(field, f"{path.name} has no sound track.", "Give a file with a voice in it.")
            for block in decode_blocks(container, rate, limit):
                samples += block.tobytes()
                if len(samples) > limit * rate * 4:
                    raise _refused(field, f"{path.name} is longer than {limit:g} s.", "Cut it into shorter parts.")
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(field, f"{path.name} cannot be read as sound ({reason}).", "Export it again as WAV.") from error
    if not samples:
        raise _refused(field, f"{path.name} holds no sound that can be decoded.", "Export it again as WAV.")
    return np.frombuffer(samples, np.float32)


def decode_blocks(container: av.container.InputContainer, rate: int, limit: float) -> Iterator[Wave]:
    """The first sound track as mono float samples, block by block as it is decoded; damaged packets are skipped.

    Args:
        container: an open file with sound.
        rate: of the samples, in Hz.
        limit: seconds; a little more may come, for whoever refuses longer files.

    Raises:
        av.FFmpegError, OSError, ValueError: it cannot be decoded any further.
    """
    stream = container.streams.audio[0]
    origin = float(Fraction(container.start_time or 0, av.time_base))
    blocks = MonoBlocks(rate, origin, limit + 1)
    broken = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            broken += 1
            continue
        for frame in frames:
            yield from blocks.feed(frame)
    yield from blocks.flush()
    if broken:
        log.warning("damaged sound packets skipped file=%s packets=%d", Path(container.name).name, broken)


def _refused(field: str, wrong: str, fix: str) -> MediaRefused:
    return MediaRefused([Problem(field, wrong, fix)])
