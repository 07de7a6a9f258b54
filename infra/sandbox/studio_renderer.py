"""The local renderer: real talking videos, made by the studio's own offline renderer through its spool.

Its pool runs elsewhere in the studio. Stock faces are the bundled presenter, and a script in a language that the
bundled voice does not speak becomes a murmur.
"""

import asyncio
import hashlib
import shutil
import tempfile
import wave as wav
from pathlib import Path

import numpy as np

from infra.presenter import PRESENTER
from infra.sandbox.material import JobFailed, Material
from infra.sandbox.speech import RATE, murmur
from tasks.errors import StudioError
from tasks.models import (
    ClipAvatar,
    OutputOptions,
    PortraitAvatar,
    RecordingSpeech,
    RenderRequest,
    ScriptSpeech,
)
from tasks.probe import MediaField, probe_media
from tasks.providers.base import JobStatus, MediaRole, ProbedMedia, SubmitOrder
from tasks.providers.local.provider import LocalProvider
from tasks.settings import get_settings

_DEADLINE_SECONDS = 3600.0
_REFERENCE = "s3://sandbox/input"


class StudioRenderer:
    """Sends jobs to a spool and waits for their videos.

    Args:
        spool: folder of the local renderer's jobs.
    """

    def __init__(self, spool: Path) -> None:
        self._local = LocalProvider(spool)

    async def render(self, material: Material, target: Path, job_id: str) -> float:
        """Write an MP4 and return the seconds of its speech; the same job is the same order in the spool.

        Raises:
            JobFailed: no face, no sound, or no video within an hour.
        """
        try:
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                order = await self._order(material, Path(scratch), job_id)
            order_id = await self._local.submit(order)
            status = await self._wait(order_id)
        except StudioError as error:
            raise JobFailed(str(error)) from error
        if status.result is None:
            raise JobFailed(status.reason or "the video could not be generated")
        part = target.with_name(f"{target.name}.part")
        await asyncio.to_thread(shutil.copyfile, status.result.location, part)
        part.rename(target)
        return status.result.speech_seconds or 0.0

    async def _order(self, material: Material, scratch: Path, job_id: str) -> SubmitOrder:
        """Upload the inputs and word the order as the studio itself would."""
        request = await asyncio.to_thread(self._request, material)
        face = material.footage or material.picture or PRESENTER
        field: MediaField = "avatar.video" if material.footage else "avatar.image"
        media: dict[MediaRole, ProbedMedia] = {
            "avatar": await probe_media(face, "avatar", _REFERENCE, get_settings(), field=field)
        }
        recording = material.recording
        if recording is None and isinstance(request.speech, RecordingSpeech):
            recording = await asyncio.to_thread(_write_murmur, material, scratch / "murmur.wav")
        if recording is not None:
            media["speech"] = await probe_media(recording, "speech", _REFERENCE, get_settings())
        problems = await self._local.check(request, media)
        if problems:
            raise JobFailed("; ".join(problem.wrong for problem in problems))
        inputs = {role: await self._local.upload(found) for role, found in media.items()}
        return SubmitOrder(
            render_key=hashlib.sha256(job_id.encode()).hexdigest(),
            attempt=1,
            payload=self._local.payload(request, media),
            inputs=inputs,
        )

    def _request(self, material: Material) -> RenderRequest:
        avatar = ClipAvatar(video=_REFERENCE) if material.footage else PortraitAvatar(image=_REFERENCE)
        output = OutputOptions(resolution="512p", fps=25)
        recorded = RenderRequest(avatar=avatar, speech=RecordingSpeech(audio=_REFERENCE), output=output)
        if material.recording is not None:
            return recorded
        script = ScriptSpeech(text=material.script, language=material.language, speed=material.speed)
        spoken = RenderRequest(avatar=avatar, speech=script, output=output)
        return recorded if self._local.supports(spoken) else spoken

    async def _wait(self, order_id: str) -> JobStatus:
        pause = self._local.pace.first
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while (status := await self._local.query(order_id)).phase not in {"succeeded", "failed"}:
                await asyncio.sleep(pause)
                pause = min(pause * self._local.pace.growth, self._local.pace.longest)
        return status


def _write_murmur(material: Material, path: Path) -> Path:
    with wav.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(murmur(material.script, material.speed), -1, 1) * 32_767).astype("<i2").tobytes())
    return path
