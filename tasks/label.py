"""Say in the picture, and in the file, that the video was made by a machine.

The label never touches the archived original: it makes a second file beside it. Sizes follow GB 45438-2025:
letters of at least 5 % of the short side, shown for at least 2 s from the start.
"""

import asyncio
import hashlib
import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from tasks.models import Labels
from tasks.step import step

TEXT_HEIGHT = 0.05  # of the short side
MARGIN = 0.04  # of the short side
WEIGHT = 500  # of the letters; 400 is regular
IMPLICIT_MARK = "AI-generated video"


def label_digest(labels: Labels) -> str:
    """Short digest of everything in the label that changes the file; names the labelled copy in the archive."""
    facts = labels.model_dump() if labels.visible else {"visible": False}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


@step("label")
async def label_video(original: Path, labels: Labels, labelled: Path, render_key: str) -> Path:
    """Write the labelled copy of a video and return its path; without a visible label that is the original itself."""
    if not labels.visible:
        return original
    await asyncio.to_thread(burn_in, original, labels, labelled, render_key)
    return labelled


def burn_in(original: Path, labels: Labels, labelled: Path, render_key: str) -> None:
    """Re-encode the picture with the label in it; the sound is copied as it is, both in bounded memory."""
    with av.open(str(original)) as source, av.open(str(labelled), "w", options={"movflags": "+faststart"}) as target:
        target.metadata.update({"comment": f"{IMPLICIT_MARK}; render {render_key}"})
        picture = source.streams.video[0]
        picture.thread_type = "AUTO"
        encoder = _encoder_like(target, picture)
        sound = source.streams.audio[0] if source.streams.audio else None
        copy = target.add_stream_from_template(sound) if sound else None
        stamp = _Stamp(labels.text, encoder.width, encoder.height)
        start = float((picture.start_time or 0) * (picture.time_base or 0))
        last = start + labels.seconds if labels.seconds else float("inf")
        for packet in source.demux([stream for stream in (picture, sound) if stream]):
            if packet.stream is picture:
                for made in _stamped(packet.decode(), stamp, last, encoder):
                    target.mux(made)
            elif packet.dts is not None and copy is not None:
                packet.stream = copy
                target.mux(packet)
        target.mux(encoder.encode(None))


def _encoder_like(target: Any, picture: VideoStream) -> VideoStream:
    rate = picture.average_rate or Fraction(25)
    encoder: VideoStream = target.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
    # Subsampled colour has no odd sizes.
    encoder.width, encoder.height, encoder.pix_fmt = _even(picture.width), _even(picture.height), "yuv420p"
    encoder.codec_context.time_base = picture.time_base or 1 / rate
    context = picture.codec_context
    if context.sample_aspect_ratio:
        encoder.codec_context.sample_aspect_ratio = context.sample_aspect_ratio
    encoder.codec_context.color_range = context.color_range
    encoder.codec_context.colorspace = context.colorspace
    encoder.codec_context.color_primaries = context.color_primaries
    encoder.codec_context.color_trc = context.color_trc
    return encoder


def _stamped(frames: list[Any], stamp: "_Stamp", last: float, encoder: VideoStream) -> Iterator[Any]:
    for frame in frames:
        drawn = frame.reformat(encoder.width, encoder.height, "yuv420p")
        if frame.time is None or frame.time < last:
            planes = drawn.to_ndarray()
            stamp.on(planes)
            drawn = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            drawn.pts, drawn.time_base = frame.pts, frame.time_base
        drawn.pict_type = 0
        yield from encoder.encode(drawn)


class _Stamp:
    """The label, drawn once: white letters on a soft dark plate, in the lower left corner, wrapped if it is long."""

    def __init__(self, text: str, width: int, height: int) -> None:
        self._size = (width, height)
        short = min(width, height)
        margin, letters = round(short * MARGIN), max(10, round(short * TEXT_HEIGHT))
        pad, line_height = round(letters * 0.45), round(letters * 1.3)
        face = cv2.FontFace("sans")
        lines = _wrap(text, face, letters, width - 2 * (margin + pad))
        plate_width = _even(min(width, max(_text_width(line, face, letters) for line in lines) + 2 * pad))
        plate_height = _even(min(height, len(lines) * line_height + pad))
        plate: NDArray[np.uint8] = np.zeros((plate_height, plate_width, 3), np.uint8)
        for number, line in enumerate(lines):
            baseline = pad // 2 + number * line_height + round(letters * 1.0)
            cv2.putText(plate, line, (pad, baseline), (255, 255, 255), face, letters, WEIGHT)
        self._letters = plate[:, :, 0].astype(np.float32) / 255
        self._left = _even(min(margin, width - plate_width))
        self._top = _even(max(0, height - plate_height - margin))

    def on(self, planes: NDArray[np.uint8]) -> None:
        """Draw into planar YUV 4:2:0 as PyAV lays it out, ``(height * 3 / 2, width)``, in place."""
        width, height = self._size
        rows, columns = self._letters.shape
        luma = planes[self._top : self._top + rows, self._left : self._left + columns]
        darkened = luma * 0.45 + 16 * 0.55
        luma[:] = np.clip(darkened * (1 - self._letters) + 235 * self._letters, 0, 255).astype(np.uint8)
        for plane in planes[height:].reshape(2, height // 2, width // 2):
            part = plane[self._top // 2 : (self._top + rows) // 2, self._left // 2 : (self._left + columns) // 2]
            part[:] = (128 + (part.astype(np.int16) - 128) * 0.4).astype(np.uint8)


def _wrap(text: str, face: cv2.FontFace, letters: int, room: int) -> list[str]:
    """Break at the last character that fits; the law's letter size leaves no way to shrink instead."""
    lines = [""]
    for character in text:
        if lines[-1] and _text_width(lines[-1] + character, face, letters) > room:
            head, space, tail = lines[-1].rpartition(" ")
            lines[-1:] = [head, tail] if space and character != " " else [lines[-1], ""]
        lines[-1] += character
    return [line.strip() for line in lines if line.strip()]


def _text_width(text: str, face: cv2.FontFace, letters: int) -> int:
    x, _, width, _ = cv2.getTextSize((8192, 8192), text, (0, 0), face, letters, WEIGHT)
    return int(x + width)


def _even(value: int) -> int:
    return value // 2 * 2
