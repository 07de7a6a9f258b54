"""One spoiled answer: before the call acts, instead of it, or after it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import Message, Receive, Scope, Send

from infra.sandbox.connection import Cut, CutShort
from infra.sandbox.faults import Fault, Holds
from infra.sandbox.signing import xml_error

_PAGE = "<!doctype html><html><head><title>Gateway</title></head><body><h1>Please wait</h1></body></html>"
_DRIBBLES = 200


class Spoiler:
    """Answers a call as its fault wants.

    Args:
        fault: what goes wrong.
        holds: where held calls wait.
        vendor_code: the answer of a vendor that refuses with this code and message.
    """

    def __init__(self, fault: Fault, holds: Holds, vendor_code: Callable[[Any, str], Response]) -> None:
        self._fault, self._holds, self._vendor_code = fault, holds, vendor_code
        self._args = fault.args

    async def answer(self, request: Request, act: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer, letting the call act unless the fault comes before it."""
        kind = self._fault.fault
        if kind in {"hold_before", "hold_after"}:
            # Read now: looking for the client's end while it is held would swallow it.
            await request.body()
        if kind == "hold_before":
            return await self._hold_before(request, act)
        if kind in {"reset", "status", "business", "expired", "redirect"}:
            return self._instead()
        response = await act(request)
        if kind == "hold_after":
            gone = not await self._holds.hold(request, self._fault.vendor, self._fault.call)
            return Cut(hard=False) if gone else response
        return await self._afterwards(response, request)

    async def _hold_before(self, request: Request, act: Callable[[Request], Awaitable[Response]]) -> Response:
        if not await self._holds.hold(request, self._fault.vendor, self._fault.call):
            return Cut(hard=False)
        return await act(request)

    def _instead(self) -> Response:
        """The answer of a call that does not act."""
        args = self._args
        match self._fault.fault:
            case "status":
                headers = {"Retry-After": str(args["retry_after"])} if "retry_after" in args else {}
                body = args.get("body", "the sandbox was told to say so")
                if isinstance(body, str):
                    return Response(body, int(args.get("status", 500)), headers, "text/plain")
                return JSONResponse(body, int(args.get("status", 500)), headers)
            case "business":
                return self._vendor_code(args.get("code", "5003"), str(args.get("message", "told to say so")))
            case "expired":
                return xml_error(403, "AccessDenied", "Request has expired")
            case "redirect":
                return RedirectResponse(str(args.get("location", "http://169.254.169.254/")), 302)
            case _:
                return Cut(hard=True)

    async def _afterwards(self, response: Response, request: Request) -> Response:
        """Spoil the answer of a call that has acted."""
        kind = self._fault.fault
        if kind == "lost_answer":
            return Cut(hard=False)
        if kind in {"not_json", "html"}:
            return HTMLResponse(_PAGE)
        if kind == "empty":
            return Response(b"", media_type="video/mp4")
        start, body = await _collect(response, request)
        if kind == "slow":
            return _Dribbled(start, body, float(self._args.get("seconds", 5)))
        part = body[: int(self._args.get("bytes", len(body) // 2))]
        return CutShort(start, part) if kind == "truncated" else _Shortened(start, part)


async def _collect(response: Response, request: Request) -> tuple[Message, bytes]:
    """Let an answer be given to nobody, and keep it."""
    start: Message = {}
    body = bytearray()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await response(request.scope, request.receive, send)
    return start, bytes(body)


class _Shortened(Response):
    """A part of an answer that pretends to be all of it."""

    def __init__(self, start: Message, part: bytes) -> None:
        super().__init__()
        headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        self._start = {**start, "headers": [*headers, (b"content-length", str(len(part)).encode())]}
        self._part = part

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        """Send the part."""
        await send(self._start)
        await send({"type": "http.response.body", "body": self._part})


class _Dribbled(Response):
    """An answer that comes drop by drop."""

    def __init__(self, start: Message, body: bytes, seconds: float) -> None:
        super().__init__()
        self._start, self._whole, self._seconds = start, body, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send drops until the end, or until nobody listens."""
        request = Request(scope, receive)
        step = max(1, -(-len(self._whole) // _DRIBBLES))
        drops = [self._whole[i : i + step] for i in range(0, len(self._whole), step)]
        await send(self._start)
        for drop in drops:
            await asyncio.sleep(self._seconds / len(drops))
            if await request.is_disconnected():
                return
            await send({"type": "http.response.body", "body": drop, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
