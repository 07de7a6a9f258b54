"""Shoulder-long hair, parted on one side: a few guide curves, between which thousands of strands are drawn."""

from dataclasses import dataclass

import numpy as np

from infra.presenter.canvas import Canvas, Floats, Point, joined, moved, smooth_line

_DARK = np.array([0.105, 0.058, 0.048], np.float32)
_MID = np.array([0.300, 0.158, 0.100], np.float32)
_BRIGHT = np.array([0.780, 0.500, 0.320], np.float32)


@dataclass(frozen=True)
class _Lock:
    """A sheet of hair between guides, each a curve from root to tip with the same number of points."""

    guides: list[list[Point]]
    strands: int
    shine: float
    """Where along the hair the light lies, 0 root to 1 tip."""
    gleam: float
    """How strongly."""
    shadow: float = 0.0
    """How dark the sheet lies behind others, 0 to 1."""


_BACK = [
    _Lock(
        [
            [(500, 190), (360, 240), (300, 420), (300, 600), (296, 760), (316, 842)],
            [(508, 190), (400, 260), (345, 430), (350, 620), (372, 780), (382, 850)],
            [(516, 190), (500, 280), (520, 440), (540, 640), (530, 780), (500, 836)],
        ],
        strands=1100, shine=0.45, gleam=0.25, shadow=0.55,
    ),
    _Lock(
        [
            [(524, 190), (520, 280), (500, 440), (480, 640), (490, 780), (520, 836)],
            [(530, 190), (630, 260), (680, 430), (676, 620), (656, 780), (648, 850)],
            [(540, 190), (664, 236), (724, 420), (726, 600), (730, 760), (712, 842)],
        ],
        strands=1100, shine=0.45, gleam=0.2, shadow=0.62,
    ),
]  # fmt: skip

_FRONT = [
    _Lock(
        [
            [(540, 122), (452, 124), (358, 182), (304, 312), (290, 470), (272, 620), (280, 750), (322, 866)],
            [(543, 150), (462, 160), (384, 222), (332, 338), (316, 480), (306, 624), (322, 748), (352, 858)],
            [(548, 186), (484, 200), (412, 258), (352, 354), (336, 482), (338, 620), (362, 740), (372, 838)],
            [(557, 234), (516, 250), (450, 300), (374, 374), (349, 480), (360, 606), (394, 716), (388, 806)],
        ],
        strands=4600, shine=0.27, gleam=1.0,
    ),
    _Lock(
        [
            [(536, 122), (624, 124), (704, 182), (740, 314), (748, 470), (762, 620), (752, 752), (706, 868)],
            [(540, 150), (620, 158), (684, 224), (710, 340), (720, 480), (728, 624), (708, 750), (674, 858)],
            [(545, 186), (612, 200), (662, 258), (686, 356), (696, 480), (694, 622), (668, 742), (654, 838)],
            [(555, 234), (592, 246), (634, 292), (664, 368), (680, 478), (668, 606), (634, 716), (640, 806)],
        ],
        strands=3800, shine=0.27, gleam=0.80, shadow=0.10,
    ),
]  # fmt: skip

# The bright edge that a lamp behind the person draws on the far side.
_RIM: list[Point] = [(640, 128), (704, 182), (740, 314), (747, 470), (757, 590), (757, 690)]


def paint_back_hair(canvas: Canvas, generator: np.random.Generator) -> None:
    """Hair behind the neck."""
    for lock in _BACK:
        _paint_lock(canvas, lock, generator)


def paint_front_hair(canvas: Canvas, generator: np.random.Generator) -> None:
    """Hair over the forehead and beside the cheeks, with its shadow on the face."""
    for lock in _FRONT:
        inner = smooth_line(lock.guides[-1])
        canvas.shade(canvas.stroke(moved(inner, 4, 5), (14, 22, 22, 20, 18), 9), (0.42, 0.24, 0.21), 0.62)
    for lock in _FRONT:
        _paint_lock(canvas, lock, generator)
    part = smooth_line([(557, 236), (551, 205), (545, 172), (540, 142)])
    canvas.paint(canvas.stroke(part, (5.5, 3.2, 1.8, 0.5), 1.6), (0.74, 0.50, 0.40), 0.62)
    edge = smooth_line(_RIM)
    canvas.light(canvas.stroke(moved(edge, -4, 1), (0.5, 6, 8, 7, 4, 0.3), 2.6), (0.62, 0.80, 0.95), 0.24)


def _paint_lock(canvas: Canvas, lock: _Lock, generator: np.random.Generator) -> None:
    guides = np.stack([smooth_line(guide, density=10) for guide in lock.guides])
    solid = int(guides.shape[1] * 0.88)
    ground = joined(guides[0, :solid], guides[-1, :solid])
    canvas.paint(canvas.area(ground, 2.0), tuple(_DARK * (1 - 0.4 * lock.shadow)), 0.97)
    along = np.linspace(0, 1, guides.shape[1], dtype=np.float32)
    order = generator.permutation(np.linspace(0, 1, lock.strands))
    clumps = generator.normal(0, 1, 60)
    for index, across in enumerate(order):
        strand = _between(guides, float(across))
        clump = float(np.interp(across * 59, np.arange(60), clumps))
        sway = 2.4 * np.sin(along * 8 + across * 25 + clump) * along + clump * 3.0 * along**2
        # Every hair strays a little, most of all at its tip.
        strand[:, 0] += sway + generator.normal(0, 0.8) + generator.normal(0, 4.5) * along**4
        end = int(len(strand) * generator.uniform(0.80, 1.0))
        begin = 0 if generator.random() < 0.5 else int(len(strand) * generator.uniform(0.0, 0.4))
        colour = _colours(along, lock, clump, index / lock.strands, generator)
        width = generator.uniform(0.8, 1.7)
        # Overlapping pieces, thin at both ends and with a random beginning: their borders must not show.
        for first in range(begin - int(generator.integers(0, 4)), end - 1, 4):
            piece = strand[max(first, 0) : min(first + 9, end)]
            if len(piece) > 1:
                canvas.paint_thin(piece, (0.2, width, 0.2), tuple(colour[min(max(first, 0) + 4, end - 1)]), 0.45)


def _between(guides: Floats, across: float) -> Floats:
    """The curve at a share of the way between the outermost guides."""
    place = across * (len(guides) - 1)
    low = min(int(place), len(guides) - 2)
    return np.asarray(guides[low] + (guides[low + 1] - guides[low]) * (place - low), np.float32)


def _colours(along: Floats, lock: _Lock, clump: float, late: float, generator: np.random.Generator) -> Floats:
    """Colour along one strand: dark at the root and under the others, bright where the light grazes it."""
    band = np.exp(-0.5 * ((along - lock.shine - 0.025 * clump) / 0.075) ** 2)
    second = 0.45 * np.exp(-0.5 * ((along - 0.70 - 0.04 * clump) / 0.09) ** 2)
    light = (band + second) * lock.gleam * (0.4 + 0.6 * late) * np.clip(0.8 + 0.35 * clump, 0.15, 1.4)
    body = (0.35 + 0.65 * late) * np.clip(0.55 + 0.25 * clump + generator.normal(0, 0.15), 0.05, 1.1)
    colour = _DARK + (_MID - _DARK) * np.float32(body)
    colour = colour + (_BRIGHT - colour) * np.clip(light, 0, 1)[:, None] * 0.85
    return np.asarray(colour * (1 - 0.5 * lock.shadow) * np.float32(generator.uniform(0.9, 1.1)), np.float32)
