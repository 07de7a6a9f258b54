"""Pictures and clips of faces for tests, made from the portraits that scikit-image and matplotlib ship."""

import struct
import wave
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import cbook
from skimage import data

from tasks.facemesh import FaceMesh

Image = npt.NDArray[np.uint8]


@cache
def smiling() -> Image:
    """A face that shows its teeth, uint8[512, 512, 3]."""
    return np.asarray(data.astronaut(), np.uint8)


@cache
def serious() -> Image:
    """A face with a shut mouth and spectacles, uint8[600, 512, 3]."""
    bgr = cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))
    return np.ascontiguousarray(bgr[..., ::-1], np.uint8)


def close_up(side: int = 320) -> Image:
    """The smiling face, filling a square."""
    cut = smiling()[30:230, 120:320]
    return np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def turned(degrees: float) -> Image:
    """The smiling face, turned to the side in three dimensions by its mesh."""
    rgb = close_up(640)
    points = FaceMesh().landmarks(rgb)
    assert points is not None
    angle, centre = np.radians(degrees), points.mean(axis=0)
    away = points - centre
    x = away[:, 0] * np.cos(angle) + away[:, 2] * np.sin(angle) + centre[0]
    depth = -away[:, 0] * np.sin(angle) + away[:, 2] * np.cos(angle)
    target = np.column_stack([x, points[:, 1]]).astype(np.float32)
    canvas = np.full_like(rgb, 200)
    for corners in sorted(_triangles(points, rgb.shape), key=lambda three: -depth[three].mean()):
        low = np.floor(target[corners].min(axis=0)).astype(int)
        high = np.ceil(target[corners].max(axis=0)).astype(int) + 1
        local = target[corners] - low.astype(np.float32)
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        matrix = cv2.getAffineTransform(points[corners, :2].copy(), local)
        patch = cv2.warpAffine(rgb, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        mask = np.zeros(patch.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.round(local).astype(np.int32), 1)
        view = canvas[low[1] : high[1], low[0] : high[0]]
        view[mask > 0] = patch[mask > 0]
    return canvas


def _triangles(points: npt.NDArray[np.float32], shape: Sequence[int]) -> list[list[int]]:
    plane = cv2.Subdiv2D((0, 0, shape[1], shape[0]))
    index = {}
    for number, (x, y, _) in enumerate(points.tolist()):
        plane.insert((x, y))
        index[round(x, 2), round(y, 2)] = number
    corners = [
        [(round(float(x), 2), round(float(y), 2)) for x, y in six.reshape(3, 2)] for six in plane.getTriangleList()
    ]
    return [[index[corner] for corner in three] for three in corners if all(corner in index for corner in three)]


def save(path: Path, rgb: npt.NDArray[np.generic]) -> Path:
    """Write a picture, RGB or RGBA, as its file name says."""
    order = [2, 1, 0, 3][: rgb.shape[2]] if rgb.ndim == 3 else slice(None)
    assert cv2.imwrite(str(path), rgb[..., order] if rgb.ndim == 3 else rgb)
    return path


def save_turned_jpeg(path: Path, rgb: Image, orientation: int) -> Path:
    """Write a JPEG with an EXIF orientation and nothing else in its EXIF."""
    done, jpeg = cv2.imencode(".jpg", rgb[..., ::-1])
    assert done
    entry = struct.pack("<HHII", 0x0112, 3, 1, orientation)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    plain = jpeg.tobytes()
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    return path


def save_speech(path: Path, seconds: float, rate: int = 16_000) -> Path:
    """Write a WAV with syllables: a buzz that comes and goes four times a second."""
    times = np.arange(round(seconds * rate)) / rate
    buzz = sum(np.sin(2 * np.pi * 140 * k * times) / k for k in range(1, 20))
    sound = 0.25 * buzz * np.clip(np.sin(2 * np.pi * 2 * times), 0, 1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def save_clip(
    path: Path, frames: Iterable[Image], times_ms: Iterable[int] | None = None, fps: int = 25, gop: int = 12
) -> Path:
    """Write a clip without sound; times_ms makes its frame rate variable."""
    stamps = iter(times_ms) if times_ms is not None else None
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "ultrafast"}
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.gop_size = gop
        for number, rgb in enumerate(frames):
            if number == 0:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts = next(stamps) if stamps is not None else round(number * 1000 / fps)
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def moving(count: int, side: int = 256) -> list[Image]:
    """Frames of the smiling face that drifts and nods a little."""
    rgb = close_up(side)
    frames = []
    for number in range(count):
        angle = 4 * np.sin(number / 9)
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, 1.0)
        matrix[:, 2] += (3 * np.sin(number / 7), 2 * np.cos(number / 5))
        frames.append(np.asarray(cv2.warpAffine(rgb, matrix, (side, side), borderMode=cv2.BORDER_REFLECT), np.uint8))
    return frames


def decode(path: Path) -> tuple[list[Image], list[float], float]:
    """All frames of a video as RGB, their times, and the seconds of sound that decode."""
    frames, times, samples, rate = [], [], 0, 1
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            times.append(float(frame.time or 0.0))
    with av.open(str(path)) as container:
        for sound in container.decode(audio=0) if container.streams.audio else ():
            samples, rate = samples + sound.samples, sound.sample_rate
    return frames, times, samples / rate
