"""TopView behind the studio's seam; sections are those of the vendor page."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal

from pydantic import JsonValue

from tasks.errors import Problem, ProviderRejected, ProviderUnavailable
from tasks.http import download, may_repeat_poll, patiently
from tasks.models import RenderRequest, ScriptSpeech
from tasks.providers.base import (
    Estimate,
    IsTaken,
    JobPhase,
    JobStatus,
    MediaSet,
    ProbedMedia,
    ResultFile,
    SeenCharge,
    Sighting,
    SubmitOrder,
    nobody_has,
)
from tasks.providers.pricing import estimate_cost
from tasks.providers.topview.assumptions import (
    CHECK_PAUSE_SECONDS,
    CHECK_SECONDS,
    CREDIT_UNIT,
    FAILED_JOBS_ARE_CHARGED,
    OWN_NETWORK_CHECK_PAUSE_SECONDS,
    OWN_NETWORK_PACE,
    PACE,
    STALE_UPLOAD_STATUSES,
    read_credits,
    read_time,
)
from tasks.providers.topview.client import TopViewClient
from tasks.providers.topview.contract import PROVIDER, note, shown_name
from tasks.providers.topview.look_up import look_up
from tasks.providers.topview.models import CreditRow, TaskAnswer
from tasks.providers.topview.orders import body_of, payload_of
from tasks.providers.topview.rules import Options, media_problems, mode_of, request_problems
from tasks.settings import Price

UPLOAD_PATIENCE_SECONDS = 600

# Section 5; an unknown word counts as running.
_PHASES: dict[str, JobPhase] = {
    "init": "queued",
    "running": "running",
    "success": "succeeded",
    "fail": "failed",
    "failed": "failed",
}

log = logging.getLogger("studio.topview")


class TopViewProvider:
    """Renders at TopView, for credits.

    Args:
        client: the account.
        account: its label; part of the render key, never a secret.
        prices: the operator's table.
        speed_field: field in which the speaking rate is sent; empty sends none.
        allow_avatar4: whether the undocumented mode may be used.
    """

    def __init__(
        self,
        client: TopViewClient,
        *,
        account: str,
        prices: Mapping[str, Price],
        speed_field: str = "",
        allow_avatar4: bool = False,
    ) -> None:
        self._client = client
        self._prices = prices
        self._options = Options(speed_field=speed_field, allow_avatar4=allow_avatar4)
        self.name = PROVIDER
        self.account = account
        self.endpoint = client.base_url
        self.pace = OWN_NETWORK_PACE if client.own_network else PACE

    def supports(self, request: RenderRequest) -> list[Problem]:
        """The rules that the request alone decides."""
        return request_problems(request, self._options)

    async def check(self, request: RenderRequest, media: MediaSet) -> list[Problem]:
        """Everything that TopView is known to refuse."""
        return self.supports(request) + media_problems(request, media)

    def estimate(self, request: RenderRequest, media: MediaSet) -> Estimate:
        """From the operator's prices of ``topview/MODE``, else of ``topview``."""
        recording = media.get("speech")
        speech = request.speech
        return estimate_cost(
            self._prices,
            self.name,
            self.mode(request),
            seconds=recording.seconds if recording else None,
            characters=len(speech.text) if isinstance(speech, ScriptSpeech) else None,
        )

    def payload(self, request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
        """What decides how the video looks and sounds, in the words of the submit body."""
        return payload_of(request, media, self._options.speed_field)

    def mode(self, request: RenderRequest) -> str:
        """One of avatar1, avatar2 and avatar4."""
        return mode_of(request)

    async def upload(self, media: ProbedMedia) -> str:
        """Bring a file to TopView under an id that no other order has: look-ups recognise a task by it.

        A fresh address is asked for directly before every try: how long one lives is not documented.

        Raises:
            ProviderError: it was refused, or did not arrive within ten minutes of trying.
        """
        file_id: str = await patiently(may_repeat_poll, seconds=UPLOAD_PATIENCE_SECONDS)(self._upload, media)
        return file_id

    async def _upload(self, media: ProbedMedia) -> str:
        credential = await self._client.upload_credential(media.extension)
        file_id, upload_url = credential.file_id or "", credential.upload_url or ""
        try:
            await self._client.put(upload_url, media.path)
        except ProviderRejected as error:
            if error.status not in STALE_UPLOAD_STATUSES:
                raise
            raise ProviderUnavailable(
                error.message, sent=True, provider=self.name, status=error.status, fix=error.fix
            ) from error
        await self._wait_until_stored(file_id)
        log.info("media uploaded role=%s size=%d file_id=%s", media.role, media.size, file_id)
        return file_id

    async def _wait_until_stored(self, file_id: str) -> None:
        pause = OWN_NETWORK_CHECK_PAUSE_SECONDS if self._client.own_network else CHECK_PAUSE_SECONDS
        end = time.monotonic() + CHECK_SECONDS
        while not await self._client.is_stored(file_id):
            if time.monotonic() + pause > end:
                raise ProviderUnavailable(
                    f"{self.name} has not stored upload {file_id} within {CHECK_SECONDS:g} s.",
                    sent=True,
                    provider=self.name,
                    fix="Run the request again: it uploads the file again.",
                )
            await asyncio.sleep(pause)

    async def submit(self, order: SubmitOrder) -> str:
        """Start the render, in one try; the body is checked against every rule of the page before it leaves.

        Raises:
            ProviderRejected: refused for good, or not sendable.
            ProviderBusy: not accepted now.
            ProviderUnavailable: no usable answer; ``sent`` says whether it may have been accepted.
        """
        accepted = await self._client.submit(body_of(order))
        return accepted.task_id or ""

    async def look_up(self, order: SubmitOrder, hints: Sequence[str], is_taken: IsTaken = nobody_has) -> Sighting:
        """Look whether an order without an answer was accepted: accepted with its job id, or unknown."""
        return await look_up(self._client, order, hints, is_taken)

    async def query(self, job_id: str) -> JobStatus:
        """Ask how a job is, in one try. Raises what the seam says."""
        answer = await self._client.query(job_id)
        word = answer.status or ""
        phase = _PHASES.get(word)
        if phase is None:
            note("query", f"unknown status word {shown_name(word)}" if word else "no status word")
            return JobStatus(phase="running", word=word or "without a status", odd=True)
        if phase == "failed":
            return JobStatus(
                phase="failed",
                word=word,
                reason=answer.error_msg or "TopView gave no reason",
                charged=FAILED_JOBS_ARE_CHARGED,
            )
        return _succeeded(answer) if phase == "succeeded" else JobStatus(phase=phase, word=word)

    async def charges(self, since: datetime) -> list[SeenCharge]:
        """What the credit log says was taken since then, oldest first.

        A row that moved to the next page while the log was read comes twice; it counts once.
        """
        # The log counts whole seconds.
        start = since.replace(microsecond=0)
        found = {_charge(row, start) async for row in self._client.credit_log(start)}
        return sorted((charge for charge in found if charge and charge.at >= start), key=lambda charge: charge.at)

    async def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        """Stream the finished video. Raises what ``download`` raises."""
        stream = download(result.location, offset, provider=self.name, allow_private=self._client.own_network)
        async for chunk in stream:
            yield chunk


def _succeeded(answer: TaskAnswer) -> JobStatus:
    """A success names its video; without one the job counts as running, and the wait for it has a deadline."""
    if not answer.output_video_url:
        note("query", "success without outputVideoUrl")
        return JobStatus(phase="running", word="success without a video", odd=True)
    cost = read_credits(answer.cost_credit)
    return JobStatus(
        phase="succeeded",
        word="success",
        progress=1.0,
        result=ResultFile(location=answer.output_video_url),
        cost=cost,
        cost_unit=CREDIT_UNIT if cost is not None else "",
    )


def _charge(row: CreditRow, since: datetime) -> SeenCharge | None:
    """One row as money that was seen; money that names no task is none of a job and cannot be compared with one."""
    amount = read_credits(row.cost_credit)
    if amount is None or not row.task_id:
        note("credit_logs", "a row without task or amount")
        return None
    at = read_time(row.date)
    if at is None:
        # Money is not dropped for want of a date: the log was asked for rows since then.
        note("credit_logs", "a date in an unknown form")
    return SeenCharge(job_id=row.task_id, at=at or since.astimezone(UTC), amount=Decimal(amount), unit=CREDIT_UNIT)
