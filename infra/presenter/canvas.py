"""A small painter's kit: smooth outlines, soft masks and layers, all in one fixed coordinate system.

Coordinates are pixels of the finished picture; the canvas itself is ``scale`` times larger and averaged at the end.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Point = tuple[float, float]
Colour = tuple[float, float, float]

SIDE = 1024


def smooth_line(points: Sequence[Point], *, closed: bool = False, density: int = 24) -> Floats:
    """Draw a Catmull-Rom curve through points: float32[n, 2]."""
    p = np.array(points, np.float32)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    t = np.linspace(0, 1, density, endpoint=False, dtype=np.float32)[:, None]
    parts = []
    for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True):
        parts.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    if not closed:
        parts.append(p[-2:-1])
    return np.concatenate(parts).astype(np.float32)


def moved(line: Floats, right: float, down: float) -> Floats:
    """The same line at another place."""
    return line + np.array([right, down], np.float32)


def joined(there: Floats, back: Floats) -> Floats:
    """An outline that follows one line and returns along another, given in the same direction."""
    return np.concatenate([there, back[::-1]])


class Canvas:
    """A float picture in 0..1 on which layers are painted.

    Args:
        scale: canvas pixels per picture pixel.
    """

    def __init__(self, scale: int) -> None:
        self.scale = scale
        side = SIDE * scale
        self.pixels: Floats = np.zeros((side, side, 3), np.float32)
        steps = (np.arange(side, dtype=np.float32) + 0.5) / scale
        self.x, self.y = np.meshgrid(steps, steps)

    def area(self, outline: Floats, soft: float = 0.0) -> Floats:
        """Mask of an outline's inside, float32[h, w] in 0..1, its edge softened by so many pixels."""
        mask = np.zeros(self.x.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(outline * self.scale * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return self.soften(mask.astype(np.float32) / np.float32(255), soft)

    def stroke(self, line: Floats, widths: float | Sequence[float], soft: float = 0.0) -> Floats:
        """Mask of a brush stroke whose width changes evenly through ``widths``."""
        given = np.atleast_1d(np.array(widths, np.float32))
        half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(given)), given) / 2
        tangent = np.gradient(line, axis=0)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * half[:, None]
        return self.area(joined((line + normal).astype(np.float32), (line - normal).astype(np.float32)), soft)

    def paint_thin(self, line: Floats, widths: Sequence[float], colour: Colour, strength: float = 1.0) -> None:
        """Paint a small stroke; only its surroundings are touched, so thousands of them stay cheap."""
        margin = max(widths) + 2
        low = np.maximum(((line.min(axis=0) - margin) * self.scale).astype(int), 0)
        high = np.minimum(((line.max(axis=0) + margin) * self.scale).astype(int) + 1, len(self.pixels))
        if (high <= low).any():
            return
        half = np.interp(np.linspace(0, 1, len(line)), np.linspace(0, 1, len(widths)), widths) / 2
        tangent = np.gradient(line, axis=0)
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
        normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * half[:, None]
        outline = (np.concatenate([line + normal, (line - normal)[::-1]]) * self.scale - low) * 16
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255, cv2.LINE_AA, 4)
        part = self.pixels[low[1] : high[1], low[0] : high[0]]
        part += (np.asarray(colour, np.float32) - part) * (mask.astype(np.float32) * (strength / 255))[..., None]

    def glow(self, x: float, y: float, wide: float, high: float) -> Floats:
        """A soft round spot, 1 in its centre."""
        return np.exp(-0.5 * (((self.x - x) / wide) ** 2 + ((self.y - y) / high) ** 2))

    def soften(self, mask: Floats, soft: float) -> Floats:
        """Blur a mask by so many pixels; wide blurs are done on a smaller copy, which nobody can see."""
        sigma = soft * self.scale
        if sigma <= 0:
            return mask
        shrink = max(1, int(sigma / 6))
        small = cv2.resize(mask, None, fx=1 / shrink, fy=1 / shrink, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / shrink, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(small, mask.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)

    def paint(self, mask: Floats, colour: Colour | Floats, strength: float = 1.0) -> None:
        """Cover with a colour (sRGB 0..1) or a picture."""
        alpha = (mask * strength)[..., None]
        self.pixels += (np.asarray(colour, np.float32) - self.pixels) * alpha

    def shade(self, mask: Floats, colour: Colour, strength: float = 1.0) -> None:
        """Darken as if through tinted glass."""
        self.pixels *= 1 - (mask * strength)[..., None] * (1 - np.asarray(colour, np.float32))

    def light(self, mask: Floats, colour: Colour, strength: float = 1.0) -> None:
        """Brighten as a lamp would, never beyond white."""
        added = (mask * strength)[..., None] * np.asarray(colour, np.float32)
        self.pixels = 1 - (1 - self.pixels) * (1 - np.clip(added, 0, 1))

    def picture(self) -> npt.NDArray[np.uint8]:
        """The finished picture, uint8[SIDE, SIDE, 3] RGB."""
        small = cv2.resize(self.pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        return np.asarray(np.clip(small * 255 + 0.5, 0, 255), np.uint8)


def mirror(points: Sequence[Point]) -> list[Point]:
    """The same points on the other half of the face."""
    return [(SIDE - x, y) for x, y in points]
