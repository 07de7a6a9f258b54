"""Background, blouse and blazer."""

import numpy as np

from infra.presenter.canvas import Canvas, Floats, Point, joined, mirror, moved, smooth_line

_CLOTH = np.array([0.070, 0.235, 0.270], np.float32)
_SILK = np.array([0.945, 0.915, 0.870], np.float32)


def paint_background(canvas: Canvas) -> None:
    """A studio wall with a pool of light behind the head."""
    down = (canvas.y / 1024)[..., None]
    wall = np.array([0.700, 0.745, 0.760], np.float32) * (1 - down) + np.array([0.560, 0.610, 0.635], np.float32) * down
    canvas.pixels[:] = wall
    canvas.light(canvas.glow(430, 400, 340, 340), (1.0, 0.94, 0.86), 0.55)
    canvas.shade(1 - canvas.glow(512, 480, 620, 640), (0.50, 0.54, 0.60), 0.60)


def paint_clothes(canvas: Canvas, generator: np.random.Generator) -> None:
    """A silk top under a blazer, a chain and a microphone."""
    _paint_top(canvas)
    _paint_blazer(canvas, generator)
    _paint_details(canvas)


def _paint_top(canvas: Canvas) -> None:
    neckline: list[Point] = [(372, 842), (420, 884), (470, 930), (512, 944), (554, 930), (604, 884), (652, 842)]
    line = smooth_line(neckline)
    mask = canvas.area(joined(line, np.array([[264, 1030], [760, 1030]], np.float32)), 0.8)
    canvas.shade(canvas.stroke(moved(line, 2, -5), 12, 6), (0.55, 0.34, 0.30), 0.5)
    tone = 1.0 - 0.16 * (canvas.x - 512) / 200 - 0.10 * np.clip((canvas.y - 940) / 90, 0, 1)
    canvas.paint(mask, np.clip(_SILK * tone[..., None], 0, 1).astype(np.float32))
    canvas.shade(mask * canvas.stroke(moved(line, 0, 7), 3.0, 1.0), (0.72, 0.66, 0.60), 0.55)
    for x, lean in ((470, -16), (505, 2), (548, 18), (580, 26)):
        fold = smooth_line([(x, 950), (x + lean * 0.5, 990), (x + lean, 1030)])
        canvas.shade(mask * canvas.stroke(fold, (2, 9, 12), 5), (0.76, 0.70, 0.65), 0.45)


def _paint_blazer(canvas: Canvas, generator: np.random.Generator) -> None:
    weave = canvas.soften(generator.normal(0, 1, canvas.x.shape).astype(np.float32), 0.6) * 0.012
    for flip in (False, True):
        body = _line([(646, 800), (700, 822), (790, 852), (868, 892), (920, 960), (944, 1040)], flip=flip)
        opening = _line([(646, 800), (636, 850), (600, 930), (560, 1040)], flip=flip)
        mask = canvas.area(joined(body, opening), 0.8)
        lit = 1.15 if flip else 0.72
        across = np.abs(canvas.x - 512) / 430
        tone = lit * (1.35 - 0.75 * across**1.5) * (1.1 - 0.25 * np.clip((canvas.y - 830) / 200, 0, 1))
        canvas.paint(mask, np.clip(_CLOTH * tone[..., None] + weave[..., None], 0, 1).astype(np.float32))
        seam = _line([(760, 842), (790, 900), (806, 970), (812, 1040)], flip=flip)
        canvas.shade(mask * canvas.stroke(seam, (2, 10, 14), 6), (0.40, 0.42, 0.46), 0.5)
        edge = canvas.stroke(moved(body, 0, 3), (3, 5, 7, 6), 2.4)
        canvas.light(mask * edge, (0.55, 0.72, 0.78) if flip else (0.60, 0.80, 0.95), 0.30)

        lapel = _line(
            [(640, 792), (668, 830), (700, 880), (722, 926), (676, 940), (694, 962), (640, 1010), (590, 1050)],
            flip=flip,
        )
        inner = _line([(640, 792), (630, 850), (596, 930), (556, 1050)], flip=flip)
        collar = canvas.area(joined(lapel, inner), 0.8)
        canvas.shade(
            mask * canvas.area(moved(joined(lapel, inner), 6, 9), 8),
            (0.2, 0.22, 0.25),
            0.7,
        )
        fold = lit * (1.55 - 0.5 * np.clip((canvas.y - 800) / 240, 0, 1))
        canvas.paint(collar, np.clip(_CLOTH * fold[..., None] + weave[..., None], 0, 1).astype(np.float32))
        canvas.light(collar * canvas.stroke(lapel, 4, 1.2), (0.60, 0.80, 0.86), 0.28 if flip else 0.18)
        canvas.shade(collar * canvas.stroke(inner, 10, 5), (0.3, 0.32, 0.36), 0.5)


def _line(points: list[Point], *, flip: bool) -> Floats:
    return smooth_line(mirror(points) if flip else points)


def _paint_details(canvas: Canvas) -> None:
    """A fine chain and the small microphone of somebody who speaks for a living."""
    chain = smooth_line([(420, 800), (452, 862), (512, 892), (572, 862), (604, 800)])
    canvas.shade(canvas.stroke(moved(chain, 1.5, 2.5), 2.2, 1.4), (0.55, 0.34, 0.28), 0.5)
    canvas.paint(canvas.stroke(chain, 1.7, 0.3), (0.86, 0.66, 0.34), 0.9)
    canvas.light(canvas.stroke(chain[18:44], (0.4, 1.5, 0.4), 0.4), (1.0, 0.92, 0.70), 0.8)
    canvas.paint(canvas.glow(512, 895, 3.6, 3.6) ** 0.6, (0.90, 0.72, 0.40), 0.95)
    canvas.light(canvas.glow(511, 894, 1.4, 1.4), (1.0, 0.97, 0.85), 0.9)

    clip = smooth_line([(621, 936), (636, 930), (643, 972), (629, 978)], closed=True)
    canvas.shade(canvas.area(moved(clip, 3, 5), 4), (0.15, 0.17, 0.20), 0.6)
    canvas.paint(canvas.area(clip, 0.6), (0.075, 0.080, 0.090))
    canvas.paint(
        canvas.area(smooth_line([(619, 922), (628, 914), (637, 918), (638, 932), (622, 938)], closed=True), 0.7),
        (0.115, 0.120, 0.130),
    )
    canvas.light(canvas.glow(625, 924, 3, 5), (0.7, 0.75, 0.8), 0.35)
    canvas.light(canvas.stroke(smooth_line([(626, 944), (631, 970)]), 1.6, 0.8), (0.7, 0.75, 0.8), 0.35)
