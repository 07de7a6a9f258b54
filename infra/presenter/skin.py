"""Face and neck: a relief of soft bumps, lit by a warm key light from the upper left."""

import numpy as np

from infra.presenter.canvas import Canvas, Floats, Point, joined, mirror, moved, smooth_line

# Right half of the face outline, from the middle of the forehead to the chin.
_HALF_FACE: list[Point] = [
    (512, 232), (585, 244), (641, 288), (668, 352), (674, 420), (669, 484), (656, 545), (633, 601), (598, 651),
    (556, 683), (512, 692),
]  # fmt: skip
FACE = smooth_line([*_HALF_FACE, *mirror(_HALF_FACE[1:-1])[::-1]], closed=True)

_KEY = np.array([-0.42, -0.46, 0.78], np.float32)
_FILL = np.array([0.75, -0.05, 0.55], np.float32)
_BOUNCE = np.array([0.10, 0.80, 0.45], np.float32)
_RAMP = (
    (0.00, (0.36, 0.17, 0.15)),
    (0.25, (0.56, 0.31, 0.25)),
    (0.50, (0.76, 0.49, 0.39)),
    (0.75, (0.905, 0.665, 0.545)),
    (1.00, (0.985, 0.815, 0.700)),
)


def paint_neck(canvas: Canvas) -> None:
    """Neck and the top of the chest, with the shadow that the chin throws."""
    half: list[Point] = [(592, 560), (594, 690), (601, 752), (640, 800), (720, 842), (760, 1030)]
    outline = smooth_line([*half, *mirror(half)[::-1]], closed=False)
    mask = canvas.area(outline, 0.8)
    across = (canvas.x - 512) / 100
    round_neck = 0.86 - 0.26 * across - 0.30 * np.clip(np.abs(across) - 0.35, 0, 1) ** 1.5
    lower = np.clip((canvas.y - 770) / 120, 0, 1)
    tone = round_neck * (1 - lower) + lower * (0.82 - 0.10 * across)
    canvas.paint(mask, _tone(tone.astype(np.float32)))
    chin = smooth_line([(404, 600), (430, 660), (512, 724), (600, 694), (640, 590)])
    shadow = canvas.area(moved(joined(chin, np.array([[404, 500], [640, 500]], np.float32)), 8, 26), 13)
    canvas.shade(mask * shadow, (0.50, 0.31, 0.28), 0.80)
    for side in (-1, 1):
        bone = smooth_line([(512 + side * 30, 848), (512 + side * 70, 836), (512 + side * 150, 822)])
        canvas.shade(mask * canvas.stroke(bone, (4, 10, 3), 5), (0.66, 0.44, 0.38), 0.45)
        tendon = smooth_line([(512 + side * 60, 730), (512 + side * 46, 790), (512 + side * 20, 840)])
        canvas.shade(mask * canvas.stroke(tendon, (2, 10, 5), 8), (0.70, 0.47, 0.40), 0.22)
    canvas.shade(mask * canvas.glow(512, 856, 14, 9), (0.66, 0.44, 0.38), 0.45)


def paint_face(canvas: Canvas) -> Floats:
    """Paint the lit skin of the face; returns its mask."""
    mask = canvas.area(FACE, 0.7)
    height = _relief(canvas)
    dy, dx = np.gradient(height, 1 / canvas.scale)
    length = np.sqrt(dx * dx + dy * dy + 1)
    normal = np.stack([-dx / length, -dy / length, 1 / length], axis=-1)
    key = np.clip((normal @ (_KEY / np.linalg.norm(_KEY)) + 0.22) / 1.22, 0, 1)
    fill = np.clip(normal @ (_FILL / np.linalg.norm(_FILL)), 0, 1)
    bounce = np.clip(normal @ (_BOUNCE / np.linalg.norm(_BOUNCE)), 0, 1)
    tone = 0.09 + 0.75 * key**1.1 + 0.16 * fill + 0.16 * bounce**1.5
    canvas.paint(mask, _tone(canvas.soften(tone.astype(np.float32), 1.2)))

    for x, strength in ((406, 0.17), (618, 0.20)):
        canvas.paint(mask * canvas.glow(x, 522, 40, 26), (0.88, 0.40, 0.36), strength)
    canvas.paint(mask * canvas.glow(512, 532, 20, 14), (0.89, 0.42, 0.36), 0.14)
    canvas.paint(mask * canvas.glow(512, 668, 34, 16), (0.90, 0.47, 0.40), 0.12)

    half = np.array([-0.25, -0.28, 0.93], np.float32)
    gloss = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1) ** 60
    canvas.light(mask * canvas.soften(gloss.astype(np.float32), 2.0), (1.0, 0.90, 0.82), 0.17)
    return mask


def _relief(canvas: Canvas) -> Floats:
    """Height of the face in pixels: an egg with brows, cheeks, nose, lips and chin on it."""
    x, y = canvas.x, canvas.y
    lean = np.clip(1 - ((x - 512) / 182) ** 2, 0.02, 1)
    tall = np.clip(1 - np.abs((y - 462) / 268) ** 2.6, 0.02, 1)
    height = 165 * np.sqrt(lean) * tall**0.42

    def bump(cx: float, cy: float, wide: float, high: float, by: float) -> None:
        height[...] += by * canvas.glow(cx, cy, wide, high)

    for side in (-1, 1):
        bump(512 + side * 75, 438, 40, 24, -13)
        bump(512 + side * 30, 432, 15, 22, -9)
        bump(512 + side * 72, 388, 48, 15, 5)
        bump(512 + side * 96, 512, 44, 36, 13)
        bump(512 + side * 25, 542, 10, 9, 11)
        bump(512 + side * 37, 551, 7, 14, -4)
        bump(512 + side * 66, 600, 13, 15, -4)
        bump(512 + side * 9, 571, 4, 11, 1.6)
        bump(512 + side * 60, 560, 14, 20, -2.5)
    along = np.clip((y - 398) / 132, 0, 1)
    ridge = along**1.25 * 31 * np.exp(-0.5 * ((x - 512) / (10 + 9 * along)) ** 2)
    end = np.clip((560 - y) / 44, 0, 1)
    height += 0.9 * ridge * end * end * (3 - 2 * end)
    bump(512, 528, 16, 15, 15)
    bump(512, 571, 5, 12, -2.0)
    bump(512, 589, 38, 8, 6)
    bump(512, 613, 36, 10, 9)
    bump(512, 638, 34, 8, -6)
    bump(512, 664, 34, 20, 12)
    return canvas.soften(height.astype(np.float32), 2.2)


def _tone(value: Floats) -> Floats:
    """Skin colour at a brightness of 0..1; shadows turn red as light wanders through skin."""
    stops = [stop for stop, _ in _RAMP]
    channels = [np.interp(value, stops, [colour[i] for _, colour in _RAMP]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
