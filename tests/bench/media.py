"""Media for the benches: speech of any length, pictures of a presenter, and a very large video made quickly."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from infra.presenter import PRESENTER, RECORDING
from tasks.audio import decode_mono
from tests.media_files import write_wav

RATE = 24_000
_FPS = 25
_GROUP = 4


def write_speech(path: Path, seconds: float, start: float = 0.0) -> Path:
    """Cut a WAV out of the bundled recording, from a moment on; beyond its end it begins anew."""
    voice = decode_mono(RECORDING, RATE)
    samples = np.resize(np.roll(voice, -round(start * RATE)), round(seconds * RATE))
    return write_wav(path, samples, RATE)


def write_wide_portrait(path: Path, width: int = 1280, height: int = 720) -> Path:
    """The bundled presenter in the middle of a wide picture, 1280x720 unless said otherwise."""
    drawn = cv2.imread(str(PRESENTER))
    if drawn is None:
        raise OSError(f"cannot read {PRESENTER}")
    presenter = cv2.resize(drawn, (height, height), interpolation=cv2.INTER_AREA)
    left = (width - height) // 2
    picture = cv2.copyMakeBorder(presenter, 0, 0, left, width - height - left, cv2.BORDER_REPLICATE)
    if not cv2.imwrite(str(path), picture):
        raise OSError(f"cannot write {path}")
    return path


def write_huge_video(path: Path, size: int, width: int = 1920, height: int = 1080) -> Path:
    """An MP4 of at least ``size`` bytes that decodes to its end: lossless H.264 of noise, 5 MB a picture.

    A few pictures are encoded and then written again and again, which takes seconds for a gigabyte.
    """
    with av.open(str(path), "w") as container:
        # Each picture stands for itself, so that they may be repeated in any number.
        options = {"qp": "0", "preset": "ultrafast", "x264-params": "keyint=1:bframes=0"}
        stream = container.add_stream("libx264", rate=_FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        coded = _noise_packets(stream)
        number = written = 0
        while written < size:
            packet = av.Packet(coded[number % len(coded)])
            packet.stream, packet.time_base = stream, Fraction(1, _FPS)
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            container.mux(packet)
            written += packet.size
            number += 1
    return path


def _noise_packets(stream: av.VideoStream) -> list[bytes]:
    random = np.random.default_rng(1)
    packets: list[bytes] = []
    for number in range(_GROUP):
        noise = random.integers(0, 256, (stream.height * 3 // 2, stream.width), np.uint8)
        frame = av.VideoFrame.from_ndarray(noise, format="yuv420p")
        frame.pts, frame.time_base = number, Fraction(1, _FPS)
        packets += map(bytes, stream.encode(frame))
    return [*packets, *map(bytes, stream.encode(None))]
