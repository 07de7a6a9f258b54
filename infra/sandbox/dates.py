"""The Date header of every answer, by the clock of the vendor that gives it."""

import time
from email.utils import formatdate

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.sandbox.truth import Truth

ZEGO_PATH = "/zego"


class Dated:
    """Adds the header; uvicorn, which knows one clock only, must not.

    Args:
        app: gives the answers.
        truth: has the setting by how much a vendor's clock is off.
    """

    def __init__(self, app: ASGIApp, truth: Truth) -> None:
        self._app, self._truth = app, truth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, dated."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).setdefault("Date", formatdate(self._now(scope), usegmt=True))
            await send(message)

        await self._app(scope, receive, dated)

    def _now(self, scope: Scope) -> float:
        ahead = self._truth.knobs.zego_clock_skew_seconds if scope["path"].startswith(ZEGO_PATH) else 0
        return time.time() + ahead
