"""Videos for the inspection: a photographed face whose mouth is pulled open by known amounts, with known sound."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from skimage.data import astronaut

from tasks.audio import Wave
from tasks.facemesh import FaceMesh
from tasks.facemesh.topology import LEFT_EYE_OUTER, MOUTH_LEFT, MOUTH_RIGHT, RIGHT_EYE_OUTER

Image = npt.NDArray[np.uint8]


def write_video(
    path: Path,
    pictures: Iterable[Image],
    wave: Wave | None = None,
    *,
    fps: int = 25,
    rate: int = 48_000,
    layout: str = "mono",
    delay: float = 0.0,
    faststart: bool = True,
    skip: frozenset[int] = frozenset(),
) -> Path:
    """Encode H.264 and AAC; ``delay`` moves the sound's timestamps, ``skip`` leaves out pictures but not their time."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if faststart else {}) as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout=layout) if wave is not None else None
        for index, picture in enumerate(pictures):
            if index in skip:
                continue
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if index == 0:
                video.width, video.height = frame.width, frame.height
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if wave is not None and audio is not None:
            channels = av.AudioLayout(layout).nb_channels
            for first in range(0, len(wave), 1024):
                part = np.repeat(wave[None, first : first + 1024], channels, axis=0)
                block = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), format="fltp", layout=layout)
                block.sample_rate, block.time_base = rate, Fraction(1, rate)
                block.pts = first + round(delay * rate)
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def talking_pictures(openings: npt.NDArray[np.float32], side: int = 320) -> list[Image]:
    """A face whose lips part by each of the openings, 0 to 1."""
    face = np.asarray(cv2.resize(astronaut()[:400, 60:460], (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    points = FaceMesh().landmarks(face)
    assert points is not None
    eyes = np.linalg.norm(points[RIGHT_EYE_OUTER] - points[LEFT_EYE_OUTER])
    seam = int(points[[13, 14], 1].mean())
    left, right = points[MOUTH_LEFT, 0], points[MOUTH_RIGHT, 0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    across = np.abs(x - (left + right) / 2) / ((right - left) / 2)
    fade = np.where(y > seam, np.exp(-np.maximum(y - seam - 0.12 * side, 0) / (0.12 * side)), 0)
    pictures = []
    for opening in openings:
        drop = 0.3 * float(opening) * eyes
        sunk = (y - drop * fade * np.clip(1 - (across / 2.2) ** 2, 0, 1)).astype(np.float32)
        picture = np.asarray(cv2.remap(face, x, sunk, cv2.INTER_LINEAR), np.uint8)
        picture[(y > seam) & (y < seam + drop * np.clip(1 - across**2, 0, 1))] = (60, 20, 20)
        pictures.append(picture)
    return pictures


def moving_pictures(count: int, width: int = 160, height: int = 90) -> list[Image]:
    """Grey pictures with a bright square that wanders."""
    pictures = []
    for index in range(count):
        picture = np.full((height, width, 3), 90, np.uint8)
        left = (index * 5) % (width - 30)
        picture[20:50, left : left + 30] = (200, 180, 160)
        pictures.append(picture)
    return pictures


def voice_like(seconds: float, rate: int = 48_000, level: float = 0.1) -> Wave:
    """Noise in syllables, four a second."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).normal(0, level, len(time))
    return (noise * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * time))).clip(-1, 1).astype(np.float32)
