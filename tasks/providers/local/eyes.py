"""Eyes that live: lids that blink and a gaze that wanders a little."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from tasks.facemesh import topology as mesh
from tasks.providers.local.face import FaceFrame, Floats, Image
from tasks.providers.local.grid import sample, smoothstep

_REACH: Final = 0.3
"""Half the side of the patch around an eye, in units."""
_LEAST_OPENING: Final = 0.025
"""Eyes that are open by less, in units, are left alone."""
_LASH: Final = 0.055
"""Width of the rim of lashes around an eye, in units."""
_DEEPEST: Final = 0.09
"""Farthest that an eye is expected to reach below the mesh's lower lid, in units."""
CLOSING_SECONDS: Final = 0.09
CLOSED_SECONDS: Final = 0.05
OPENING_SECONDS: Final = 0.17


@dataclass(frozen=True)
class EyePlan:
    """What the eyes do in each frame.

    Attributes:
        closure: float32[frames], 0 open to 1 shut.
        gaze: float32[frames, 2], where the irises go, in units.
    """

    closure: Floats
    gaze: Floats


def plan_eyes(frames: int, fps: int, random: np.random.Generator) -> EyePlan:
    """Blink every few seconds and glance about, the way people do who talk to a camera."""
    times = np.arange(frames, dtype=np.float32) / fps
    closure = np.zeros(frames, np.float32)
    start = random.uniform(0.9, 2.4)
    while start < frames / fps:
        since = times - start
        down = np.clip(since / CLOSING_SECONDS, 0, 1)
        up = np.clip((since - CLOSING_SECONDS - CLOSED_SECONDS) / OPENING_SECONDS, 0, 1)
        closure = np.maximum(closure, (down - up * up * (3 - 2 * up)).astype(np.float32))
        start += float(np.clip(random.lognormal(1.15, 0.45), 1.2, 7.0))
    gaze = np.zeros((frames, 2), np.float32)
    start = random.uniform(0.4, 1.2)
    while start < frames / fps:
        # Most glances come back to the camera.
        away = random.random() < 0.45
        target = np.clip(random.normal(0, 1, 2), -1.5, 1.5) * (0.011, 0.004) if away else np.zeros(2)
        gaze[int(start * fps) :] = target
        start += random.uniform(0.5, 2.0)
    arrived = gaze.copy()
    arrived[1:] = 0.65 * gaze[1:] + 0.35 * gaze[:-1]
    return EyePlan(closure, arrived.astype(np.float32))


class Eyes:
    """The eyes of one still face, ready to be moved."""

    def __init__(self, rgb: Image, points: Floats) -> None:
        frame = FaceFrame.of(points)
        chains = ((mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID), (mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID))
        eyes = [_Eye.of(rgb, points, frame, upper, lower) for upper, lower in chains]
        self._eyes = [eye for eye in eyes if eye is not None]

    def draw(self, rgb: Image, closure: float, gaze: Floats) -> None:
        """Draw the eyes into uint8[h, w, 3], in place.

        Args:
            rgb: the picture.
            closure: 0 open to 1 shut.
            gaze: float32[2], shift of the irises in units.
        """
        for eye in self._eyes:
            if np.abs(gaze).max() > 1e-4 and closure < 0.9:
                eye.glance(rgb, gaze)
            if closure > 0.02:
                eye.close(rgb, closure)


@dataclass(frozen=True)
class _Eye:
    """One eye as a patch in its own frame, x along the line of the eyes; lid heights in pixels per patch column."""

    rows: slice
    columns: slice
    upper: Floats
    lower: Floats
    x: Floats
    y: Floats
    half_width: float
    unit: float
    lid: Floats
    """float32[h, w, 3], the patch with the eye grown over by skin."""
    lash: Floats
    """float32[3], colour of the rim."""

    @classmethod
    def of(
        cls, rgb: Image, points: Floats, frame: FaceFrame, upper: Sequence[int], lower: Sequence[int]
    ) -> "_Eye | None":
        ring = points[[*upper, *lower], :2]
        centre = ring.mean(axis=0)
        reach = _REACH * frame.unit
        height, width = rgb.shape[:2]
        left, top = int(centre[0] - reach), int(centre[1] - reach)
        right, bottom = int(centre[0] + reach) + 1, int(centre[1] + reach) + 1
        if left < 0 or top < 0 or right > width or bottom > height:
            return None
        local = FaceFrame(centre.astype(np.float32), frame.right, frame.unit)
        ys, xs = np.mgrid[top:bottom, left:right].astype(np.float32)
        grid = local.to_local(np.stack([xs, ys], axis=-1))
        x, y = np.ascontiguousarray(grid[..., 0]), np.ascontiguousarray(grid[..., 1])
        over, under = (_height(local.to_local(points[list(chain), :2]), x) for chain in (upper, lower))
        if float((under - over).max()) < _LEAST_OPENING:
            return None
        patch = rgb[top:bottom, left:right]
        under = under + _overhang(patch, x, y, under, frame.unit)
        opening = (np.minimum(y - over, under - y) > -_LASH) & (np.abs(x) < _half_width(local, ring) + _LASH)
        rim = np.abs(y - over) < 0.012
        lash = np.percentile(patch[rim & opening].astype(np.float32), 20, axis=0).astype(np.float32)
        lid = _grow_skin(patch, y, over, under, frame.unit)
        rows, columns = slice(top, bottom), slice(left, right)
        return cls(rows, columns, over, under, x, y, _half_width(local, ring), frame.unit, lid, lash)

    def glance(self, rgb: Image, gaze: Floats) -> None:
        """Shift the iris; the lids and corners stay."""
        middle, half = (self.upper + self.lower) / 2, np.maximum((self.lower - self.upper) / 2, 1e-3)
        tall = np.clip(1 - ((self.y - middle) / half) ** 2, 0, 1)
        wide = np.clip(1 - (self.x / 0.17) ** 2, 0, 1)
        weight = (tall * wide * np.float32(self.unit)).astype(np.float32)
        patch = rgb[self.rows, self.columns]
        rows, columns = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]].astype(np.float32)
        patch[:] = sample(patch, np.stack([columns - weight * gaze[0], rows - weight * gaze[1]], axis=-1))

    def close(self, rgb: Image, closure: float) -> None:
        """Bring the upper lid down."""
        softness = max(0.008, 0.8 / self.unit)
        edge = self.upper + (self.lower - self.upper) * np.float32(closure)
        # The lashes above the eye fade out while the lid sets off; below them the lid is never seen through.
        begun = min(closure / 0.3, 1.0)
        solid = begun + (1 - begun) * np.clip((self.y - self.upper) / 0.012, 0, 1)
        near = np.clip((self.half_width + 0.03 - np.abs(self.x)) / 0.03, 0, 1)
        cover = np.clip((edge - self.y) / softness + 0.5, 0, 1) * np.clip((self.y - self.upper + _LASH) / 0.03, 0, 1)
        cover = cover * near * solid
        opening = np.clip((self.lower - self.upper) / 0.02, 0, 1) * near
        rim = np.exp(-(((self.y - edge) / 0.011) ** 2)) * opening * 0.7 * begun
        patch = rgb[self.rows, self.columns]
        mixed = patch + (self.lid - patch) * cover[..., None]
        mixed += (self.lash - mixed) * rim[..., None]
        patch[:] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)


def _height(chain: Floats, x: Floats) -> Floats:
    order = np.argsort(chain[:, 0])
    return np.asarray(np.interp(x, chain[order, 0], chain[order, 1]), np.float32)


def _overhang(patch: Image, x: Floats, y: Floats, under: Floats, unit: float) -> float:
    """How far the eye reaches below the mesh's lower lid, in units: drawn eyes are larger than the mesh expects."""
    depths = np.arange(0, _DEEPEST + 0.004, 0.004, dtype=np.float32)
    rows, columns = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]].astype(np.float32)
    middle = int(np.abs(y - under).sum(axis=1).argmin())
    across = np.abs(x[middle]) < 0.09
    start = rows[middle] + (under[middle] - y[middle]) * unit

    def at(depth: float) -> Floats:
        where = np.stack([columns[middle], start + np.float32(depth * unit)], axis=-1)[None]
        return np.asarray(sample(patch, where, smooth=False)[0, across], np.float32)

    skin = at(_DEEPEST + 0.05)
    unlike = np.stack([np.abs(at(float(depth)) - skin).max(axis=-1) > 45 for depth in depths])
    # Per column, the eye ends where the first skin begins.
    ends = np.where(unlike.all(axis=0), 0, unlike.argmin(axis=0))
    # The lower lashes are no part of the eye.
    return max(float(np.median(depths[ends])) - 0.012, 0.0) if across.any() else 0.0


def _half_width(frame: FaceFrame, ring: Floats) -> float:
    return float(np.ptp(frame.to_local(ring)[:, 0])) / 2


def _grow_skin(patch: Image, y: Floats, over: Floats, under: Floats, unit: float) -> Floats:
    """The patch with its eye grown over by skin, float32[h, w, 3]: from the lid above it to the skin below it."""
    soft = cv2.GaussianBlur(patch, (0, 0), max(0.8, 0.012 * unit)).astype(np.float32)
    rows, columns = np.mgrid[0 : patch.shape[0], 0 : patch.shape[1]].astype(np.float32)

    def skin_at(height: Floats) -> Floats:
        where = np.stack([columns, rows + (height - y) * np.float32(unit)], axis=-1)
        # The spread along the lid must be wide, or single lashes and reflections draw streaks.
        return np.asarray(
            cv2.GaussianBlur(sample(soft, where, smooth=False), (0, 0), max(1.0, 0.05 * unit)), np.float32
        )

    above, below = skin_at(over - _LASH - 0.025), skin_at(under + _LASH + 0.02)
    # Where a spectacle frame or a fringe lies above the eye, only the skin below it can be trusted.
    contrast = above.mean(axis=-1, keepdims=True) / np.maximum(below.mean(axis=-1, keepdims=True), 1)
    above = below * 0.94 + (above - below * 0.94) * np.clip((contrast - 0.68) / 0.14, 0, 1)
    share = smoothstep((y - over + _LASH) / np.maximum(under - over + 2 * _LASH, 0.02))[..., None]
    # A lid is round: a little brighter along its middle.
    fold = np.exp(-(((y - over) / 0.014) ** 2))[..., None]
    round_lid = 0.97 + 0.03 * np.sin(np.pi * np.clip(share, 0, 1)) - 0.1 * fold
    return np.asarray((above * (1 - 0.6 * share) + below * 0.6 * share) * round_lid, np.float32)
