"""Load a portrait as the frame of a video: upright, opaque, 8 bit, of a size that can be encoded."""

import struct
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from tasks.errors import ProviderRejected
from tasks.providers.local.face import Image
from tasks.providers.local.models import PROVIDER
from tasks.settings import get_settings

LARGEST_SHORT_SIDE: Final = 1080
LARGEST_LONG_SIDE: Final = 2560
_BACKDROP: Final = np.array([228, 228, 230], np.float32)
"""What shows through transparent pictures: a neutral studio wall."""


def load_portrait(path: Path, short_side: int | None = 720) -> Image:
    """Read a JPEG, PNG or WebP as uint8[h, w, 3] with even sides.

    The EXIF orientation is applied, transparency is laid on a neutral wall, grey and 16 bit become 8 bit RGB, and a
    picture larger than asked is shrunk. Of an odd number of rows or columns the last one is cut off.

    Args:
        path: the file.
        short_side: most pixels of the short side; None allows up to 1080.

    Raises:
        ProviderRejected: ``unreadable`` or ``too_many_pixels``.
    """
    data = path.read_bytes()
    width, height = image_size(data) or (0, 0)
    if not (width and height):
        raise _unreadable("it is no JPEG, PNG or WebP")
    most = get_settings().max_image_pixels
    if width * height > most:
        raise ProviderRejected(
            f"the portrait has {width} x {height} pixels; more than {most} are not accepted.",
            provider=PROVIDER,
            code="too_many_pixels",
            fix="Scale it down; 1080 pixels on the short side are enough.",
        )
    rgb = _decode(data)
    width, height = fit_size(rgb.shape[1], rgb.shape[0], short_side)
    if width < rgb.shape[1] - 1 or height < rgb.shape[0] - 1:
        return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(rgb[:height, :width])


def fit_size(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Even width and height of the video for a picture of this size; never larger than the picture."""
    short = min(short_side or LARGEST_SHORT_SIDE, LARGEST_SHORT_SIDE)
    scale = min(1.0, short / min(width, height), LARGEST_LONG_SIDE / max(width, height))
    if scale == 1.0:
        return max(2, width // 2 * 2), max(2, height // 2 * 2)
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as the head of a file says, without decoding it: a small file may unpack to gigabytes."""
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return int(width), int(height)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and len(data) >= 30:
        return _webp_size(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header."""
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return int(width), int(height)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _decode(data: bytes) -> Image:
    raw = np.frombuffer(data, np.uint8)
    try:
        plain = cv2.imdecode(raw, cv2.IMREAD_UNCHANGED)
        upright = cv2.imdecode(raw, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise _unreadable("it cannot be decoded") from error
    if plain is None or upright is None:
        raise _unreadable("it cannot be decoded")
    if plain.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16)}:
        raise _unreadable(f"its pixels are {plain.dtype}")
    if plain.ndim == 3 and plain.shape[2] == 4:
        return _to_rgb(_lay_on_backdrop(_turn_like(plain, upright)))
    return _to_rgb(upright)


def _turn_like(plain: npt.NDArray[Any], upright: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Turn BGRA as the decoder turned BGR: it applies the EXIF orientation only where it drops transparency."""
    for mirrored in (plain, plain[:, ::-1]):
        for turns in range(4):
            turned = np.rot90(mirrored, turns)
            if np.array_equal(turned[..., :3], upright):
                return turned
    return plain


def _lay_on_backdrop(bgra: npt.NDArray[Any]) -> Image:
    full = np.iinfo(bgra.dtype).max
    values = bgra.astype(np.float32) * np.float32(255 / full)
    alpha = values[..., 3:] / np.float32(255)
    laid = values[..., :3] * alpha + _BACKDROP[::-1] * (1 - alpha)
    return np.clip(laid + 0.5, 0, 255).astype(np.uint8)


def _to_rgb(bgr: npt.NDArray[Any]) -> Image:
    if bgr.dtype == np.uint16:
        bgr = (bgr.astype(np.float32) / np.float32(257) + np.float32(0.5)).astype(np.uint8)
    if bgr.ndim == 2:
        return np.asarray(cv2.cvtColor(bgr.astype(np.uint8), cv2.COLOR_GRAY2RGB), np.uint8)
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def _unreadable(why: str) -> ProviderRejected:
    return ProviderRejected(
        f"the portrait cannot be read: {why}.",
        provider=PROVIDER,
        code="unreadable",
        fix="Give a JPEG, PNG or WebP file that opens in an image viewer.",
    )
