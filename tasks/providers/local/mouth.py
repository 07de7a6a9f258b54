"""How a mouth shape moves the lips and the jaw of one face: a small model of articulation.

The upper teeth belong to the skull and the lower teeth to the jaw; the lips open over them. What shows of the teeth
follows from that, so rounded lips hide them and spread lips bare them.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from tasks.providers.local.face import Floats, Lips

OPEN_REACH: Final = 0.23
"""Widest opening of the lips, in units (about 21 mm)."""
JAW_SHARE: Final = 0.62
"""Part of the lower lip's way that the chin goes with it."""


class MouthShape(NamedTuple):
    """One row of a mouth track."""

    open: float
    """Jaw, 0 to 1."""
    wide: float
    """Pucker -1 to spread 1."""
    press: float
    """Lips together, 0 to 1."""
    tuck: float
    """Lower lip under the upper teeth, 0 to 1."""


@dataclass(frozen=True)
class Pose:
    """Where the lips of one face go; heights in units over the same x positions as ``Lips``, before the stretch."""

    source: Lips
    target: Lips
    stretch: float
    """Factor on the width of the mouth."""
    jaw: float
    """How far the chin goes down."""
    rounding: float
    """0 to 1."""
    spread: float
    """0 to 1."""

    @property
    def gap(self) -> float:
        """Largest opening between the lips."""
        return self.target.gap

    @property
    def floor(self) -> float:
        """Height of the lower lip's edge in the middle."""
        return float(self.target.inner_lower[len(self.target.x) // 2])

    @property
    def half_width(self) -> float:
        """Half the distance between the corners of the mouth."""
        return self.source.half_width * self.stretch


def pose_mouth(
    lips: Lips, shape: MouthShape, rest: float = 1.0, share: float = 1.0, natural: float | None = None
) -> Pose:
    """Move the lips of a face into a mouth shape.

    Args:
        lips: the lips in the picture. Where the mouth is shut, inner_upper equals inner_lower.
        shape: what the speech asks for.
        rest: how much of the picture's own opening stays in every shape: 1 keeps the smile of a portrait, 0 shuts a
            mouth that happens to speak in a clip.
        share: how far to go: 0 leaves the lips where they are.
        natural: half the usual width of this mouth, where the picture shows it while it speaks, in units.
    """
    opened = float(np.clip(shape.open, 0, 1))
    rounding, spread = max(-shape.wide, 0.0), max(shape.wide, 0.0)
    press, tuck = float(np.clip(shape.press, 0, 1)), float(np.clip(shape.tuck, 0, 1))
    own = lips.inner_lower - lips.inner_upper
    # A smile that bares its teeth has raised the upper lip already; speech then opens the lower one.
    smile = rest * float(np.clip(own.max() / 0.06, 0, 1))
    across = (lips.x - lips.x.mean()) / lips.half_width
    bell = np.clip(1 - across * across, 0, 1) ** (0.62 + 0.25 * rounding - 0.08 * spread + 0.25 * smile)
    kept = own * rest * (1 - 0.7 * rounding) * (1 - 0.4 * opened)
    gap = (1 - press) * (kept + opened * OPEN_REACH * (1 - 0.18 * rounding) * bell)
    gap = gap * (1 - tuck) + tuck * 0.022 * bell
    way = gap - own
    raised = np.where(way > 0, (0.2 * (1 - rounding) + 0.07 * spread) * (1 - 0.7 * smile), 0.4) * way
    raised += bell * (1 - press) * (0.012 * spread * opened * (1 - smile) + 0.02 * tuck - 0.02 * rounding)
    # Rounded lips come down over teeth that a smile had bared.
    raised -= 0.65 * rounding * own
    lowered = way - raised
    thicker = 0.012 * rounding - 0.012 * max(press - 0.4, 0)
    # A smile's corners come down when the lips round, and go up a little when they spread.
    middle = (lips.inner_upper + lips.inner_lower) / 2
    sag = np.maximum(float(middle[len(middle) // 2]) - middle, 0)
    corners = (0.008 * rounding - 0.014 * spread) * (across * across) + 0.5 * rounding * sag
    inner_upper = lips.inner_upper - raised + corners
    inner_lower = lips.inner_lower + lowered + corners
    target = Lips(
        x=lips.x,
        outer_upper=lips.outer_upper - 0.88 * raised - thicker * bell + corners,
        inner_upper=inner_upper,
        inner_lower=inner_lower,
        outer_lower=lips.outer_lower
        + np.where(way > 0, 0.95, 0.85) * lowered
        + (thicker - 0.012 * tuck) * bell
        + corners,
    )
    drop = float(lowered[len(lowered) // 2])
    stretch = 1 + (0.08 * spread - 0.24 * rounding) * (1 - 0.4 * press) - 0.12 * opened * (1 - press)
    if natural is not None:
        stretch *= float(np.clip(natural / lips.half_width, 0.85, 1.2))
    return Pose(
        lips, _between(lips, target, share), 1 + (stretch - 1) * share, JAW_SHARE * drop * share, rounding, spread
    )


def _between(one: Lips, two: Lips, share: float) -> Lips:
    """Lips on the way from one place to another."""

    def mix(start: Floats, end: Floats) -> Floats:
        return np.asarray(start + (end - start) * share, np.float32)

    return Lips(
        x=one.x,
        outer_upper=mix(one.outer_upper, two.outer_upper),
        inner_upper=mix(one.inner_upper, two.inner_upper),
        inner_lower=mix(one.inner_lower, two.inner_lower),
        outer_lower=mix(one.outer_lower, two.outer_lower),
    )
