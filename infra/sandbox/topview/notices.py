"""Notices about finished jobs, and the check of a notice address (TopView's webhook pages). They carry no signature."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.sandbox.gate import Gate
from infra.sandbox.guesses import BIZ_TYPES, NOTICE_ATTEMPTS
from infra.sandbox.records import Job
from infra.sandbox.tls import trusted
from infra.sandbox.topview.envelope import read_body, success
from infra.sandbox.topview.order import notice_address
from infra.sandbox.truth import Truth

_TIMEOUT_SECONDS = 5.0
_KEPT_ANSWER = 500

log = logging.getLogger("studio.sandbox")


class NoticeSender:
    """Posts notices until the answer is the exact echo, three times at most.

    Args:
        truth: where attempts are kept.
        uid: the account that the notice is for.
        describe: the query result of a job.
    """

    def __init__(self, truth: Truth, uid: str, describe: Callable[[Job], dict[str, Any]]) -> None:
        self._truth, self._uid, self._describe = truth, uid, describe

    def routes(self, gate: Gate) -> list[Route]:
        """The check of an address."""
        path = "/notice/notice_url/check"
        return [Route(path, gate.guard("notice_check", self.check), methods=["POST"])]

    async def check(self, request: Request) -> Response:
        """Whether an address answers a trial notice with its echo."""
        url = notice_address(await read_body(request), needed=True)
        trial: dict[str, Any] = {
            "uuid": uuid.uuid4().hex,
            "bizType": BIZ_TYPES["submit"],
            "taskId": uuid.uuid4().hex,
            "status": "success",
            "errorMsg": None,
            "result": {},
        }
        # Nobody knows the trial's uuid, so both results of an echo show that the address speaks the protocol.
        answered, _ = await self._post(str(url), trial, ("success", "fail"))
        return success(answered)

    async def send(self, job: Job) -> None:
        """Report the end of a job, as far as that is still to be done."""
        if not self._truth.knobs.send_notices:
            return
        while job.notice and not job.notice.is_over:
            if job.notice.attempts:
                await asyncio.sleep(self._truth.knobs.notice_pause_seconds)
            job.notice.accepted, job.notice.answer = await self._post(job.notice.url, self._notice(job), ("success",))
            job.notice.attempts += 1
            job.notice.given_up = not job.notice.accepted and job.notice.attempts >= NOTICE_ATTEMPTS
            self._truth.save_job(job)
            log.info("notice sent job=%s accepted=%s", job.id, job.notice.accepted)

    def _notice(self, job: Job) -> dict[str, Any]:
        return {
            "uuid": job.notice.uuid if job.notice else "",
            "bizType": BIZ_TYPES[job.call],
            "taskId": job.id,
            "status": "success" if job.state == "done" else "fail",
            "errorMsg": job.reason if job.state == "failed" else None,
            "result": self._describe(job),
        }

    async def _post(self, url: str, notice: dict[str, Any], results: tuple[str, ...]) -> tuple[bool, str]:
        """Whether the answer was the exact echo, and the answer, or why none came."""
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False, verify=trusted()) as client:
                answer = await client.post(url, json=notice, headers={"Topview-Uid": self._uid})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return False, type(error).__name__
        try:
            said = answer.json()
        except ValueError:
            said = None
        echoes = [
            {
                "code": "200",
                "message": "Success",
                "result": {"uuid": notice["uuid"], "topviewUid": self._uid, "result": result},
            }
            for result in results
        ]
        right = answer.status_code == httpx.codes.OK and said in echoes
        return right, f"{answer.status_code} {answer.text[:_KEPT_ANSWER]}"
