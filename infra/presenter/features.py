"""Eyes, brows, nose and lips."""

import numpy as np

from infra.presenter.canvas import SIDE, Canvas, Floats, Point, joined, mirror, moved, smooth_line

_LASH = (0.115, 0.065, 0.060)
_LIP = (0.735, 0.330, 0.325)

# The eye on the right half of the picture: inner corner, over the upper lid, outer corner, back along the lower lid.
_UPPER_LID: list[Point] = [(549, 446), (560, 434), (580, 424.5), (600, 424.5), (616, 432), (627, 442)]
_LOWER_LID: list[Point] = [(627, 442), (614, 451), (594, 455), (574, 454), (559, 450), (549, 446)]
# Share of the way along the lid, length and lean of each lash.
_LASHES = ((0.62, 4.4, 0.7), (0.70, 5.0, 0.85), (0.78, 5.6, 1.0), (0.86, 6.2, 1.12), (0.93, 6.4, 1.22))
_IRIS = (586.5, 438.5)
_IRIS_RADIUS = 19.4


def paint_eyes(canvas: Canvas, generator: np.random.Generator) -> None:
    """Both eyes; the light in them comes from the same side."""
    for flip in (False, True):
        _paint_socket(canvas, flip=flip)
        _paint_ball(canvas, generator, flip=flip)
        _paint_lids(canvas, flip=flip)


def _side(points: list[Point], *, flip: bool) -> list[Point]:
    return mirror(points) if flip else points


def _across(x: float, *, flip: bool) -> float:
    return SIDE - x if flip else x


def _paint_socket(canvas: Canvas, *, flip: bool) -> None:
    """Soft shadow around the eye, a touch of shadow colour on the lid."""
    canvas.shade(canvas.glow(_across(562, flip=flip), 421, 25, 12), (0.70, 0.46, 0.42), 0.28)
    canvas.shade(canvas.glow(_across(604, flip=flip), 419, 28, 9), (0.70, 0.47, 0.42), 0.28)
    canvas.shade(canvas.glow(_across(586, flip=flip), 469, 34, 8), (0.80, 0.56, 0.52), 0.30)
    canvas.light(canvas.glow(_across(590, flip=flip), 403, 26, 5), (1.0, 0.86, 0.76), 0.10)


def _paint_ball(canvas: Canvas, generator: np.random.Generator, *, flip: bool) -> None:
    outline = np.concatenate([smooth_line(_side(lid, flip=flip)) for lid in (_UPPER_LID, _LOWER_LID)])
    opening = canvas.area(outline.astype(np.float32), 0.5)
    cx, cy = _across(_IRIS[0], flip=flip), _IRIS[1]
    rounded = canvas.glow(cx, cy + 2, 34, 26)[..., None]
    canvas.paint(opening, (0.68, 0.62, 0.62) + rounded * np.array([0.26, 0.29, 0.28], np.float32))
    canvas.paint(opening * canvas.glow(_across(551, flip=flip), 449, 5, 5), (0.86, 0.52, 0.49), 0.85)

    reach = np.hypot(canvas.x - cx, canvas.y - cy) / _IRIS_RADIUS
    angle = np.arctan2(canvas.y - cy, canvas.x - cx)
    spokes = np.zeros_like(reach)
    for _ in range(26):
        wave = generator.integers(9, 60)
        spokes += np.sin(angle * wave + generator.uniform(0, 6.28)) / 26**0.5
    depth = np.clip((reach - 0.3) / 0.7, 0, 1)
    lit = np.clip(0.5 + 0.5 * (canvas.y - cy) / _IRIS_RADIUS, 0, 1)
    inner, outer = np.array([0.60, 0.41, 0.20]), np.array([0.265, 0.155, 0.085])
    iris = inner + (outer - inner) * depth[..., None] ** 1.3
    iris = iris * (0.72 + 0.75 * lit[..., None]) + 0.05 * spokes[..., None] * (1 - depth[..., None])
    disc = canvas.soften((reach < 1).astype(np.float32), 0.7) * opening
    canvas.paint(disc, np.clip(iris, 0, 1).astype(np.float32))
    rim = np.exp(-0.5 * ((reach - 0.97) / 0.075) ** 2).astype(np.float32)
    canvas.paint(rim * opening, (0.10, 0.055, 0.045), 0.75)
    canvas.paint(canvas.soften((reach < 0.42).astype(np.float32), 0.7) * opening, (0.035, 0.022, 0.022))

    upper = smooth_line(_side(_UPPER_LID, flip=flip))
    canvas.shade(opening * canvas.stroke(moved(upper, 0, 4), 10, 3.5), (0.36, 0.25, 0.25), 0.66)
    canvas.light(opening * canvas.area(_window(cx - 6.4, cy - 6.4, 3.3, 3.9), 0.5), (1, 1, 1), 0.95)
    canvas.light(opening * canvas.glow(cx + 7, cy + 8, 4.6, 3.0), (0.95, 0.86, 0.74), 0.34)
    lower = smooth_line(_side(_LOWER_LID, flip=flip))
    canvas.light(opening * canvas.stroke(moved(lower, 0, -1.0), 1.6, 0.5), (1.0, 0.90, 0.88), 0.30)


def _window(x: float, y: float, wide: float, high: float) -> Floats:
    """The soft box of the studio, mirrored in the eye."""
    return smooth_line(
        [(x - wide, y - high), (x + wide, y - high + 1), (x + wide, y + high), (x - wide, y + high - 1)], closed=True
    )


def _paint_lids(canvas: Canvas, *, flip: bool) -> None:
    upper = smooth_line(_side([*_UPPER_LID, (633, 438)], flip=flip))
    lower = smooth_line(_side(_LOWER_LID, flip=flip))
    crease: list[Point] = [(551, 437), (563, 422), (583, 413), (604, 413.5), (621, 423), (631, 432)]
    fold = smooth_line(_side(crease, flip=flip))
    canvas.shade(canvas.stroke(fold, (1, 3.4, 4.2, 1), 1.3), (0.48, 0.27, 0.25), 0.62)
    canvas.shade(canvas.stroke(moved(fold, 0, -2.5), (2, 7, 8, 2), 3), (0.66, 0.42, 0.38), 0.34)
    canvas.paint(canvas.stroke(moved(upper, 0, -0.6), (1.2, 3.2, 4.4, 4.8, 4.8, 0.6), 0.6), _LASH, 0.92)
    canvas.shade(canvas.stroke(lower, (1.2, 2.0, 1.8, 1.0), 0.9), (0.42, 0.22, 0.20), 0.60)
    for at, length, lean in _LASHES:
        x, y = smooth_line([*_UPPER_LID, (633, 438)])[int(at * 143)]
        tip = (float(x + length * np.sin(lean)), float(y - length * np.cos(lean)))
        mid = (float(x + 0.62 * (tip[0] - x)), float(y + 0.42 * (tip[1] - y)))
        lash = smooth_line(_side([(float(x), float(y) - 1), mid, tip], flip=flip))
        canvas.paint(canvas.stroke(lash, (2.2, 1.3, 0.2), 0.5), _LASH, 0.75)


def paint_brows(canvas: Canvas, generator: np.random.Generator, colour: tuple[float, float, float]) -> None:
    """Brows of single hairs over a soft ground."""
    spine = smooth_line([(543, 393), (564, 384), (591, 377), (619, 380), (646, 397)])
    for flip in (False, True):
        line = spine.copy()
        if flip:
            line[:, 0] = SIDE - line[:, 0]
        canvas.paint(canvas.stroke(line, (5, 10, 10, 7, 2), 3.0), colour, 0.42)
        for _ in range(230):
            at = generator.uniform(0, 1) ** 0.85 * 0.97
            index = int(at * (len(spine) - 1))
            thick = np.interp(at, [0, 0.3, 0.7, 1], [4.0, 5.5, 4.0, 1.2])
            x, y = spine[index] + [0, generator.uniform(-thick, thick)]
            turn = np.interp(at, [0, 0.25, 0.6, 1], [-1.25, -0.75, -0.1, 0.55]) + generator.normal(0, 0.14)
            reach = generator.uniform(8, 14)
            hair = smooth_line(
                _side(
                    [
                        (x, y),
                        (x + 0.5 * reach * np.cos(turn), y + 0.5 * reach * np.sin(turn)),
                        (x + reach * np.cos(turn + 0.25), y + reach * np.sin(turn + 0.25)),
                    ],
                    flip=flip,
                ),
                density=4,
            )
            canvas.paint_thin(hair, (1.3, 0.9, 0.2), colour, 0.45)


def paint_nose(canvas: Canvas) -> None:
    """Nostrils, wings and the light on the tip; the bridge is part of the relief."""
    for flip in (False, True):
        nostril = smooth_line(
            _side([(522, 553), (528, 548.5), (535, 549.5), (537.5, 553), (530, 555.5)], flip=flip), closed=True
        )
        canvas.shade(canvas.area(nostril, 1.8), (0.26, 0.11, 0.10), 0.70)
        wing = smooth_line(_side([(540, 531), (546.5, 541), (545.5, 551), (538, 556)], flip=flip))
        canvas.shade(canvas.stroke(wing, (0.5, 3.2, 3.4, 0.8), 1.8), (0.52, 0.29, 0.26), 0.50)
    under = smooth_line([(500, 556), (512, 559), (524, 556)])
    canvas.shade(canvas.stroke(under, (2, 4, 2), 2.4), (0.52, 0.30, 0.27), 0.28)
    canvas.shade(canvas.glow(517, 566, 24, 7), (0.60, 0.38, 0.34), 0.20)
    canvas.light(canvas.glow(507, 523, 7.5, 6.5), (1.0, 0.93, 0.88), 0.24)
    canvas.light(canvas.glow(508, 478, 4.0, 30), (1.0, 0.90, 0.82), 0.15)


def paint_lips(canvas: Canvas) -> None:
    """Closed lips with the beginning of a smile."""
    seam: list[Point] = [(447, 590.5), (468, 595), (491, 596.8), (512, 598.5), (533, 596.8), (556, 595), (577, 590.5)]
    top: list[Point] = [(447, 590.5), (473, 585), (498, 580), (512, 583), (526, 580), (551, 585), (577, 590.5)]
    bottom: list[Point] = [(447, 590.5), (467, 604), (490, 616), (512, 620), (534, 616), (557, 604), (577, 590.5)]
    upper = canvas.area(joined(smooth_line(top), smooth_line(seam)), 1.1)
    lower = canvas.area(joined(smooth_line(seam), smooth_line(bottom)), 1.3)
    canvas.paint(upper, _LIP, 0.72)
    canvas.shade(upper * np.clip((canvas.y - 584) / 16, 0, 1), (0.55, 0.33, 0.34), 0.55)
    canvas.light(upper * canvas.glow(500, 583, 26, 3.0), (1.0, 0.80, 0.76), 0.22)
    canvas.paint(lower, (0.815, 0.400, 0.385), 0.74)
    canvas.shade(lower * np.clip((canvas.y - 609) / 13, 0, 1), (0.58, 0.34, 0.34), 0.55)
    canvas.light(lower * canvas.glow(502, 606, 25, 4.4), (1.0, 0.86, 0.82), 0.42)
    canvas.light(lower * canvas.glow(496, 605, 9, 2.3), (1.0, 0.95, 0.92), 0.30)
    canvas.paint(canvas.stroke(smooth_line(seam), (1.0, 2.4, 2.0, 2.6, 2.0, 2.4, 1.0), 0.8), (0.33, 0.10, 0.11), 0.85)
    for flip in (False, True):
        corner = smooth_line(_side([(572, 593.5), (579, 590.5), (583, 586)], flip=flip))
        canvas.shade(canvas.stroke(corner, (2, 4, 1), 2.0), (0.46, 0.24, 0.22), 0.55)
        cheek = smooth_line(_side([(556, 546), (577, 562), (594, 590)], flip=flip))
        canvas.shade(canvas.stroke(cheek, (1, 7, 2), 5.0), (0.70, 0.45, 0.40), 0.26)
    canvas.shade(canvas.glow(512, 629, 27, 4.5), (0.60, 0.36, 0.32), 0.36)
