"""The quick renderer: a drawn face that opens its mouth to the sound, in a fraction of the time it plays."""

import asyncio
import hashlib
import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from infra.sandbox.material import Material
from infra.sandbox.speech import RATE, hear
from tasks.audio import Wave

SIDE, FPS = 256, 25

_BLOCK = 1024
_LOUD = 0.12
"""Root mean square at which the mouth is wide open."""

_Picture = npt.NDArray[np.uint8]


class QuickRenderer:
    """Draws in a thread; FFmpeg and OpenCV let the event loop run meanwhile."""

    async def render(self, material: Material, target: Path, job_id: str) -> float:  # noqa: ARG002 - nothing to resume
        """Write an MP4 and return the seconds of its speech."""
        return await asyncio.to_thread(_render, material, target)


def _render(material: Material, target: Path) -> float:
    wave = hear(material)
    write_clip(target, wave, material.look)
    return len(wave) / RATE


def write_clip(target: Path, wave: Wave, look: str, side: int = SIDE) -> None:
    """Write a talking face: H.264 and AAC in an MP4 that is as long as the sound.

    Args:
        target: where it goes, as a whole.
        wave: float32[n], mono at ``speech.RATE``.
        look: decides about the colours.
        side: width and height in pixels.
    """
    frames = max(1, math.ceil(len(wave) / RATE * FPS))
    part = target.with_name(f"{target.name}.part")
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        video: VideoStream = container.add_stream("libx264", rate=FPS)
        video.width = video.height = side
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "28"}
        # The renders at the same time use the cores already.
        video.codec_context.thread_count = 1
        audio: AudioStream = container.add_stream("aac", rate=RATE, layout="mono")
        audio.options = {"aac_coder": "fast"}
        colours = _colours(look)
        heard = 0
        for number in range(frames):
            end = round((number + 1) * RATE / FPS)
            picture = _draw(number / FPS, _opening(wave[end - RATE // FPS : end]), colours)
            if side != SIDE:
                picture = np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
            # Sound goes along with the pictures, so that players need not look far for it.
            heard = _encode_sound(container, audio, wave[:end], heard)
        _encode_sound(container, audio, wave, heard, to_the_end=True)
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    part.rename(target)


def _encode_sound(
    container: av.container.OutputContainer, audio: AudioStream, wave: Wave, start: int, *, to_the_end: bool = False
) -> int:
    """Encode whole blocks from a sample on, and the rest of it too when asked; returns where it stopped."""
    while len(wave) - start >= _BLOCK or (to_the_end and start < len(wave)):
        block = np.clip(wave[start : start + _BLOCK], -1, 1)
        frame = av.AudioFrame.from_ndarray(block[None], "fltp", "mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        container.mux(audio.encode(frame))
        start += len(block)
    return start


def _opening(block: Wave) -> float:
    """How far the mouth is open for a block of sound, 0 to 1."""
    return min(1.0, float(np.sqrt(np.mean(np.square(block)))) / _LOUD) if len(block) else 0.0


def _colours(look: str) -> list[tuple[int, int, int]]:
    """Background, skin and hair, each bright enough not to count as black."""
    digest = hashlib.sha256(look.encode()).digest()
    tones = [tuple(90 + byte % 130 for byte in digest[start : start + 3]) for start in (0, 3)]
    skin = (150 + digest[6] % 40, 180 + digest[7] % 40, 225)
    return [(tones[0][0], tones[0][1], tones[0][2]), skin, (tones[1][0], tones[1][1], tones[1][2])]


def _draw(time: float, opening: float, colours: list[tuple[int, int, int]]) -> _Picture:
    """One picture, uint8[SIDE, SIDE, 3]; the head sways, so that no pause looks frozen."""
    background, skin, hair = colours
    picture = np.empty((SIDE, SIDE, 3), np.uint8)
    cv2.rectangle(picture, (0, 0), (SIDE, SIDE), background, -1)
    x = SIDE // 2 + round(9 * math.sin(2 * math.pi * time / 3.1))
    y = SIDE // 2 + round(4 * math.sin(2 * math.pi * time / 2.3))
    cv2.ellipse(picture, (x, SIDE + 20), (105, 70), 0, 180, 360, hair, -1)
    cv2.ellipse(picture, (x, y - 12), (70, 88), 0, 0, 360, hair, -1)
    cv2.ellipse(picture, (x, y), (62, 80), 0, 0, 360, skin, -1)
    lid = 1 if time % 3.7 < 0.12 else 8
    for side in (-24, 24):
        cv2.ellipse(picture, (x + side, y - 18), (11, lid), 0, 0, 360, (250, 250, 250), -1)
        cv2.ellipse(picture, (x + side, y - 18), (5, min(lid, 5)), 0, 0, 360, (60, 40, 30), -1)
    cv2.line(picture, (x, y - 6), (x - 5, y + 14), (120, 140, 190), 2)
    cv2.ellipse(picture, (x, y + 40), (24, 3 + round(16 * opening)), 0, 0, 360, (60, 50, 150), -1)
    cv2.putText(picture, "SANDBOX", (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1)
    return picture
