"""The clip renderer: a few short videos made once, handed out again and again, so that thousands of jobs cost no work.

What a job costs follows the length of its speech as with the other renderers; the video itself does not.
"""

import asyncio
import hashlib
import os
from pathlib import Path

import numpy as np

from infra.sandbox.clips import write_clip
from infra.sandbox.material import JobFailed, Material
from infra.sandbox.speech import RATE, murmur, recorded_seconds, spoken_seconds

SIDE, SECONDS, VARIANTS = 128, 2.0, 4


class ClipRenderer:
    """Hands out ready clips as hard links: ``VARIANTS`` different ones of ``SECONDS``, ``SIDE`` pixels square.

    Args:
        folder: where the clips are kept; on the file system of the results.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._clips = [_ready(folder / f"clip-{number}.mp4", number) for number in range(VARIANTS)]

    async def render(self, material: Material, target: Path, job_id: str) -> float:
        """Link a clip and return the seconds of the speech that was ordered.

        Raises:
            JobFailed: the recording cannot be read.
        """
        seconds = await asyncio.to_thread(_ordered_seconds, material)
        clip = self._clips[int(hashlib.sha256(job_id.encode()).hexdigest(), 16) % VARIANTS]
        part = target.with_name(f"{target.name}.part")
        # A process that was killed may have left either.
        part.unlink(missing_ok=True)
        os.link(clip, part)
        part.rename(target)
        # Renaming one link to a file over another one of it does nothing.
        part.unlink(missing_ok=True)
        return seconds


def _ready(path: Path, number: int) -> Path:
    if not path.exists():
        wave = np.resize(murmur(str(number)), round(SECONDS * RATE))
        write_clip(path, wave, look=str(number), side=SIDE)
    return path


def _ordered_seconds(material: Material) -> float:
    if material.recording is None:
        return spoken_seconds(material.script, material.speed)
    seconds = recorded_seconds(material.recording)
    if not seconds:
        raise JobFailed("the audio cannot be decoded")
    return seconds
