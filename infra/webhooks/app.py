"""The receiver as an ASGI application. Contract: topview.md, section 6.

Whoever knows no genuine address learns nothing: a wrong token, an order that does not exist and a path that was never
there get the same answer. Strangers and genuine notices have separate limits, so that a flood of guesses keeps no
notice out.
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.webhooks.effect import apply_notice
from infra.webhooks.events import tell_prefect
from infra.webhooks.late_ledger import LateLedger
from infra.webhooks.notice import NoticeRefused, read_body, read_notice
from infra.webhooks.rate_limit import RateLimit
from tasks.errors import StudioUnavailable
from tasks.notices import is_genuine

TOPVIEW = "topview"
AWAY_SECONDS = 30
_NO_ORDER = f"{'0' * 24}-1"

log = logging.getLogger("studio.webhooks")


@dataclass(frozen=True)
class Bounds:
    """What a caller may take of this process."""

    body_seconds: float = 10
    """For sending the body."""
    client_rate: float = 5
    """Calls per second of one address; ten seconds' worth may come at once."""
    total_rate: float = 50
    """Calls per second of all genuine notices together, and once more of all others."""

    def new_limit(self) -> RateLimit:
        """A limit with full buckets."""
        return RateLimit(client_rate=self.client_rate, total_rate=self.total_rate)


class Receiver:
    """Answers the calls.

    Args:
        ledger: where renders are looked up.
        bounds: what a caller may take.
    """

    def __init__(self, ledger: LateLedger, bounds: Bounds) -> None:
        self._ledger = ledger
        self._bounds = bounds
        self._genuine, self._others = bounds.new_limit(), bounds.new_limit()

    async def topview(self, request: Request) -> Response:
        """Take a notice of TopView."""
        order_id, token = request.path_params["order_id"], request.path_params["token"]
        genuine = is_genuine(TOPVIEW, order_id, token)
        if wait := (self._genuine if genuine else self._others).take(_address(request)):
            return _too_many(wait)
        if not genuine:
            return _not_found()
        try:
            notice = read_notice(await read_body(request, seconds=self._bounds.body_seconds))
            entry = await apply_notice(await self._ledger.get(), TOPVIEW, order_id, notice.job_id)
        except NoticeRefused as refused:
            return _answer(refused.status, refused.reason)
        except StudioUnavailable as error:
            log.error("ledger away order=%s error=%s", order_id, error)  # noqa: TRY400 - message says all
            return _answer(503, "try again later", headers={"Retry-After": str(AWAY_SECONDS)})
        if entry is None:
            return _not_found()
        echo = {"uuid": notice.uuid, "topviewUid": request.headers.get("topview-uid", ""), "result": "success"}
        return _answer(
            200, "Success", result=echo, background=BackgroundTask(tell_prefect, entry, order_id, notice.status)
        )

    async def health(self, request: Request) -> Response:
        """Say whether notices can be taken: the ledger answers."""
        if wait := self._others.take(_address(request)):
            return _too_many(wait)
        try:
            await (await self._ledger.get()).find_order(TOPVIEW, _NO_ORDER)
        except StudioUnavailable as error:
            log.error("ledger away error=%s", error)  # noqa: TRY400 - message says all
            return _answer(503, "the ledger does not answer")
        return _answer(200, "Success")

    async def elsewhere(self, request: Request) -> Response:
        """Answer every other path."""
        if wait := self._others.take(_address(request)):
            return _too_many(wait)
        return _not_found()


def create_app(ledger_url: str, bounds: Bounds | None = None) -> Starlette:
    """Make the application.

    Args:
        ledger_url: SQLAlchemy URL of the ledger.
        bounds: what a caller may take.
    """
    ledger = LateLedger(ledger_url)
    receiver = Receiver(ledger, bounds or Bounds())

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await ledger.close()

    everything = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[
            Route("/health", receiver.health, methods=["GET"]),
            Route("/topview/{order_id}/{token}", receiver.topview, methods=["POST"]),
            Route("/{path:path}", receiver.elsewhere, methods=everything),
        ],
        lifespan=lifespan,
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _not_found() -> Response:
    return _answer(404, "not found")


def _too_many(wait: int) -> Response:
    return _answer(429, "too many calls", headers={"Retry-After": str(wait)})


def _answer(
    status: int,
    message: str,
    *,
    result: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    background: BackgroundTask | None = None,
) -> Response:
    """An answer in the vendor's own form; no connection is kept, so its lifetime bounds what a caller can hold."""
    body: dict[str, Any] = {"code": str(status), "message": message}
    if result is not None:
        body["result"] = result
    return Response(
        # Plain ASCII: what is echoed may hold half of a surrogate pair, which has no UTF-8 form.
        json.dumps(body, separators=(",", ":")),
        status_code=status,
        media_type="application/json",
        headers={"Connection": "close", **(headers or {})},
        background=background,
    )
