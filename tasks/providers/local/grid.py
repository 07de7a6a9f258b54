"""Small tools of warping: read a picture at given places, stretch a coarse grid, ease between two values."""

from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from tasks.providers.local.face import Floats

_Pixels = TypeVar("_Pixels", np.uint8, np.float32)


def sample(
    picture: npt.NDArray[_Pixels], where: Floats, border: int = cv2.BORDER_REPLICATE, *, smooth: bool = True
) -> npt.NDArray[_Pixels]:
    """Read a picture at places.

    Args:
        picture: [h, w] or [h, w, channels].
        where: float32[rows, columns, 2], x and y in pixels.
        border: what lies beyond the picture, as in ``cv2.remap``.
        smooth: cubic instead of linear: keeps the grain of a photograph.
    """
    method = cv2.INTER_CUBIC if smooth else cv2.INTER_LINEAR
    # The type stubs want a second map; where one map holds both coordinates it has to be None.
    read: npt.NDArray[_Pixels] = cv2.remap(picture, where, None, method, borderMode=border)  # type: ignore[call-overload]
    return read


def grid_nodes(length: int, step: int) -> Floats:
    """Places of grid nodes, float32[n] in pixels, so that ``upsample`` needs no value from beyond the outer ones."""
    return (np.arange(-1, -(-length // step) + 1, dtype=np.float32) + np.float32(0.5)) * step - np.float32(0.5)


def upsample(field: Floats, step: int, width: int, height: int) -> Floats:
    """Stretch a field on grid nodes to every pixel, float32[height, width, ...]."""
    rows, columns = field.shape[:2]
    # Each node covers one cell of step x step pixels: a plain resize, eight times as fast as a warp.
    full = cv2.resize(field, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[step : step + height, step : step + width], np.float32)


def smoothstep(values: npt.NDArray[np.floating[Any]]) -> Floats:
    """0 below 0, 1 above 1, smooth in between."""
    clipped = np.clip(values, 0, 1)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), np.float32)
