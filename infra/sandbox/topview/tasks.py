"""Submit and query of Video Avatar tasks and of private avatars (TopView's submit, query and video2aiAvatar pages)."""

import asyncio
import time
import uuid
from decimal import Decimal
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.sandbox.faults import ON_SUBMIT, FaultBook
from infra.sandbox.files import Results
from infra.sandbox.gate import Gate, Refused
from infra.sandbox.guesses import echoed_inputs
from infra.sandbox.records import Job, Notice
from infra.sandbox.renders import Workshop
from infra.sandbox.signing import origin_of
from infra.sandbox.timing import lasting
from infra.sandbox.topview.catalogues import Catalogues
from infra.sandbox.topview.envelope import NO_CREDIT, NOT_FOUND, flag, needed_text, read_body, success
from infra.sandbox.topview.order import Body, Order, notice_address, read_order
from infra.sandbox.topview.pricing import expected_seconds, price
from infra.sandbox.topview.stock import PUBLIC_AVATARS
from infra.sandbox.topview.uploads import PICTURES, SOUNDS, Uploads
from infra.sandbox.truth import Truth

WORDS = {"waiting": "init", "rendering": "running", "done": "success", "failed": "fail"}
_FILMS = frozenset({"mp4", "mov"})

Call = Literal["submit", "avatar_submit"]


def task_result(job: Job, results: Results, origin: str) -> dict[str, Any]:
    """How a Video Avatar task is, as its query and its notice say it; links are fresh."""
    answer: dict[str, Any] = {
        "taskId": job.id,
        "status": WORDS[job.state],
        "errorMsg": job.reason if job.state == "failed" else None,
        "outputVideoUrl": None,
        **echoed_inputs(job.body),
    }
    if job.state == "done" and job.result:
        answer |= {"outputVideoUrl": results.link(origin, "topview", job.result), "costCredit": float(job.charged)}
    return answer


class Tasks:
    """Accepts tasks and tells how they are."""

    def __init__(
        self,
        *,
        truth: Truth,
        faults: FaultBook,
        uploads: Uploads,
        catalogues: Catalogues,
        results: Results,
        workshop: Workshop,
    ) -> None:
        self._truth, self._faults, self._uploads = truth, faults, uploads
        self._catalogues, self._results, self._workshop = catalogues, results, workshop

    def routes(self, gate: Gate) -> list[Route]:
        """Two submits and two queries."""
        films, avatars = "/v1/video_avatar/task", "/v1/common_task/video2aiAvatar"
        return [
            Route(f"{films}/submit", gate.guard("submit", self.submit), methods=["POST"]),
            Route(f"{films}/query", gate.guard("query", self.query, rated=True)),
            Route(f"{avatars}/submit", gate.guard("avatar_submit", self.submit_avatar), methods=["POST"]),
            Route(f"{avatars}/query", gate.guard("avatar_query", self.query_avatar, rated=True)),
        ]

    async def submit(self, request: Request) -> Response:
        """Accept a Video Avatar task and set its price aside."""
        body = await read_body(request)
        order = read_order(body, PUBLIC_AVATARS.keys(), self._catalogues.private_ids())
        files = self._files(order)
        recording = self._uploads.bucket.path(self._truth.uploads[order.audio_file]) if order.audio_file else None
        seconds = await asyncio.to_thread(expected_seconds, order, recording)
        expected = price(order.mode, seconds)
        # From here to the saved job nothing else runs, so credits cannot be spent twice.
        if expected > self._truth.remaining_credits("topview"):
            raise Refused(NO_CREDIT, "Not enough credit")
        return self._accept("submit", request, body, files, seconds=seconds, expected=expected)

    async def submit_avatar(self, request: Request) -> Response:
        """Accept the making of a private avatar, which costs nothing here."""
        body = await read_body(request)
        upload = self._uploads.stored("videoFileId", needed_text(body, "videoFileId"), _FILMS)
        notice_address(body, needed=False)
        files = {"videoFileId": {"id": upload.id, "size": upload.size, "sha256": upload.sha256}}
        return self._accept("avatar_submit", request, body, files, seconds=0, expected=Decimal(0))

    async def query(self, request: Request) -> Response:
        """How a Video Avatar task is."""
        flag(request.query_params, "needCloudFrontUrl")
        job = self._job("submit", request)
        return success(self._odd("query", task_result(job, self._results, origin_of(request))))

    async def query_avatar(self, request: Request) -> Response:
        """How the making of a private avatar is; with the avatar once it is there."""
        job = self._job("avatar_submit", request)
        answer: dict[str, Any] = {"taskId": job.id, "status": WORDS[job.state], "errorMsg": job.reason or None}
        if job.avatar_id:
            answer["aiAvatar"] = self._catalogues.private_avatars()[job.avatar_id]
        return success(self._odd("avatar_query", answer))

    def _job(self, call: Call, request: Request) -> Job:
        job = self._truth.job("topview", call, needed_text(request.query_params, "taskId"))
        if job is None:
            raise Refused(NOT_FOUND, "The task does not exist")
        self._truth.count_query(job)
        return job

    def _odd(self, call: str, answer: dict[str, Any]) -> dict[str, Any]:
        odd = self._faults.take("topview", call, {"unknown_word"})
        return answer | {"status": odd.args.get("word", "pondering"), "outputVideoUrl": None} if odd else answer

    def _files(self, order: Order) -> dict[str, Any]:
        """The uploads that an order names; raises ``Refused`` unless all are there."""
        named = {
            "videoFileId": (order.video_file, _FILMS),
            "imageFileId": (order.image_file, PICTURES),
            "audioFileId": (order.audio_file, SOUNDS),
        }
        uploads = {
            field: self._uploads.stored(field, file_id, formats)
            for field, (file_id, formats) in named.items()
            if file_id
        }
        return {field: {"id": u.id, "size": u.size, "sha256": u.sha256} for field, u in uploads.items()}

    def _accept(
        self, call: Call, request: Request, body: Body, files: dict[str, Any], *, seconds: float, expected: Decimal
    ) -> Response:
        fate = self._faults.take("topview", call, ON_SUBMIT)
        now = time.time()
        url = body.get("noticeUrl")
        job_id = uuid.uuid4().hex
        job = Job(
            id=job_id,
            vendor="topview",
            call=call,
            at=now,
            due=now + lasting(self._truth.knobs, job_id, seconds),
            origin=origin_of(request),
            body=body,
            files=files,
            reserved=expected,
            fate=fate.fault if fate else "",
            reason=str(fate.args.get("reason", "the video could not be generated")) if fate else "",
            notice=Notice(url=url, uuid=uuid.uuid4().hex) if url else None,
        )
        self._truth.save_job(job)
        self._workshop.start(job)
        answer = {"taskId": job.id, "status": WORDS["waiting"], "errorMsg": None}
        return success(answer | ({"noticeUuid": job.notice.uuid} if job.notice else {}))
