"""How a text or a file becomes speech: found or fetched, and played in real time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from infra.sandbox.material import JobFailed
from infra.sandbox.mingyan.inputs import fetch_input
from infra.sandbox.speech import RATE
from infra.sandbox.truth import Truth
from infra.sandbox.zego.audio import Unspeakable, file_pcm, text_pcm
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.records import Drive

_SAMPLE_BYTES = 2
_LEAD_SECONDS = 2.0
"""So far ahead of the speech a file is decoded; the rest of it stays on the disk."""


class Performer:
    """Says texts and files.

    Args:
        truth: has the settings.
        inputs: folder for what is fetched.
    """

    def __init__(self, truth: Truth, inputs: Path) -> None:
        self._truth, self._inputs = truth, inputs

    async def perform(self, drive: Drive, playout: Playout, began: Callable[[], None]) -> None:
        """Say a drive until its end.

        Raises:
            Unspeakable: its file is out of reach or holds no speech.
        """
        if drive.url is None:
            pcm = await text_pcm(drive.text or "", drive.speed, self._truth.knobs.zego_text_part)
            await _play(drive, playout, began, _one(pcm))
            return
        target = self._inputs / f"drive-{drive.drive_id}"
        try:
            await fetch_input(drive.url, target, "audio", self._truth.knobs)
            await _play(drive, playout, began, file_pcm(target, drive.channel))
        except JobFailed as error:
            raise Unspeakable(str(error)) from error
        finally:
            target.unlink(missing_ok=True)


async def _play(drive: Drive, playout: Playout, began: Callable[[], None], pieces: AsyncIterator[bytes]) -> None:
    playout.begin(drive.drive_id, RATE)
    start = time.monotonic()
    drive.seconds = 0.0
    async for piece in pieces:
        playout.feed(drive.drive_id, piece)
        if not drive.seconds and await playout.wait_begun(drive.drive_id):
            began()
        drive.seconds += len(piece) / _SAMPLE_BYTES / RATE
        await asyncio.sleep(drive.seconds - _LEAD_SECONDS - (time.monotonic() - start))
    playout.finish(drive.drive_id)
    await playout.wait_said(drive.drive_id)


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
