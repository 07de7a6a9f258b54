"""The inside of the mouth: teeth, tongue and the dark behind them, in the light of the picture."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from tasks.providers.local.face import FaceFrame, Floats, Image, Lips
from tasks.providers.local.grid import sample
from tasks.providers.local.mouth import Pose
from tasks.providers.local.palette import Palette

# Widths in mm from the midline outwards: incisors, canine, premolars; and how much higher than the first each ends.
_UPPER_WIDTHS: Final = (8.6, 6.7, 7.6, 7.0, 6.8)
_UPPER_ENDS: Final = (0.0, 0.7, 0.1, 0.9, 1.4)
_LOWER_WIDTHS: Final = (5.4, 5.9, 6.8, 7.0, 7.0)
_LOWER_ENDS: Final = (0.0, 0.1, -0.3, 0.3, 0.6)
_ARCH_RADIUS: Final = 27.0
_MM_PER_UNIT: Final = 90.0
_TEXTURE_SCALE: Final = 8
"""Texture pixels per mm."""
_TEXTURE_HALF_WIDTH: Final = 28.0
_TEXTURE_HEIGHT: Final = 15.0


@dataclass(frozen=True)
class OwnTeeth:
    """The teeth that a picture itself shows, kept as a patch that stands still with the skull."""

    rgb: Image
    """uint8[h, w, 3], the picture they are in."""
    frame: FaceFrame
    lips: Lips

    def read(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Colours float32[h, w, 3] and cover float32[h, w] at places in units."""
        lips = self.lips
        upper, lower = np.interp(x, lips.x, lips.inner_upper), np.interp(x, lips.x, lips.inner_lower)
        # Above the edge of the lip there is no tooth to see: the topmost row is drawn out instead.
        held = np.clip(y, upper + 0.14 * (lower - upper), lower)
        where = self.frame.to_picture(np.stack([x, held], axis=-1))
        seen = sample(self.rgb, where)
        thin = np.clip((lower - upper - 0.025) / 0.03, 0, 1)
        cover = np.clip((lower - 0.012 - y) / 0.016 + 0.5, 0, 1) * thin
        return np.asarray(seen, np.float32), np.asarray(cover, np.float32)


@dataclass(frozen=True)
class Inside:
    """What the inside of one mouth is drawn from. Heights in units."""

    palette: Palette
    upper_edge: float
    """Where the upper front teeth end; they do not move."""
    centre: float
    """x of the midline."""
    own_teeth: OwnTeeth | None = None
    """Set where the picture shows teeth; otherwise they are drawn."""
    shift: tuple[float, float] = (0.0, 0.0)
    """From places in this face to places in the picture of the own teeth, in units."""
    light: float = 1.0
    """Light on this face relative to the picture of the own teeth."""


@dataclass(frozen=True)
class Canvas:
    """Where each pixel of the opening lies; float32[h, w] each, in units."""

    x: Floats
    y: Floats
    below_upper: Floats
    """Distance below the upper lip's edge."""
    above_lower: Floats
    """Distance above the lower lip's edge."""
    pixel: float
    """Size of one pixel: sets how soft edges are drawn."""


def draw_inside(inside: Inside, canvas: Canvas, pose: Pose) -> Floats:
    """Draw the inside of a mouth as float32[h, w, 3], 0 to 255."""
    x, y, below_upper, above_lower = canvas.x, canvas.y, canvas.below_upper, canvas.above_lower
    across = x - np.float32(inside.centre)
    picture = _throat_and_tongue(inside.palette, across, canvas, pose)
    # Rounded lips stand out and shade what lies behind them.
    shade = np.full_like(y, 1 - 0.5 * pose.rounding)
    # The lower teeth go with the jaw; the lip goes a little further and bares them, unless it is rounded.
    bared = 0.1 * pose.gap + 0.01 * pose.spread
    tone, cover = _read(across, above_lower - bared, canvas.pixel, lower=True)
    cover = cover * np.clip((0.17 - np.abs(across)) / 0.06, 0, 1)
    cover = cover * float(np.clip((pose.jaw - 0.03) / 0.05, 0, 1) * np.clip(1 - 2 * pose.rounding, 0, 1))
    picture = _over(picture, _shaded(inside.palette.teeth, 0.8 * shade * tone, inside.palette), cover)
    if inside.own_teeth is None:
        tone, cover = _read(across, y - inside.upper_edge, canvas.pixel, lower=False)
        # The lip's shadow on the teeth: soft and short, or it reads as a dark band.
        under_lip = 0.8 + 0.2 * np.clip(below_upper / 0.04, 0, 1)
        picture = _over(picture, _shaded(inside.palette.teeth, shade * tone * under_lip, inside.palette), cover)
    else:
        teeth, cover = inside.own_teeth.read(x + np.float32(inside.shift[0]), y + np.float32(inside.shift[1]))
        picture = _over(picture, _shaded(np.minimum(teeth * inside.light, 250), shade, inside.palette), cover)
    # Towards the corners of the mouth the cheeks shade the teeth.
    corner = np.clip((pose.half_width - np.abs(across)) / 0.11, 0, 1)[..., None]
    picture = inside.palette.cavity * (1 - corner) + picture * corner
    # Both lips throw a thin shadow into the opening.
    rim = np.clip(np.minimum(below_upper, above_lower) / 0.018, 0, 1)
    return np.asarray(picture * (0.78 + 0.22 * rim)[..., None], np.float32)


def _throat_and_tongue(palette: Palette, across: Floats, canvas: Canvas, pose: Pose) -> Floats:
    depth = np.clip(canvas.below_upper / np.maximum(canvas.below_upper + canvas.above_lower, 1e-3), 0, 1)
    dark = palette.cavity * (0.55 + 0.9 * depth * depth)[..., None]
    y = canvas.y
    top = pose.floor - 0.3 * pose.gap * np.sqrt(np.clip(1 - (across / 0.24) ** 2, 0, 1))
    cover = np.clip((y - top) / 0.035 + 0.5, 0, 1) * np.clip((0.22 - np.abs(across)) / 0.06, 0, 1)
    groove = 1 - 0.16 * np.exp(-((across / 0.02) ** 2))
    lit = np.clip(0.45 + (y - top) / 0.11, 0.4, 1.0) * groove
    return _over(dark, palette.tongue * lit[..., None], cover)


def _shaded(colour: Floats, light: Floats, palette: Palette) -> Floats:
    """A colour in the shade of the mouth: the light there comes off red walls, so it is warm, not grey."""
    share = np.asarray(light, np.float32)[..., None]
    return np.asarray(colour * share + palette.cavity * 1.3 * (1 - share), np.float32)


def _over(below: Floats, above: Floats, cover: Floats) -> Floats:
    share = np.asarray(cover, np.float32)[..., None]
    return np.asarray(below * (1 - share) + above * share, np.float32)


def _read(across: Floats, past_edge: Floats, pixel: float, *, lower: bool) -> tuple[Floats, Floats]:
    """Tone and cover of a row of teeth; past_edge counts from the biting edge, negative towards the root."""
    scale = np.float32(_MM_PER_UNIT * _TEXTURE_SCALE)
    texture = _blurred_arch(round(float(pixel * scale / 2), 1), lower=lower)
    map_x = across * scale + np.float32(_TEXTURE_HALF_WIDTH * _TEXTURE_SCALE)
    map_y = past_edge * scale + np.float32((_TEXTURE_HEIGHT - 2) * _TEXTURE_SCALE)
    read = sample(texture, np.stack([map_x, map_y], axis=-1), smooth=False)
    return read[..., 0], read[..., 1]


@lru_cache(maxsize=32)
def _blurred_arch(blur: float, *, lower: bool) -> Floats:
    """A row of teeth as sharp as the picture it goes into; blur in texture pixels."""
    texture = _arch(lower=lower)
    return texture if blur < 0.6 else np.asarray(cv2.GaussianBlur(texture, (0, 0), blur), np.float32)


@lru_cache(maxsize=2)
def _arch(*, lower: bool) -> Floats:
    """A row of teeth from the front as float32[h, w, 2]: tone (1 is full light) and cover; biting edge below."""
    scale = _TEXTURE_SCALE
    width, height = int(2 * _TEXTURE_HALF_WIDTH * scale), int(_TEXTURE_HEIGHT * scale)
    x = (np.arange(width, dtype=np.float32) + 0.5) / scale - _TEXTURE_HALF_WIDTH
    y = (np.arange(height, dtype=np.float32)[:, None] + 0.5) / scale - (_TEXTURE_HEIGHT - 2)
    tone = np.zeros((height, width), np.float32)
    cover = np.zeros((height, width), np.float32)
    start = 0.0
    for wide, end in zip(*((_LOWER_WIDTHS, _LOWER_ENDS) if lower else (_UPPER_WIDTHS, _UPPER_ENDS)), strict=True):
        near, far = (_ARCH_RADIUS * np.sin(s / _ARCH_RADIUS) for s in (start, start + wide))
        facing = float(np.cos((start + wide / 2) / _ARCH_RADIUS))
        middle, half = (near + far) / 2, (far - near) / 2
        # Position on the tooth, -1 to 1; its corners are rounded at the biting edge.
        on_tooth = (np.abs(x) - middle) / half
        edge = -end - 1.1 * np.clip(np.abs(on_tooth) - 0.45, 0, 1) ** 2
        body = np.clip((1 - np.abs(on_tooth)) * half / 0.25, 0, 1) * np.clip((edge - y) / 0.5 + 0.5, 0, 1)
        bulge = 1 - 0.16 * np.abs(on_tooth) ** 3
        # The biting edge lets some of the dark through; the root side lies under the lip.
        along = 1 - 0.10 * np.clip(1 + (y - edge) / 2.2, 0, 1) - 0.10 * np.clip((-y - 7) / 4, 0, 1)
        this = (np.abs(on_tooth) <= 1.0).astype(np.float32)[None, :]
        tone = tone * (1 - this) + this * bulge * along * facing**0.9
        cover = np.maximum(cover, body * this)
        # What lies between two teeth is shaded tooth, not a black gap.
        cover = np.maximum(cover, this * np.clip((edge - 1.6 - y) / 0.8, 0, 1))
        start += wide
    seams = np.clip(cover, 0, 1)
    return np.ascontiguousarray(np.stack([cv2.GaussianBlur(tone, (0, 0), 1.2), seams], axis=-1).astype(np.float32))
