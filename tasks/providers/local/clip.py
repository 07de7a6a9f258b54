"""Read a clip as upright frames of constant rate, forwards and backwards, a few at a time."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from tasks.errors import ProviderRejected
from tasks.providers.local.face import Image
from tasks.providers.local.models import PROVIDER
from tasks.providers.local.portrait import fit_size

log = logging.getLogger("studio.local")

BACKWARD_FRAMES: Final = 24
"""Frames held at a time to play backwards; the rest of the clip stays in its file."""
_TOLERANCE: Final = 0.002
"""Seconds by which timestamps may be rounded."""


@dataclass(frozen=True)
class Clip:
    """A clip, seen at a constant frame rate and the size of the video. Frame i shows what is on screen at i / fps."""

    path: Path
    fps: int
    width: int
    height: int
    start: float
    """Timestamp of the first frame, in seconds."""

    @classmethod
    def open(cls, path: Path, fps: int, short_side: int | None) -> "Clip":
        """Look at the first frame.

        Raises:
            ProviderRejected: ``unreadable``.
        """
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise _unreadable("it has no picture")
                stream = container.streams.video[0]
                first = next(container.decode(stream), None)
                if first is None:
                    raise _unreadable("it holds no frame")
                aspect = stream.sample_aspect_ratio or 1
                width, height = max(2, round(first.width * float(aspect))), first.height
                if first.rotation % 180:
                    width, height = height, width
                return cls(path, fps, *fit_size(width, height, short_side), first.time or 0.0)
        except (av.FFmpegError, OSError) as error:
            raise _unreadable("it cannot be decoded") from error

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Image]:
        """Yield frames start to stop (or to the end) as uint8[height, width, 3]."""
        index, shown = start, None
        for time, frame in self._decoded(start / self.fps):
            while shown is not None and index / self.fps < time - _TOLERANCE:
                if stop is not None and index >= stop:
                    return
                yield self._upright(shown)
                index += 1
            shown = frame
        # The last frame stays on screen for as long as it says, or for one step.
        if shown is None:
            return
        lasts = float(shown.duration * shown.time_base) if shown.duration and shown.time_base else 1 / self.fps
        end = (shown.time or 0.0) - self.start + lasts
        while (stop is None or index < stop) and (index / self.fps < end - _TOLERANCE or index == 0):
            yield self._upright(shown)
            index += 1

    def play(self, length: int, count: int) -> Iterator[Image]:
        """Yield count frames of a clip of so many frames: forwards, backwards, forwards again, without a jump."""
        given = 0
        while given < count:
            before = given
            for frame in self._to_and_fro(length):
                yield frame
                given += 1
                if given == count:
                    return
            if given == before:
                raise _unreadable("it changed while it was read")

    def _to_and_fro(self, length: int) -> Iterator[Image]:
        """One round: frames 0 to length - 1 and back to 1."""
        yield from self.frames(0, length)
        stop = length - 1
        while stop > 1:
            start = max(1, stop - BACKWARD_FRAMES)
            yield from reversed(list(self.frames(start, stop)))
            stop = start

    def _decoded(self, since: float) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield time since the first frame and frame, beginning at or before a time."""
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = 2
            if since > 0 and stream.time_base:
                container.seek(int((since + self.start) / stream.time_base), stream=stream, backward=True)
            early = since <= 0
            for frame in self._decode(container, stream):
                time = (frame.time or 0.0) - self.start
                if not early and time > since + _TOLERANCE:
                    # The file's index leads too far: read it from its beginning instead.
                    break
                early = True
                yield time, frame
            else:
                return
        yield from self._decoded(0.0)

    def _decode(self, container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        try:
            yield from container.decode(stream)
        except av.FFmpegError as error:
            log.warning("clip is damaged and ends early path=%s error=%s", self.path.name, error)

    def _upright(self, frame: av.VideoFrame) -> Image:
        turns = round(frame.rotation / 90) % 4
        width, height = (self.height, self.width) if turns % 2 else (self.width, self.height)
        rgb = frame.to_ndarray(
            format="rgb24",
            width=width,
            height=height,
            src_colorspace=_colorspace(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=Interpolation.AREA if frame.width > width else Interpolation.BICUBIC,
        )
        return np.ascontiguousarray(np.rot90(rgb, turns), np.uint8)


def ping_pong(frame: int, length: int) -> int:
    """Which frame of a clip is shown as this frame of an endless to and fro."""
    if length <= 1:
        return 0
    place = frame % (2 * length - 2)
    return place if place < length else 2 * length - 2 - place


def _colorspace(frame: av.VideoFrame) -> Colorspace:
    """Files that do not say so use BT.709 for high definition and BT.601 below."""
    known = {int(space) for space in Colorspace}
    if int(frame.colorspace) in known:
        return Colorspace(int(frame.colorspace))
    return Colorspace.ITU709 if min(frame.width, frame.height) >= 720 else Colorspace.ITU601


def _unreadable(why: str) -> ProviderRejected:
    return ProviderRejected(
        f"the clip cannot be read: {why}.",
        provider=PROVIDER,
        code="unreadable",
        fix="Give an MP4, MOV or WebM file that plays in a video player.",
    )
