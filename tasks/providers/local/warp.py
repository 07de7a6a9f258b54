"""Move the lower face of a picture into a pose, as two smooth layers that part along the line between the lips.

The maps are written down, not solved for: every column moves up or down by a monotone amount, so nothing folds or
smears, and the movement fades to nothing before the edge of the region, so there is no seam.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.providers.local.face import FaceFrame, Floats, Image, Lips
from tasks.providers.local.grid import grid_nodes, sample, smoothstep, upsample
from tasks.providers.local.mouth import Pose

REACH_SIDE: Final = 0.85
REACH_UP: Final = 0.52
REACH_DOWN: Final = 1.05
"""Region around the mouth that moves, in units."""
NOSE_HEIGHT: Final = 0.24
"""Height above the mouth where the upper lip's movement ends: just under the nose."""
NODES_PER_UNIT: Final = 44
"""Density of the grid on which the movement is computed; between nodes it is interpolated."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture, in pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True)
class WarpedFace:
    """The moved lower face.

    Attributes:
        region: where it belongs.
        rgb: uint8[h, w, 3].
        source_x: float32[h, w], the column of the face that shows there, in units.
        opening: float32[h, w], how far a pixel lies inside of the opening, in units; negative outside, roughly.
    """

    region: Region
    rgb: Image
    source_x: Floats
    opening: Floats


def warp_face(rgb: Image, frame: FaceFrame, pose: Pose, chin: float) -> WarpedFace | None:
    """Warp the lower face of a picture into a pose; None where the face lies outside of the picture.

    Args:
        rgb: uint8[h, w, 3].
        frame: frame of reference of the face.
        pose: where the lips go.
        chin: height of the tip of the chin, in units.
    """
    region = _region(rgb, frame)
    if region is None:
        return None
    step = max(1, round(frame.unit / NODES_PER_UNIT))
    width, height = region.right - region.left, region.bottom - region.top
    grid_x, grid_y = np.meshgrid(grid_nodes(width, step) + region.left, grid_nodes(height, step) + region.top)
    local = frame.to_local(np.stack([grid_x, grid_y], axis=-1))
    x, y = local[..., 0], local[..., 1]
    fields = _Fields.at(x, y, pose, chin)

    def every_pixel(field: Floats) -> Floats:
        return upsample(field, step, width, height)

    edges = every_pixel(np.stack([fields.below_upper, fields.above_lower, fields.source_x], axis=-1))
    below_upper, above_lower = edges[..., 0], edges[..., 1]
    # The layers part midway between the lips, softly over three pixels, as edges in photographs are.
    lower_share = np.clip((below_upper - above_lower) * np.float32(frame.unit / 6) + np.float32(0.5), 0, 1)
    upper_rows, lower_rows = _extent(lower_share < 1), _extent(lower_share > 0)
    upper_map = every_pixel(_to_pixels(frame, fields.source_x, y - fields.upper))[upper_rows]
    lower_map = every_pixel(_to_pixels(frame, fields.source_x, y - fields.lower))[lower_rows]
    upper, lower = sample(rgb, upper_map, cv2.BORDER_REFLECT), sample(rgb, lower_map, cv2.BORDER_REFLECT)
    warped = np.empty((height, width, 3), np.uint8)
    warped[upper_rows] = upper
    warped[lower_rows] = lower
    both = slice(lower_rows.start, upper_rows.stop)
    share = np.ascontiguousarray(lower_share[both])
    overlap = len(share)
    warped[both] = cv2.blendLinear(upper[len(upper) - overlap :], lower[:overlap], 1 - share, share)
    return WarpedFace(region, warped, edges[..., 2], np.minimum(below_upper, above_lower))


def beside_mouth(x: Floats, lips: Lips) -> Floats:
    """How far columns lie beside the mouth, in units; 0 between its corners."""
    return np.asarray(np.maximum(np.abs(x - lips.x.mean()) - lips.half_width, 0), np.float32)


@dataclass(frozen=True)
class _Fields:
    """On grid nodes, in units: the source column, how far content moves down, and how far the lips' edges are."""

    source_x: Floats
    upper: Floats
    lower: Floats
    below_upper: Floats
    above_lower: Floats

    @classmethod
    def at(cls, x: Floats, y: Floats, pose: Pose, chin: float) -> "_Fields":
        source, target = pose.source, pose.target
        half, centre = source.half_width, float(source.x.mean())
        window = smoothstep((REACH_SIDE - np.abs(x)) / 0.2)
        source_x = x + _widening(x - centre, y, half, pose.stretch) * window

        def over(heights: Floats) -> Floats:
            return np.interp(source_x, source.x, heights).astype(np.float32)

        outer_upper, inner_upper = over(target.outer_upper), over(target.inner_upper)
        inner_lower, outer_lower = over(target.inner_lower), over(target.outer_lower)
        beside = beside_mouth(source_x, source)
        # Past the corners of the mouth both layers move alike, or the cheek would tear.
        fade = np.exp(-((beside / (0.6 * half)) ** 2)) * window

        inside = np.clip((y - outer_upper) / np.maximum(inner_upper - outer_upper, 0.02), 0, 1)
        rise = smoothstep((y + NOSE_HEIGHT) / np.maximum(outer_upper + NOSE_HEIGHT, 0.05))
        outer = over(target.outer_upper - source.outer_upper)
        upper = (outer + (over(target.inner_upper - source.inner_upper) - outer) * inside) * rise * fade

        inside = np.clip((outer_lower - y) / np.maximum(outer_lower - inner_lower, 0.02), 0, 1)
        outer = over(target.outer_lower - source.outer_lower)
        lip = (outer + (over(target.inner_lower - source.inner_lower) - outer) * inside) * fade
        below = smoothstep((y - outer_lower) / max(0.85 * (chin - 0.1), 0.1))
        neck = 1 - smoothstep((y - chin) / max(REACH_DOWN - chin, 0.2))
        jaw = pose.jaw * smoothstep((0.8 - np.abs(x - centre)) / 0.6) * neck
        return cls(
            source_x=source_x,
            upper=upper,
            lower=lip * (1 - below) + jaw * below * window,
            below_upper=y - inner_upper - beside,
            above_lower=inner_lower - y - beside,
        )


def _widening(x: Floats, y: Floats, half: float, stretch: float) -> Floats:
    """What to add to a target column to find its source column, fading out beside, above and below the mouth."""
    edge = half * stretch
    beside = np.maximum(np.abs(x) - edge, 0) / (REACH_SIDE - edge)
    nearby = 1 - smoothstep(beside)
    tall = smoothstep((y + 0.28) / 0.22) * (1 - smoothstep((y - 0.12) / 0.36))
    return np.asarray(np.clip(x, -edge, edge) * (1 / stretch - 1) * nearby * tall, np.float32)


def _to_pixels(frame: FaceFrame, x: Floats, y: Floats) -> Floats:
    """Grid of units to a map of picture pixels, float32[rows, columns, 2]."""
    return np.ascontiguousarray(frame.to_picture(np.stack([x, y], axis=-1)), np.float32)


def _extent(rows: npt.NDArray[np.bool_]) -> slice:
    """The rows from the first to the last that hold anything."""
    found = np.flatnonzero(rows.any(axis=1))
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)


def _region(rgb: Image, frame: FaceFrame) -> Region | None:
    """The bounding rectangle of all that may move, inside the picture."""
    left, right, up, down = -REACH_SIDE, REACH_SIDE, -REACH_UP, REACH_DOWN
    corners = frame.to_picture(np.array([[left, up], [right, up], [left, down], [right, down]], np.float32))
    height, width = rgb.shape[:2]
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int) + 1
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(high[0], width), min(high[1], height)
    return Region(int(x0), int(y0), int(x1), int(y1)) if x1 - x0 > 8 and y1 - y0 > 8 else None
