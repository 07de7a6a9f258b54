"""What `studio demo` asks for: the bundled presenter, in the form that each provider takes."""

from collections.abc import Iterator
from fractions import Fraction
from math import pi, sin
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from infra.presenter import PRESENTER, RECORDING, SCRIPT
from tasks.blocks import TopViewCredentials, load_block
from tasks.errors import StudioUnavailable
from tasks.settings import get_settings

CLIP_SECONDS = 10
CLIP_FPS = 25
CLIP_SIDE = 512
SWAY = 0.02
"""How far the picture grows and shrinks, so that the clip moves as footage does."""

_TITLE = "Welcome to the studio"


async def demo_request(provider: str, folder: Path) -> dict[str, Any]:
    """The fields of the form for one provider; media are local files.

    Args:
        provider: local, topview or mingyan.
        folder: where a clip may be made.

    Raises:
        StudioUnavailable: the provider's catalogue has no English voice.
        ProviderError: the provider's catalogue cannot be read.
    """
    common = {"title": _TITLE, "provider": provider, "tags": ["demo"]}
    portrait = {"kind": "portrait", "image": str(PRESENTER)}
    script = {"kind": "script", "text": SCRIPT.read_text(encoding="utf-8").strip()}
    if provider == "mingyan":
        clip = {"kind": "clip", "video": str(write_demo_clip(folder / "presenter.mp4"))}
        return {**common, "avatar": clip, "speech": {"kind": "recording", "audio": str(RECORDING)}}
    if provider == "topview":
        return {**common, "avatar": portrait, "speech": {**script, "voice": await _english_voice()}}
    return {**common, "avatar": portrait, "speech": script}


async def _english_voice() -> str:
    """The first English voice of TopView's catalogue."""
    credentials = await load_block(TopViewCredentials, get_settings().topview_block)
    async for voice in credentials.get_client().catalogs.voices(language="en"):
        if voice.voice_id:
            return voice.voice_id
    raise StudioUnavailable(
        "TopView's catalogue has no English voice.", fix="Look with `studio catalog topview voices`."
    )


def write_demo_clip(path: Path) -> Path:
    """Write ten seconds of the presenter, who sways a little, as a silent MP4 (H.264)."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS, options={"crf": "20", "preset": "veryfast"})
        stream.width = stream.height = CLIP_SIDE
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(_pictures()):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, CLIP_FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _pictures() -> Iterator[npt.NDArray[np.uint8]]:
    still = cv2.imread(str(PRESENTER))
    if still is None:
        raise FileNotFoundError(PRESENTER)
    side = min(still.shape[:2])
    square = cv2.resize(still[:side, :side], (CLIP_SIDE, CLIP_SIDE), interpolation=cv2.INTER_AREA)
    center = (CLIP_SIDE / 2, CLIP_SIDE / 2)
    count = CLIP_SECONDS * CLIP_FPS
    for number in range(count):
        phase = 2 * pi * number / count
        turn = cv2.getRotationMatrix2D(center, sin(phase), 1 + SWAY * (1 + sin(2 * phase)))
        yield cv2.warpAffine(square, turn, (CLIP_SIDE, CLIP_SIDE), borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
