"""Is the mouth in a picture open, and where exactly do its lips meet? The mesh alone answers neither well."""

from typing import Final

import cv2
import numpy as np

from tasks.providers.local.face import FaceFrame, Floats, Image, Lips
from tasks.providers.local.grid import sample

OPEN_GAP: Final = 0.03
"""Smallest gap, in units, that can be an open mouth; the mesh often draws a shut one as open by less."""
OPENS_AT: Final = 0.4
"""Openness from which a mouth counts as open."""
_ROWS: Final = 41
_TALL: Final = 0.25
"""Half the height of the strip that holds lips and opening, in units."""
_SEARCH: Final = 0.055
"""How far above and below the mesh's line the lips may really meet, in units."""


def openness(rgb: Image, lips: Lips, frame: FaceFrame) -> float:
    """How surely the mouth is open, 0 to 1: the share of what lies between the lips that does not look like lip."""
    between, lip = _samples(rgb, lips, frame, 1.0)
    if lips.gap < OPEN_GAP or len(between) < 12 or len(lip) < 12:
        return 0.0
    lip_light, lip_red, _ = np.median(lip, axis=0)
    light, red = between[:, 0], between[:, 1]
    return float(((red < lip_red - 5) | (light > lip_light + 28) | (light < lip_light - 45)).mean())


def shows_teeth(rgb: Image, lips: Lips, frame: FaceFrame) -> bool:
    """Whether an open mouth shows teeth rather than the dark: something bright under the upper lip."""
    between, lip = _samples(rgb, lips, frame, 0.6)
    if len(between) < 12 or len(lip) < 12:
        return False
    return float((between[:, 0] > np.median(lip[:, 0]) + 12).mean()) > 0.3


def _samples(rgb: Image, lips: Lips, frame: FaceFrame, upper_part: float) -> tuple[Floats, Floats]:
    """What lies between the lips, down to a part of the opening, and the lips themselves: Lab, float32[n, 3] each."""
    lab = np.asarray(cv2.cvtColor(_strip(rgb, lips, frame, _TALL), cv2.COLOR_RGB2Lab), np.float32)
    side = len(lips.x) // 5
    columns = slice(side, len(lips.x) - side)
    position = _positions(lips, _TALL)[:, columns]
    upper, lower = lips.inner_upper[columns], lips.inner_lower[columns]
    opening = lower - upper
    between = (position > upper + 0.15 * opening) & (position < upper + (upper_part - 0.15) * opening)
    upper_lip = (position < upper - 0.01) & (position > lips.outer_upper[columns])
    lower_lip = (position > lower + 0.01) & (position < lips.outer_lower[columns])
    seen = lab[:, columns]
    return seen[between], seen[upper_lip | lower_lip]


def seam_offset(rgb: Image, lips: Lips, frame: FaceFrame) -> Floats:
    """How far below the mesh's middle line shut lips really meet: the dark seam nearby, float32[SAMPLES], in units."""
    grey = cv2.GaussianBlur(cv2.cvtColor(_strip(rgb, lips, frame, _SEARCH), cv2.COLOR_RGB2GRAY), (5, 3), 0)
    light = np.asarray(grey, np.float32)
    offset = np.linspace(-_SEARCH, _SEARCH, _ROWS, dtype=np.float32)
    contrast = max(float(light.std()), 1.0)
    path = _cheapest_path(light / contrast + ((offset / (0.6 * _SEARCH)) ** 2)[:, None])
    kernel = np.hanning(11)[1:-1]
    seam = np.convolve(np.pad(offset[path], 4, mode="edge"), kernel / kernel.sum(), "valid")
    # The corners stay where the mesh has them: there the search sees the cheek's shadow.
    across = np.abs(lips.x - lips.x.mean()) / lips.half_width
    return np.asarray(seam * np.clip((0.97 - across) / 0.15, 0, 1), np.float32)


def shut(lips: Lips, offset: Floats) -> Lips:
    """Lips that meet in one line, float32[SAMPLES] units below their middle."""
    return lips.reopened(_middle(lips) + offset, np.zeros_like(offset))


def _middle(lips: Lips) -> Floats:
    return np.asarray((lips.inner_upper + lips.inner_lower) / 2, np.float32)


def _positions(lips: Lips, reach: float) -> Floats:
    """Heights of the rows of a strip along the mouth, float32[_ROWS, SAMPLES], in units."""
    return _middle(lips)[None] + np.linspace(-reach, reach, _ROWS, dtype=np.float32)[:, None]


def _strip(rgb: Image, lips: Lips, frame: FaceFrame, reach: float) -> Image:
    """The mouth straightened along its middle line: uint8[_ROWS, SAMPLES, 3]."""
    heights = _positions(lips, reach)
    where = frame.to_picture(np.stack([np.broadcast_to(lips.x, heights.shape), heights], axis=-1))
    return sample(rgb, where, smooth=False)


def _cheapest_path(cost: Floats) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Row per column of the cheapest left-to-right path that climbs at most one row per column."""
    rows, columns = cost.shape
    total = cost.copy()
    came = np.zeros(cost.shape, np.intp)
    before = np.full(rows + 2, np.inf, np.float32)
    options = np.lib.stride_tricks.sliding_window_view(before, 3)
    for column in range(1, columns):
        before[1:-1] = total[:, column - 1]
        came[:, column] = options.argmin(axis=1) - 1
        total[:, column] += options.min(axis=1)
    path = np.empty(columns, np.intp)
    path[-1] = total[:, -1].argmin()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = np.clip(path[column] + came[path[column], column], 0, rows - 1)
    return path
