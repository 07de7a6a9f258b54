"""mingyan's two calls over HTTP (its create and query pages)."""

import json
import time
import uuid
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox.faults import ON_SUBMIT, FaultBook
from infra.sandbox.files import Results
from infra.sandbox.gate import Gate, Refused
from infra.sandbox.guesses import mingyan_error
from infra.sandbox.mingyan.order import check_order
from infra.sandbox.records import Job, Vendor
from infra.sandbox.renders import Workshop
from infra.sandbox.signing import origin_of, same
from infra.sandbox.timing import lasting
from infra.sandbox.truth import Truth

WORDS = {"waiting": "queued", "rendering": "processing", "done": "completed", "failed": "failed"}
PREFIX = "/kyyReactApiServer"


class MingyanDialect:
    """Flat JSON; refusals are HTTP statuses."""

    vendor: Vendor = "mingyan"

    def __init__(self, key: str) -> None:
        self._key = key

    def authorize(self, request: Request) -> None:
        """Check the Bearer key; raises ``Refused``."""
        if not same(request.headers.get("authorization", ""), f"Bearer {self._key}"):
            raise Refused("401", "the API key is missing or wrong")

    def refuse(self, refused: Refused) -> Response:
        """The code is the HTTP status."""
        headers = {"Retry-After": "1"} if refused.code == "429" else {}
        return JSONResponse(mingyan_error(refused.message), int(refused.code), headers)

    def say(self, code: Any, message: str) -> Response:
        """An error in the gateway's newer envelope, as it leaks at times."""
        return JSONResponse({"code": code, "msg": message, "data": None})


class MingyanService:
    """Accepts jobs and tells how they are."""

    def __init__(self, truth: Truth, faults: FaultBook, results: Results, workshop: Workshop) -> None:
        self._truth, self._faults, self._results, self._workshop = truth, faults, results, workshop

    def routes(self, gate: Gate) -> list[Route]:
        """Everything below the vendor's base address; any other path has no handler."""
        return [
            Route(f"{PREFIX}/v1/digitalHuman/videos", gate.guard("submit", self.create), methods=["POST"]),
            Route(f"{PREFIX}/v1/result/{{job_id}}", gate.guard("query", self.query, rated=True), methods=["GET"]),
            Route("/{path:path}", _no_handler, methods=["GET", "POST", "PUT", "DELETE"]),
        ]

    async def create(self, request: Request) -> Response:
        """Accept a job, whose inputs are fetched later."""
        if not request.headers.get("content-type", "").startswith("application/json"):
            raise Refused("400", "Content-Type must be application/json")
        try:
            body = check_order(json.loads(await request.body()))
        except ValueError as error:
            raise Refused("400", "the body must be JSON") from error
        fate = self._faults.take("mingyan", "submit", ON_SUBMIT)
        now = time.time()
        job_id = f"dh-{uuid.uuid4().hex}"
        job = Job(
            id=job_id,
            vendor="mingyan",
            at=now,
            # How long the speech is shows only once it has been fetched.
            due=now + lasting(self._truth.knobs, job_id, 0),
            origin=origin_of(request),
            body=body,
            fate=fate.fault if fate else "",
            reason=str(fate.args.get("reason", "the video could not be generated")) if fate else "",
        )
        self._truth.save_job(job)
        self._workshop.start(job)
        return JSONResponse(_facts(job) | {"status": WORDS["waiting"], "error": None})

    async def query(self, request: Request) -> Response:
        """How a job is; with a fresh link once it is completed."""
        job = self._truth.job("mingyan", "submit", request.path_params["job_id"])
        if job is None:
            raise Refused("404", "the task does not exist")
        self._truth.count_query(job)
        answer = _facts(job) | {"status": WORDS[job.state]}
        odd = self._faults.take("mingyan", "query", {"unknown_word"})
        if odd:
            return JSONResponse(answer | {"status": odd.args.get("word", "pondering")})
        if job.state == "failed":
            answer["error"] = job.reason
        if job.state == "done" and job.result and job.md5:
            answer["video_url"] = self._results.link(origin_of(request), "mingyan", job.result)
            wrong = self._faults.take("mingyan", "query", {"wrong_md5"})
            answer["md5"] = job.md5[::-1] if wrong else job.md5
        return JSONResponse(answer)


def _facts(job: Job) -> dict[str, Any]:
    return {"id": job.id, "object": "video", "created": int(job.at), "model": job.body["model"]}


async def _no_handler(request: Request) -> Response:
    return JSONResponse({"message": f"No handler found for {request.method} {request.url.path}"}, 404)
