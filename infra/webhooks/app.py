"""The receiver as an ASGI application. Contract: topview.md, section 6; zego.md, section 6.

Whoever knows no genuine address or signature learns nothing from an answer: a wrong token, a wrong signature, a body
that is no callback, an order that does not exist and a path that was never there get the same one. Strangers and
genuine notices have separate limits, so that a flood of guesses keeps no notice out.
"""

import json
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.webhooks.callback import Callback, UsedSignatures, read_callback
from infra.webhooks.effect import apply_notice, keep_event
from infra.webhooks.events import tell_prefect, tell_prefect_of_stream
from infra.webhooks.late_ledger import LateLedger
from infra.webhooks.notice import NoticeRefused, read_body, read_fields, read_notice
from infra.webhooks.rate_limit import RateLimit
from tasks.errors import StudioUnavailable
from tasks.ledger.stream_models import StreamEvent
from tasks.notices import is_genuine
from tasks.settings import get_settings

TOPVIEW = "topview"
AWAY_SECONDS = 30
NOTE_SECONDS = 60
"""At least so long between two equal lines about callbacks that are not taken, which anybody can send."""
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
    """Calls per second of all genuine notices together, once more of ZEGO's callbacks, and once more of all others."""

    def new_limit(self) -> RateLimit:
        """A limit with full buckets."""
        return RateLimit(client_rate=self.client_rate, total_rate=self.total_rate)

    def new_total_limit(self) -> RateLimit:
        """A limit that one address may use up alone."""
        return RateLimit(client_rate=self.total_rate, total_rate=self.total_rate)


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
        # Twenty shows are told of by the same few addresses of the vendor.
        self._callbacks = bounds.new_total_limit()
        self._signatures = UsedSignatures()
        self._noted: dict[str, float] = {}

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

    async def zego(self, request: Request) -> Response:
        """Take a callback of ZEGO, whose body has to be read to know whether it is one."""
        callback = await self._genuine_callback(request)
        if callback is None:
            return await self.elsewhere(request)
        if wait := self._callbacks.take(_address(request)):
            return _too_many(wait)
        try:
            # Before it is judged: also one that changes nothing has used up its signature.
            if not self._signatures.is_good_for(callback):
                self._note("callback with the signature of another, did somebody overhear it?")
                return await self.elsewhere(request)
            event = callback.event(datetime.now(UTC))
        except NoticeRefused as refused:
            return _answer(refused.status, refused.reason)
        return await self._keep(event) if event else _answer(200, "Success")

    async def _genuine_callback(self, request: Request) -> Callback | None:
        """The callback that was posted; None where it is none, or nobody who knows the secret has signed it."""
        secret = get_settings().zego_callback_secret.get_secret_value()
        if not secret:
            return None
        try:
            callback = read_callback(read_fields(await read_body(request, seconds=self._bounds.body_seconds)))
        except NoticeRefused as refused:
            self._note("callback that cannot be read why=%s", refused.reason)
            return None
        if callback.is_genuine(secret):
            return callback
        self._note("callback with a wrong signature, is STUDIO_ZEGO_CALLBACK_SECRET the project's CallbackSecret?")
        return None

    async def _keep(self, event: StreamEvent) -> Response:
        try:
            is_new = await keep_event(await self._ledger.get(), event)
        except StudioUnavailable as error:
            log.error("ledger away task_id=%s error=%s", event.task_id, error)  # noqa: TRY400 - message says all
            return _answer(503, "try again later", headers={"Retry-After": str(AWAY_SECONDS)})
        return _answer(200, "Success", background=BackgroundTask(tell_prefect_of_stream, event) if is_new else None)

    def _note(self, line: str, *values: str) -> None:
        """Tell the operator, who alone can put it right, why a callback is not taken."""
        now = time.monotonic()
        if now - self._noted.get(line, -math.inf) > NOTE_SECONDS:
            self._noted[line] = now
            log.warning(line, *values)

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
            Route("/zego", receiver.zego, methods=["POST"]),
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
