"""Colours of the inside of a mouth, in the light of the picture that it appears in."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from tasks.facemesh import topology as mesh
from tasks.providers.local.face import FaceFrame, Floats, Image

# sRGB under neutral light, for a face whose skin is as bright as _REFERENCE_SKIN.
_TEETH: Final = np.array([240, 230, 214], np.float32)
_CAVITY: Final = np.array([46, 17, 18], np.float32)
_TONGUE: Final = np.array([158, 82, 82], np.float32)
_GREY_CHROMA: Final = 2.5
"""Spread of the colour channels (Lab) below which a face counts as monochrome."""


SKIN_SPOTS: Final = (mesh.LEFT_CHEEK_SKIN, mesh.RIGHT_CHEEK_SKIN, 205, 425, 199)
"""Landmarks on bare skin: cheeks and chin."""
LIP_SPOTS: Final = (*mesh.OUTER_LOWER[4:7], 85, 16, 315)
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Palette:
    """sRGB colours, float32[3], 0 to 255."""

    teeth: Floats
    cavity: Floats
    tongue: Floats

    def lit(self, light: float) -> "Palette":
        """The same colours under so many times the light."""
        return Palette(np.minimum(self.teeth * light, 245), self.cavity * light, self.tongue * light)


def read_palette(rgb: Image, points: Floats) -> Palette:
    """Take the light from the skin, the whites of the eyes and the lips of a face.

    Args:
        rgb: uint8[h, w, 3].
        points: float32[468, 3], its face mesh in pixels.
    """
    skin = _skin(rgb, points)
    brightness = float(np.percentile(skin @ _LUMA, 85))
    white = _eye_white(rgb, points)
    # Light skin is nearly as bright as teeth in the same light, dark skin is not: then the eyes tell more.
    light = float(np.clip(max(brightness / 190, white / 215), 0.45, 1.08))
    lips = _lip_colour(rgb, points)
    tongue = 0.5 * _TONGUE * light + 0.5 * lips * np.array([1.0, 0.86, 0.88], np.float32)
    colours = np.stack([_TEETH * light, _CAVITY * min(light, 1.0), tongue])
    # A little of the skin's own cast, so that teeth under warm light are warm.
    cast = skin.mean(axis=0) / max(float(skin.mean()), 1.0)
    colours[0] *= 0.85 + 0.15 * cast
    colours[0] *= min(1.0, 240 / float(colours[0].max()))
    return Palette(*_in_picture_tones(colours, skin, lips))


def skin_brightness(rgb: Image, points: Floats) -> float:
    """Brightness of the skin, 0 to 255."""
    return float(np.median(_skin(rgb, points) @ _LUMA))


def _in_picture_tones(colours: Floats, skin: Floats, lips: Floats) -> Floats:
    """Colours as a monochrome or tinted picture would show them; unchanged for one in full colour."""
    sample = np.vstack([skin, np.repeat(lips[None], max(len(skin) // 3, 1), axis=0)])
    lab = _to_lab(sample)
    if float(lab[:, 1:].std(axis=0).max()) > _GREY_CHROMA:
        return colours
    tinted = _to_lab(colours)
    tinted[:, 1:] = np.median(lab[:, 1:], axis=0)
    back = cv2.cvtColor(tinted[None], cv2.COLOR_Lab2RGB)[0] * 255
    return np.asarray(np.clip(back, 0, 255), np.float32)


def _to_lab(colours: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2Lab)[0], np.float32)


def _skin(rgb: Image, points: Floats) -> Floats:
    """Pixels of the cheeks and the chin, float32[n, 3]."""
    return _around(rgb, points, SKIN_SPOTS, 0.035)


def _lip_colour(rgb: Image, points: Floats) -> Floats:
    return np.asarray(np.median(_around(rgb, points, LIP_SPOTS, 0.012), axis=0), np.float32)


def _around(rgb: Image, points: Floats, ids: tuple[int, ...], radius: float) -> Floats:
    reach = max(1, round(FaceFrame.of(points).unit * radius))
    height, width = rgb.shape[:2]
    patches = []
    for x, y in points[list(ids), :2]:
        column, row = int(np.clip(x, reach, width - reach - 1)), int(np.clip(y, reach, height - reach - 1))
        patches.append(rgb[row - reach : row + reach + 1, column - reach : column + reach + 1].reshape(-1, 3))
    return np.concatenate(patches).astype(np.float32)


def _eye_white(rgb: Image, points: Floats) -> float:
    """Brightness of the whites of the eyes, 0 to 255; 0 where the eyes show too little."""
    values = []
    for upper, lower in ((mesh.LEFT_UPPER_LID, mesh.LEFT_LOWER_LID), (mesh.RIGHT_UPPER_LID, mesh.RIGHT_LOWER_LID)):
        outline = np.concatenate([points[list(upper), :2], points[list(lower)[::-1], :2]])
        mask = np.zeros(rgb.shape[:2], np.uint8)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
        eye = rgb[mask > 0].astype(np.float32)
        if len(eye) >= 20:
            pale = eye.max(axis=1) - eye.min(axis=1) < 60
            values.append(float(np.percentile(eye[pale].mean(axis=1), 85)) if pale.sum() > 10 else 0.0)
    return min(values) if len(values) == 2 else 0.0
