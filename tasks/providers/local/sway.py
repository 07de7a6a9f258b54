"""A head that is never quite still: small turns, nods and raised brows, as one smooth warp per frame."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tasks.facemesh import topology as mesh
from tasks.providers.local.face import FaceFrame, Floats, Image
from tasks.providers.local.grid import grid_nodes, sample, smoothstep, upsample

_NODES_PER_UNIT: Final = 16
# Rates in Hz that share no common period, so the movement does not repeat.
_RATES: Final = (0.11, 0.17, 0.29, 0.43)
_STRENGTHS: Final = (1.0, 0.8, 0.45, 0.2)


@dataclass(frozen=True)
class HeadPlan:
    """How the head moves in each frame, float32[frames, 6]: right, down, roll, turn, nod, brows."""

    moves: Floats


def plan_head(openness: Floats, fps: int, random: np.random.Generator) -> HeadPlan:
    """Slow drift, with nods and brows that follow the speech.

    Args:
        openness: float32[frames], how far the mouth is open, 0 to 1; stands for emphasis.
        fps: frames per second.
        random: source of the drift.
    """
    frames = len(openness)
    times = np.arange(frames) / fps

    def drift() -> Floats:
        phases = random.uniform(0, 2 * np.pi, len(_RATES))
        waves = [s * np.sin(2 * np.pi * r * times + p) for r, s, p in zip(_RATES, _STRENGTHS, phases, strict=True)]
        return np.asarray(np.sum(waves, axis=0) / sum(_STRENGTHS), np.float32)

    slow, slower = _smooth(openness, 0.16 * fps), _smooth(openness, 0.7 * fps)
    emphasis = slow - slower
    return HeadPlan(
        np.stack(
            [
                0.030 * drift(),
                0.018 * drift() + 0.03 * emphasis,
                0.016 * drift(),
                0.034 * drift(),
                0.018 * drift() + 0.035 * emphasis,
                0.016 * np.maximum(drift() - 0.1, 0) + 0.05 * np.maximum(emphasis - 0.06, 0),
            ],
            axis=1,
        ).astype(np.float32)
    )


class Head:
    """One still head, ready to be moved."""

    def __init__(self, rgb: Image, points: Floats) -> None:
        height, width = rgb.shape[:2]
        frame = FaceFrame.of(points)
        centre = points[:, :2].mean(axis=0)
        tall = float(np.ptp(points[:, 1]))
        x0, x1 = int(max(0, centre[0] - 1.9 * tall)), int(min(width, centre[0] + 1.9 * tall))
        y0, y1 = int(max(0, centre[1] - 1.8 * tall)), int(min(height, centre[1] + 2.1 * tall))
        self._rows, self._columns = slice(y0, y1), slice(x0, x1)
        self._size = (x1 - x0, y1 - y0)
        self._step = max(1, round(frame.unit / _NODES_PER_UNIT))
        self._x, self._y = np.meshgrid(grid_nodes(x1 - x0, self._step), grid_nodes(y1 - y0, self._step))
        x, y = self._x + x0 - centre[0], self._y + y0 - centre[1]
        self._fields = _fields(x / tall, y / tall, frame.unit / tall) * np.float32(frame.unit)
        brows = (points[[*mesh.LEFT_BROW, *mesh.RIGHT_BROW], :2] - (x0, y0)) / frame.unit
        self._fields[5, 1] = -frame.unit * _near(self._x / frame.unit, self._y / frame.unit, brows, 0.1)
        self._fields *= _inside(self._x, self._y, (x0, y0, x1, y1), (width, height), 0.15 * tall)

    def draw(self, rgb: Image, moves: Floats) -> None:
        """Move the head in uint8[h, w, 3], in place, by one row of a ``HeadPlan``."""
        shift = np.einsum("m,maij->aij", moves, self._fields)
        where = np.stack([self._x - shift[0], self._y - shift[1]], axis=-1).astype(np.float32)
        box = rgb[self._rows, self._columns]
        box[:] = sample(box, upsample(where, self._step, *self._size))


def _fields(x: Floats, y: Floats, unit: float) -> Floats:
    """How each move shifts each node: float32[6, 2, rows, columns], in units; x and y in heights of the face."""
    tall = np.where(y > 0, 1.7, 1.6)
    distance = np.sqrt((x / 1.4) ** 2 + ((y + 0.1) / tall) ** 2)
    head = smoothstep(np.asarray((1 - distance) / 0.65, np.float32))
    # A turning head moves most where it is nearest to the camera.
    near = np.exp(-((x / 0.42) ** 2 + (y / 0.5) ** 2)).astype(np.float32) * head
    nothing = np.zeros_like(head)
    neck = 0.9
    return np.stack(
        [
            np.stack([head, nothing]),
            np.stack([nothing, head]),
            np.stack([-(y - neck) * head / unit, x * head / unit]),
            np.stack([near, nothing]),
            np.stack([nothing, near]),
            np.stack([nothing, nothing]),
        ]
    ).astype(np.float32)


def _near(x: Floats, y: Floats, points: Floats, radius: float) -> Floats:
    """1 at the points, fading out within about the radius."""
    squares = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
    return np.asarray(np.exp(-squares.min(axis=-1) / (radius * radius)), np.float32)


def _inside(x: Floats, y: Floats, box: tuple[int, int, int, int], size: tuple[int, int], margin: float) -> Floats:
    """Fade to nothing at those sides of the box that lie inside the picture, so that no seam shows."""
    left, top, right, bottom = box
    weight = np.ones_like(x)
    for distance, open_side in (
        (x, left > 0),
        (y, top > 0),
        (right - left - 1 - x, right < size[0]),
        (bottom - top - 1 - y, bottom < size[1]),
    ):
        if open_side:
            weight = weight * smoothstep(np.asarray(distance / margin, np.float32))
    return weight


def _smooth(values: Floats, sigma: float) -> Floats:
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(values, reach, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid").astype(np.float32)
