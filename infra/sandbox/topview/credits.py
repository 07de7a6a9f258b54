"""Credit balance and credit log (TopView's credit pages). The log shows the API key in clear, as the real one does."""

import time
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.sandbox.gate import Gate, Refused
from infra.sandbox.guesses import LOG_TASK_TYPE, key_map, vendor_time
from infra.sandbox.topview.envelope import BAD_FORMAT, page, success, text
from infra.sandbox.truth import Truth

_YEAR_SECONDS = 365 * 24 * 3600
_MILLISECONDS_FROM = 10**11


class Credits:
    """The account's money."""

    def __init__(self, truth: Truth, uid: str, key: str) -> None:
        self._truth, self._uid, self._key = truth, uid, key

    def routes(self, gate: Gate) -> list[Route]:
        """The two calls, which have no version in their path."""
        return [
            Route("/user/credit/detail", gate.guard("credit_detail", self.detail)),
            Route("/user/credit/logs", gate.guard("credit_logs", self.logs)),
        ]

    async def detail(self, request: Request) -> Response:  # noqa: ARG002 - it has no parameters
        """What is left to spend."""
        return success(
            {
                "uid": self._uid,
                "remainCredit": float(self._truth.remaining_credits("topview")),
                "expiredTime": vendor_time(time.time() + _YEAR_SECONDS),
                "apiKeyMap": key_map(self._key),
            }
        )

    async def logs(self, request: Request) -> Response:
        """What was charged, newest first; a job has a row from its end on, and only when it cost something."""
        kind = text(request.query_params, "taskType")
        start, end = _moment(request, "startTime", 0.0), _moment(request, "endTime", float("inf"))
        charged = [
            job
            for job in self._truth.jobs.values()
            if job.vendor == "topview" and job.charged and job.ended and start <= job.ended <= end
        ]
        rows = [
            {
                "uid": self._uid,
                "apiKey": self._key,
                "date": vendor_time(job.ended or 0),
                "costCredit": float(job.charged),
                "taskId": job.id,
                "taskType": LOG_TASK_TYPE,
            }
            for job in sorted(charged, key=lambda job: job.ended or 0, reverse=True)
        ]
        return success(page(request, rows if kind in (None, LOG_TASK_TYPE) else []))


def _moment(request: Request, name: str, default: float) -> float:
    """Seconds since the epoch, from an ISO 8601 time (UTC unless it says otherwise) or a Unix time."""
    value = text(request.query_params, name)
    if value is None:
        return default
    try:
        if value.isdecimal():
            number = float(value)
            return number / 1000 if number > _MILLISECONDS_FROM else number
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise Refused(BAD_FORMAT, f"{name} must be a time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
