"""The smallest real inputs: a few seconds of the bundled presenter, heard and seen."""

import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.frame import PictureType

from infra.presenter import PRESENTER, RECORDING
from tasks.audio import decode_mono

SECONDS = 2.5
RATE = 24_000
FPS = 25
SIDE = 512


def cut_recording(path: Path, *, start: float = 0.0) -> Path:
    """Write some seconds of the bundled recording as a WAV file; the same start gives the same bytes.

    Args:
        path: where the file goes.
        start: where the cut begins, in seconds; 0 to ``latest_start()``.
    """
    samples = decode_mono(RECORDING, RATE)
    first = round(start * RATE)
    cut = samples[first : first + round(SECONDS * RATE)]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(cut, -1, 1) * 32_767).astype("<i2").tobytes())
    return path


def latest_start() -> float:
    """Latest start of a cut, in seconds, that still has its whole length."""
    return len(decode_mono(RECORDING, RATE)) / RATE - SECONDS


def film_picture(path: Path) -> Path:
    """Write some seconds of the bundled picture as an MP4 (H.264) without sound; always the same bytes."""
    with av.open(str(PRESENTER)) as source:
        picture = next(source.decode(video=0)).reformat(SIDE, SIDE, "yuv420p")
    # Marked as a key frame by the decoder, which would make every frame of the clip one.
    picture.pict_type = PictureType.NONE
    with av.open(str(path), "w", options={"movflags": "faststart"}) as clip:
        stream = clip.add_stream("libx264", rate=FPS, width=SIDE, height=SIDE, pix_fmt="yuv420p")
        # The number of threads changes the bytes, and with them the identity of the video.
        stream.codec_context.thread_count = 1
        for number in range(round(SECONDS * FPS)):
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            clip.mux(stream.encode(picture))
        clip.mux(stream.encode(None))
    return path
