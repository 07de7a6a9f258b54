"""Black and frozen stretches, found on small grey copies of the pictures."""

from typing import cast

import av
import cv2
import numpy as np
import numpy.typing as npt

from tasks.quality.stretches import Stretch, StretchFinder

_WIDTH = 320
# Video black is 16 of 255; compression noise reaches a little higher.
_BLACK_LEVEL = 40
_BLACK_SHARE = 0.98
# Encoders make a still picture breathe by a few levels; a moving lip changes more than a handful of pixels by more.
_STILL_LEVEL = 6
_STILL_PIXELS = 5
# Formats whose first plane is the brightness, one byte per pixel: nothing needs to be converted.
_PLAIN_LUMA = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "nv12", "gray"})
_SHORTEST_BLACK = 0.5
_SHORTEST_FROZEN = 1.0


class PictureCheck:
    """Takes every picture of a video once, in order."""

    def __init__(self) -> None:
        self._black = StretchFinder(_SHORTEST_BLACK)
        self._frozen = StretchFinder(_SHORTEST_FROZEN)
        self._reference: npt.NDArray[np.uint8] | None = None
        self._reference_time = 0.0

    def add(self, frame: av.VideoFrame, time: float) -> None:
        """Take the next picture and its time in seconds."""
        small = _shrink(frame)
        black = float((small < _BLACK_LEVEL).mean()) > _BLACK_SHARE
        self._black.add(time, holds=black)
        # Against the first picture of the stretch, not the one before: slow movement adds up.
        still = self._reference is not None and _same(small, self._reference)
        self._frozen.add(self._reference_time if still else time, holds=still and not black)
        if not still:
            self._reference, self._reference_time = small, time

    def black(self, end: float) -> list[Stretch]:
        """Black stretches of a video that ends at so many seconds."""
        return self._black.finish(end)

    def frozen(self, end: float) -> list[Stretch]:
        """Stretches without any movement, black ones left out."""
        return self._frozen.finish(end)


def _shrink(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    """A small grey copy, uint8[h, w]; brightness as it is stored, 16 to 235 in most video."""
    height = max(2, round(frame.height * _WIDTH / frame.width))
    if frame.format.name in _PLAIN_LUMA:
        plane = frame.planes[0]
        rows = np.frombuffer(cast("memoryview", plane), np.uint8).reshape(plane.height, plane.line_size)[
            :, : plane.width
        ]
        return np.asarray(cv2.resize(rows, (_WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)
    grey = frame.reformat(_WIDTH, height // 2 * 2, "yuv420p", interpolation="AREA").to_ndarray()
    return np.asarray(grey[: height // 2 * 2], np.uint8)


def _same(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> bool:
    if one.shape != other.shape:
        return False
    changed = cv2.absdiff(one, other) > _STILL_LEVEL
    return int(np.count_nonzero(changed)) <= _STILL_PIXELS
