"""The frame of reference of one face, and the outlines of its lips in it.

Lengths are in *units*: the distance between the outer corners of the eyes, about 90 mm on a grown-up. The origin lies
midway between the corners of the mouth; x follows the line of the eyes, y points to the chin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.facemesh import topology as mesh

Floats = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SAMPLES: Final = 49
"""Points along each lip outline."""


@dataclass(frozen=True)
class FaceFrame:
    """Where the mouth's frame of reference lies in the picture."""

    origin: Floats
    """float32[2], pixels."""
    right: Floats
    """float32[2], unit vector along the line of the eyes."""
    unit: float
    """Pixels per unit."""

    @classmethod
    def of(cls, points: Floats) -> "FaceFrame":
        """The frame of a face mesh, float32[468, 3]."""
        eyes = points[mesh.RIGHT_EYE_OUTER] - points[mesh.LEFT_EYE_OUTER]
        right = eyes[:2] / np.linalg.norm(eyes[:2])
        origin = (points[mesh.MOUTH_LEFT, :2] + points[mesh.MOUTH_RIGHT, :2]) / 2
        # With depth, so that a turned head keeps its size.
        return cls(origin.astype(np.float32), right.astype(np.float32), float(np.linalg.norm(eyes)))

    def to_local(self, xy: Floats) -> Floats:
        """Picture pixels float32[..., 2] to units."""
        across, down = xy[..., 0] - self.origin[0], xy[..., 1] - self.origin[1]
        cos, sin = self.right / np.float32(self.unit)
        return np.stack([across * cos + down * sin, down * cos - across * sin], axis=-1).astype(np.float32, copy=False)

    def to_picture(self, local: Floats) -> Floats:
        """Units float32[..., 2] to picture pixels."""
        x, y = local[..., 0], local[..., 1]
        cos, sin = self.right * np.float32(self.unit)
        across, down = x * cos - y * sin + self.origin[0], x * sin + y * cos + self.origin[1]
        return np.stack([across, down], axis=-1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Lips:
    """Outlines of the lips as heights over a common row of x positions; all float32[SAMPLES], in units."""

    x: Floats
    outer_upper: Floats
    inner_upper: Floats
    inner_lower: Floats
    outer_lower: Floats

    def reopened(self, middle: Floats, half_gap: Floats) -> "Lips":
        """The same lips, opened to both sides of a middle line: float32[SAMPLES] each."""
        upper, lower = middle - half_gap, middle + half_gap
        return Lips(
            x=self.x,
            outer_upper=np.minimum(self.outer_upper, upper).astype(np.float32),
            inner_upper=upper.astype(np.float32),
            inner_lower=lower.astype(np.float32),
            outer_lower=np.maximum(self.outer_lower, lower).astype(np.float32),
        )

    @property
    def gap(self) -> float:
        """Largest opening between the lips."""
        return float((self.inner_lower - self.inner_upper).max())

    @property
    def half_width(self) -> float:
        """Half the distance between the corners of the mouth."""
        return float(self.x[-1] - self.x[0]) / 2


def trace_lips(points: Floats, frame: FaceFrame) -> Lips:
    """Read the outlines of the lips off a face mesh."""
    local = frame.to_local(points[:, :2])
    left, right = local[mesh.MOUTH_LEFT], local[mesh.MOUTH_RIGHT]
    x = np.linspace(left[0], right[0], SAMPLES, dtype=np.float32)

    def outline(chain: Sequence[int]) -> Floats:
        inside = local[list(chain[1:-1])]
        return _smooth_through(np.vstack([left, inside, right]), x)

    upper, lower = outline(mesh.INNER_UPPER), outline(mesh.INNER_LOWER)
    drawn = Lips(x, outline(mesh.OUTER_UPPER), upper, lower, outline(mesh.OUTER_LOWER))
    half_gap = np.asarray(np.maximum(lower - upper, 0) / 2, np.float32)
    return drawn.reopened(np.asarray((upper + lower) / 2, np.float32), half_gap)


def _smooth_through(knots: Floats, x: Floats) -> Floats:
    """Heights at x of a curve through knots: straight pieces, rounded off so that no corner shows."""
    order = np.argsort(knots[:, 0])
    straight = np.interp(x, knots[order, 0], knots[order, 1])
    padded = np.pad(straight, 3, mode="reflect", reflect_type="odd")
    kernel = np.array([1, 3, 6, 7, 6, 3, 1], np.float64) / 27
    return np.convolve(padded, kernel, "valid").astype(np.float32)
