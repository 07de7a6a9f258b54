"""Real media files for tests, made with the libraries that will read them."""

import struct
import wave
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data


def write_picture(path: Path, width: int = 320, height: int = 240) -> Path:
    """A portrait; the suffix decides about the format."""
    pixels = cv2.cvtColor(cv2.resize(data.astronaut(), (width, height)), cv2.COLOR_RGB2BGR)
    assert cv2.imwrite(str(path), pixels)
    return path


def write_turned_jpeg(path: Path, width: int, height: int, orientation: int = 6) -> Path:
    """A JPEG whose EXIF data says that it is to be turned by a quarter."""
    write_picture(path, width, height)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    plain = path.read_bytes()
    path.write_bytes(plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:])
    return path


def write_bomb_png(path: Path, width: int, height: int) -> Path:
    """A tiny PNG whose header promises a huge picture."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def write_wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    """A mono WAV of samples from -1 to 1."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path


def write_sound(path: Path, seconds: float = 1.0, rate: int = 16_000, channels: int = 1, codec: str = "") -> Path:
    """A 220 Hz tone; the suffix decides about the container."""
    codecs = {".wav": "pcm_s16le", ".mp3": "libmp3lame", ".m4a": "aac", ".flac": "flac", ".ogg": "libopus"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec or codecs[path.suffix], rate=rate)
        stream.layout = "mono" if channels == 1 else "stereo"
        _encode_tone(container, stream, seconds, rate, channels)
    return path


def write_clip(
    path: Path,
    seconds: float = 1.0,
    fps: int = 25,
    size: tuple[int, int] = (160, 120),
    *,
    sound: bool = True,
    codec: str = "libx264",
    faststart: bool = True,
) -> Path:
    """A clip of a growing grey, with a tone unless it is to be silent."""
    options = {"movflags": "faststart"} if faststart and path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        video = container.add_stream(codec, rate=fps)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        audio = None
        if sound:
            audio = container.add_stream("libopus" if path.suffix == ".webm" else "aac", rate=48_000)
            audio.layout = "mono"
        rng = np.random.default_rng(7)
        for number in range(round(seconds * fps)):
            pixels = rng.integers(0, 255, (size[1], size[0], 3), np.uint8) // 4 + number % 150
            frame = av.VideoFrame.from_ndarray(pixels.astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            _encode_tone(container, audio, seconds, 48_000, 1)
    return path


def _encode_tone(
    container: av.container.OutputContainer, stream: av.AudioStream, seconds: float, rate: int, channels: int
) -> None:
    count = round(seconds * rate)
    wave = (np.sin(np.arange(count) * (2 * np.pi * 220 / rate)) * 12_000).astype(np.int16)
    for start in range(0, count, 1024):
        block = np.repeat(wave[start : start + 1024], channels)[None, :]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono" if channels == 1 else "stereo")
        frame.sample_rate, frame.pts = rate, start
        frame.time_base = Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
