"""The local renderer behind the same seam as any vendor: submit to the spool, poll its records, read its file."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import JsonValue, ValidationError

from tasks.errors import Problem, ProviderRejected, ResultExpired
from tasks.models import CustomAvatar, RecordingSpeech, RenderRequest, StockAvatar
from tasks.providers.base import (
    Estimate,
    IsTaken,
    JobStatus,
    MediaSet,
    Pace,
    ProbedMedia,
    ResultFile,
    SeenCharge,
    Sighting,
    SubmitOrder,
    nobody_has,
)
from tasks.providers.local.models import PROVIDER
from tasks.providers.local.presence import pool_is_alive
from tasks.providers.local.spool import MediaFacts, Spool, Ticket

LOCAL_RENDERER_VERSION = 1
"""Part of every payload: raised when the same order would give another video."""

MIN_SPEECH_SECONDS, MAX_SPEECH_SECONDS = 0.1, 1800
MIN_CLIP_FRAMES = 3

_CHUNK = 1024 * 1024
_SHORT_SIDES = {"source": None, "512p": 512, "720p": 720, "1080p": 1080}


class LocalProvider:
    """Renders on this machine, free of charge.

    Args:
        spool: folder of the jobs, served by a pool (``python -m tasks.providers.local.pool``).
    """

    def __init__(self, spool: Path) -> None:
        self._spool = Spool(spool)
        self.name = PROVIDER
        self.account = "local"
        # Two spools never share jobs, so each is a place of its own; its path is nobody's business.
        self.endpoint = f"file:{self._spool.identity()}"
        self.pace = Pace(first=0.2, growth=1.3, longest=2, per_second=100)

    def supports(self, request: RenderRequest) -> list[Problem]:
        """The rules that the request alone decides: only own media, only scripts that the voice can read."""
        problems = []
        if isinstance(request.avatar, StockAvatar | CustomAvatar):
            problems.append(
                Problem(
                    "avatar.kind",
                    f"the local renderer has no {request.avatar.kind} avatars.",
                    "Give a portrait or a clip, or choose a provider that has avatars.",
                )
            )
        if not isinstance(request.speech, RecordingSpeech):
            # Loads the speech engine, which a run that only polls never needs.
            from tasks.providers.local.voice import check_script  # noqa: PLC0415 - loads too slowly

            speech = request.speech
            problems += check_script(speech.text, speech.language, speech.voice or None, speech.speed)
        return problems

    async def check(self, request: RenderRequest, media: MediaSet) -> list[Problem]:
        """Everything that this renderer would refuse, with a real look for a face."""
        problems = await asyncio.to_thread(self.supports, request)
        return problems + _recording_problems(media.get("speech")) + await _avatar_problems(media.get("avatar"))

    def estimate(self, request: RenderRequest, media: MediaSet) -> Estimate:  # noqa: ARG002 - always free
        """Nothing, ever."""
        return Estimate(amount=Decimal(0), unit="credits")

    def payload(self, request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
        """What decides how the video looks and sounds; the language does not, as there is one voice per name."""
        avatar = media["avatar"]
        speech: dict[str, JsonValue]
        if isinstance(request.speech, RecordingSpeech):
            speech = {"kind": "recording", "sha256": media["speech"].sha256}
        else:
            said = request.speech
            speech = {"kind": "script", "text": said.text, "voice": said.voice or None, "speed": said.speed}
        return {
            "renderer": LOCAL_RENDERER_VERSION,
            "avatar": {"kind": request.avatar.kind, "sha256": avatar.sha256},
            "speech": speech,
            "fps": request.output.fps,
            "short_side": _SHORT_SIDES[request.output.resolution],
        }

    def mode(self, request: RenderRequest) -> str:  # noqa: ARG002 - has only one
        """One class only."""
        return ""

    async def charges(self, since: datetime) -> list[SeenCharge]:  # noqa: ARG002 - always free
        """Never any."""
        return []

    async def upload(self, media: ProbedMedia) -> str:
        """Bring a file into the spool under its digest."""
        name = f"{media.sha256}.{media.extension}"
        facts = MediaFacts(size=media.size, seconds=media.seconds)
        return await asyncio.to_thread(self._spool.add_media, media.path, name, facts)

    async def submit(self, order: SubmitOrder) -> str:
        """Put the job in the queue; the same order again is the same job."""
        return await asyncio.to_thread(self._submit, order)

    def _submit(self, order: SubmitOrder) -> str:
        ticket = _ticket(order)
        for name in filter(None, (ticket.avatar, ticket.recording)):
            if self._spool.media_facts(name) is None:
                raise ProviderRejected(
                    f"{name} is not in the local renderer's spool.",
                    provider=self.name,
                    code="media-missing",
                    fix="Run the request again: it uploads the file again.",
                )
        if not self._spool.create_job(order.order_id, ticket):
            held = self._spool.ticket(order.order_id)
            if held is None or _identity(held) != _identity(ticket):
                raise ProviderRejected(
                    f"the spool has another job under the id {order.order_id}.",
                    provider=self.name,
                    code="id-taken",
                    job_id=order.order_id,
                    fix="Run the request again: its next attempt has an id of its own.",
                )
        return order.order_id

    async def look_up(
        self,
        order: SubmitOrder,
        hints: Sequence[str],  # noqa: ARG002 - needs no hints
        is_taken: IsTaken = nobody_has,  # noqa: ARG002 - ids are ours
    ) -> Sighting:
        """Whether the order is in the spool; on this machine that is certain."""
        if await asyncio.to_thread(self._spool.has_job, order.order_id):
            return Sighting(seen="accepted", job_id=order.order_id)
        return Sighting(seen="absent")

    async def query(self, job_id: str) -> JobStatus:
        """Read how the job is."""
        return await asyncio.to_thread(self._query, job_id)

    def _query(self, job_id: str) -> JobStatus:
        if not self._spool.has_job(job_id):
            reason = "the job is not in the spool; finished jobs are removed after a day"
            return JobStatus(phase="failed", word="unknown", reason=reason, charged=False)
        status = self._spool.status(job_id)
        if status.phase == "failed":
            return JobStatus(phase="failed", word="failed", reason=status.reason, charged=False)
        if status.phase == "succeeded":
            return self._succeeded(job_id)
        word = status.phase if pool_is_alive(self._spool.root) else f"{status.phase}, and no renderer is running"
        return JobStatus(phase=status.phase, word=word, progress=self._spool.progress(job_id) or 0.0)

    def _succeeded(self, job_id: str) -> JobStatus:
        outcome = self._spool.outcome(job_id)
        if outcome is None:
            reason = "the finished video is damaged or gone from the spool"
            return JobStatus(phase="failed", word="succeeded", reason=reason, charged=False)
        result = ResultFile(
            location=str(self._spool.job_folder(job_id) / "result.mp4"),
            md5=outcome.md5,
            size=outcome.size,
            speech_seconds=outcome.report.speech_seconds,
            notes=outcome.report.notes,
        )
        return JobStatus(phase="succeeded", word="succeeded", progress=1.0, result=result)

    async def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        """Read the video from the spool, in chunks of 1 MiB.

        Raises:
            ResultExpired: it was removed.
        """
        path = Path(result.location)
        try:
            video = await asyncio.to_thread(path.open, "rb")
        except FileNotFoundError as error:
            raise ResultExpired(
                f"{path.name} of job {path.parent.name} is not in the spool any more.",
                provider=self.name,
                job_id=path.parent.name,
                fix="Run the request again: it is rendered anew, free of charge.",
            ) from error
        with video:
            await asyncio.to_thread(video.seek, offset)
            while chunk := await asyncio.to_thread(video.read, _CHUNK):
                yield chunk


def _recording_problems(recording: ProbedMedia | None) -> list[Problem]:
    if recording is None or recording.seconds is None:
        return []
    if recording.seconds > MAX_SPEECH_SECONDS:
        long = f"it lasts {recording.seconds / 60:.1f} minutes; the local renderer takes {MAX_SPEECH_SECONDS // 60}."
        return [Problem("speech.audio", long, "Cut it into several videos.")]
    if recording.seconds < MIN_SPEECH_SECONDS:
        short = f"it lasts {recording.seconds:.2f} s, too short for a video."
        return [Problem("speech.audio", short, f"Give at least {MIN_SPEECH_SECONDS:g} s.")]
    return []


async def _avatar_problems(avatar: ProbedMedia | None) -> list[Problem]:
    if avatar is None:
        return []
    is_clip = avatar.kind == "video"
    field = "avatar.video" if is_clip else "avatar.image"
    if is_clip and (avatar.seconds or 0) * (avatar.fps or 0) < MIN_CLIP_FRAMES:
        return [Problem(field, f"it has fewer than {MIN_CLIP_FRAMES} frames.", "Bring a longer clip, or a portrait.")]
    # Loads the inference libraries, which a run that only polls never needs.
    from tasks.providers.local.avatar import check_avatar  # noqa: PLC0415 - loads too slowly

    try:
        await asyncio.to_thread(check_avatar, "clip" if is_clip else "portrait", avatar.path)
    except ProviderRejected as error:
        return [Problem(field, error.message, error.fix)]
    return []


def _ticket(order: SubmitOrder) -> Ticket:
    """Read the order that ``payload`` wrote."""
    payload: dict[str, Any] = order.payload
    try:
        speech = payload["speech"]
        return Ticket(
            render_key=order.render_key,
            submitted_ns=time.time_ns(),
            avatar_kind=payload["avatar"]["kind"],
            avatar=order.inputs["avatar"],
            recording=order.inputs["speech"] if speech["kind"] == "recording" else None,
            script=speech.get("text"),
            voice=speech.get("voice"),
            speed=speech.get("speed", 1.0),
            fps=payload["fps"],
            short_side=payload["short_side"],
        )
    except (KeyError, ValidationError) as error:
        raise ProviderRejected(
            f"the local renderer cannot read order {order.order_id}: {error}.",
            provider=PROVIDER,
            code="order-unreadable",
            fix="Run the request again, so that it is planned anew.",
        ) from error


def _identity(ticket: Ticket) -> dict[str, Any]:
    """What makes two tickets the same order, whenever it was submitted."""
    return ticket.model_dump(exclude={"submitted_ns"})
