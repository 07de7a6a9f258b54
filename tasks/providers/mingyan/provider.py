"""mingyan behind the studio's seam: links instead of uploads, no look-up, no balance, no notices."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import JsonValue, ValidationError

from tasks.errors import Problem, ProviderRejected
from tasks.http import download, own_network
from tasks.models import RenderRequest
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
from tasks.providers.contract import note_difference
from tasks.providers.mingyan.assumptions import CHARGED_FOR_FAILURE, MD5_DIGITS, NO_FUNDS, SIBLING_FAILURES
from tasks.providers.mingyan.client import TOP_UP, MingyanClient
from tasks.providers.mingyan.models import MODEL, PROVIDER, CreateVideo, VideoAnswer
from tasks.providers.mingyan.rules import address_problems, media_problems, request_problems
from tasks.providers.pricing import estimate_cost
from tasks.settings import Price

# The query page advises every 5 to 10 s; the vendor's general guide 30 to 60 s for videos.
_PACE = Pace(first=5, growth=1.3, longest=30)
_PACE_INSIDE = Pace(first=0.3, growth=1.3, longest=2, per_second=40)


@dataclass(frozen=True)
class Staging:
    """Where the inputs lie for mingyan to fetch.

    Args:
        address: the part of all links before the path, as http(s)://host[:port].
        link: stages a file, content-addressed, and signs a link to it that outlives queueing and fetch.
    """

    address: str
    link: Callable[[ProbedMedia], Awaitable[str]]


class MingyanProvider:
    """Renders at mingyan.

    Args:
        client: the account's calls.
        account: label of the account.
        prices: the operator's table of prices.
        staging: where the inputs lie.
    """

    def __init__(self, client: MingyanClient, *, account: str, prices: Mapping[str, Price], staging: Staging) -> None:
        self._client = client
        self._prices = prices
        self._staging = staging
        self._inside = own_network(client.base_url)
        self.name = PROVIDER
        self.account = account
        self.endpoint = client.base_url
        self.pace = _PACE_INSIDE if self._inside else _PACE

    def supports(self, request: RenderRequest) -> list[Problem]:
        """A clip, a recording, and a staging bucket that the vendor can reach."""
        reachable = address_problems(self._staging.address, vendor_is_inside=bool(self._inside))
        return request_problems(request) + reachable

    async def check(self, request: RenderRequest, media: MediaSet) -> list[Problem]:
        """Everything that mingyan would refuse, with a look at the coding of the clip."""
        return self.supports(request) + await asyncio.to_thread(media_problems, media)

    def estimate(self, request: RenderRequest, media: MediaSet) -> Estimate:
        """From the operator's prices; the vendor publishes none."""
        recording = media.get("speech")
        seconds = recording.seconds if recording else None
        return estimate_cost(self._prices, PROVIDER, self.mode(request), seconds=seconds, characters=None)

    def payload(self, request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
        """The create call's fields, with digests in place of links; a flag that is not set is not there."""
        payload: dict[str, JsonValue] = {
            "model": MODEL,
            "modelVersion": request.mingyan.model_version,
            "video": media["avatar"].sha256,
            "audio": media["speech"].sha256,
        }
        flags = {"sideFace": request.mingyan.side_face, "tiltedFace": request.mingyan.tilted_face}
        return payload | {name: 1 for name, is_set in flags.items() if is_set}

    def mode(self, request: RenderRequest) -> str:  # noqa: ARG002 - has only one
        """One class only; both model versions are the same product."""
        return ""

    async def upload(self, media: ProbedMedia) -> str:
        """Stage a file and return the link by which mingyan fetches it."""
        return await self._staging.link(media)

    async def submit(self, order: SubmitOrder) -> str:
        """Start the job. One that has failed at once has an id too: the first query finds the reason."""
        return (await self._client.create_video(_body_of(order))).job_id

    async def look_up(
        self,
        order: SubmitOrder,  # noqa: ARG002 - no such call
        hints: Sequence[str],  # noqa: ARG002 - no such call
        is_taken: IsTaken = nobody_has,  # noqa: ARG002 - no such call
    ) -> Sighting:
        """Always unknown: mingyan lists nothing and carries no reference of ours; only a person can tell."""
        return Sighting(seen="unknown")

    async def query(self, job_id: str) -> JobStatus:
        """Ask how a job is."""
        return self._status_of(await self._client.query_video(job_id))

    def _status_of(self, answer: VideoAnswer) -> JobStatus:
        word = answer.status
        if word == "queued":
            return JobStatus(phase="queued", word=word)
        if word == "processing":
            return JobStatus(phase="running", word=word)
        if word == "completed" and answer.video_url:
            return JobStatus(phase="succeeded", word=word, progress=1.0, result=self._result_of(answer))
        if word == "failed" or word in SIBLING_FAILURES:
            if word != "failed":
                note_difference(PROVIDER, "query", f"status {word!r} of a sibling model")
            return JobStatus(
                phase="failed", word=word, odd=word != "failed", reason=_reason_of(answer), charged=CHARGED_FOR_FAILURE
            )
        if word == "completed":
            note_difference(PROVIDER, "query", "completed without a link to the video")
        else:
            note_difference(PROVIDER, "query", f"unknown status {word!r}")
        return JobStatus(phase="running", word=word, odd=True)

    def _result_of(self, answer: VideoAnswer) -> ResultFile:
        notes = [f"mingyan says {name}={value}." for name, value in answer.remarks.items()]
        md5 = answer.md5.lower()
        if not MD5_DIGITS.fullmatch(md5):
            notes.append("mingyan gave no usable MD5, so the video was not compared with one.")
            if md5:
                note_difference(PROVIDER, "query", "md5 is not 32 hex digits")
        return ResultFile(
            location=self._safe_link(answer.video_url), md5=md5 if MD5_DIGITS.fullmatch(md5) else None, notes=notes
        )

    def _safe_link(self, link: str) -> str:
        """Ask for TLS where the vendor wrote http://: nothing else may be fetched, and the video is paid for."""
        if self._inside or not link.lower().startswith("http://"):
            return link
        note_difference(PROVIDER, "query", "link to the video is plain http; asked over https")
        return "https://" + link[len("http://") :]

    async def charges(self, since: datetime) -> list[SeenCharge]:  # noqa: ARG002 - no such call
        """None: mingyan has no books to read."""
        return []

    def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        """Stream the video; the key stays here."""
        return download(result.location, offset, provider=PROVIDER, allow_private=self._inside)


def _body_of(order: SubmitOrder) -> CreateVideo:
    payload: dict[str, Any] = order.payload
    try:
        return CreateVideo(
            audio_url=order.inputs["speech"],
            video_url=order.inputs["avatar"],
            model_version=payload["modelVersion"],
            side_face=payload.get("sideFace"),
            tilted_face=payload.get("tiltedFace"),
        )
    except (KeyError, ValidationError) as error:
        # The error's own text would quote a link, which carries a signature.
        wrong = (
            "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
            if isinstance(error, ValidationError)
            else f"{error} is missing"
        )
        raise ProviderRejected(
            f"order {order.order_id} is not what mingyan takes: {wrong}.",
            provider=PROVIDER,
            code="order-unreadable",
            fix="Run the request again, so that it is planned anew.",
        ) from None


def _reason_of(answer: VideoAnswer) -> str:
    reason = answer.error or "mingyan gave no reason"
    return f"{reason}. {TOP_UP}" if NO_FUNDS.search(reason) else reason
