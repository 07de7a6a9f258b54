"""Calls to a provider's JSON API: one try each, timeouts by kind of call, and errors that say what may be repeated."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from weakref import WeakKeyDictionary

import httpx
from pydantic import JsonValue

from tasks.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http.trust import trusted

CallKind = Literal["submit", "query"]

TIMEOUTS: dict[CallKind, httpx.Timeout] = {
    "submit": httpx.Timeout(connect=10, read=45, write=20, pool=10),
    "query": httpx.Timeout(connect=10, read=20, write=10, pool=20),
}
DEADLINES: dict[CallKind, float] = {"submit": 50, "query": 40}
"""Seconds for a whole call: an answer that dribbles in never trips a timeout of its own."""
MAX_ANSWER_BYTES = 4 * 1024 * 1024

# The server surely never saw a call that failed like this.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# A redirect says that nothing was done here; 303 says that something was.
_MOVED = {301, 302, 307, 308}
_LATER = "Run the request again later."
_REQUEST_IDS = ("x-request-id", "request-id", "x-trace-id", "x-amzn-requestid", "cf-ray")

log = logging.getLogger("studio.http")

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


@dataclass(frozen=True)
class Answer:
    """A JSON answer of a provider."""

    status: int
    body: JsonValue
    request_id: str
    retry_after: float | None


class ApiClient:
    """Makes the calls of one account at one provider.

    Args:
        provider: name for errors and logs.
        base_url: address that paths are appended to.
        headers: makes the headers that identify the account; asked for at every call.
    """

    def __init__(self, provider: str, base_url: str, headers: Callable[[], Mapping[str, str]]) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self._headers = headers

    async def submit(self, path: str, body: Mapping[str, JsonValue]) -> Answer:
        """POST what may cost money, on a connection of its own: a stale one cannot be told from a lost answer.

        Raises:
            ProviderRejected: an HTTP status that says that nothing was accepted.
            ProviderBusy: HTTP 429.
            ProviderUnavailable: no usable answer; ``sent`` says whether the provider may have acted.
        """
        async with httpx.AsyncClient(timeout=TIMEOUTS["submit"], verify=trusted(trust_env=True)) as client:
            return await self._call(client, "submit", "POST", path, json=dict(body))

    async def query(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """GET what costs nothing. Raises what ``submit`` raises."""
        return await self._call(_pool(), "query", "GET", path, params=dict(params or {}))

    async def ask(self, path: str, body: Mapping[str, JsonValue]) -> Answer:
        """POST what costs nothing. Raises what ``submit`` raises."""
        return await self._call(_pool(), "query", "POST", path, json=dict(body))

    async def _call(self, client: httpx.AsyncClient, kind: CallKind, method: str, path: str, **content: Any) -> Answer:
        async with self._explained(method, path):
            request = client.build_request(
                method, self.base_url + path, headers=dict(self._headers()), timeout=TIMEOUTS[kind], **content
            )
            async with asyncio.timeout(DEADLINES[kind]):
                response = await client.send(request, stream=True)
                try:
                    raw = await _bounded(response)
                finally:
                    await response.aclose()
                    client.cookies.clear()
        return self._read(response, raw, f"{method} {path}")

    @asynccontextmanager
    async def _explained(self, method: str, path: str) -> AsyncGenerator[None, None]:
        """Turn the library's errors into the studio's; their text never holds a header."""
        what = f"{self.provider} did not answer {method} {path}"
        try:
            yield
        except _NEVER_SENT as error:
            raise self._unavailable(f"{self.provider} could not be reached: {_told(error)}.", sent=False) from error
        except TimeoutError as error:
            raise self._unavailable(f"{what} in time.", sent=True) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError) as error:
            # The error's own text may quote a header.
            raise ProviderRejected(
                f"{method} {path} cannot be sent to {self.provider} ({type(error).__name__}).",
                provider=self.provider,
                fix="Correct base URL and key in its credentials block.",
            ) from None
        except (httpx.TransportError, httpx.DecodingError, _TooLong) as error:
            raise self._unavailable(f"{what}: {_told(error)}.", sent=True) from error

    def _read(self, response: httpx.Response, raw: bytes, call: str) -> Answer:
        status = response.status_code
        request_id = next((response.headers[name][:100] for name in _REQUEST_IDS if name in response.headers), "")
        retry_after = read_retry_after(response.headers.get("retry-after", ""))
        facts: dict[str, Any] = {"provider": self.provider, "status": status, "request_id": request_id}
        if status == 429:
            raise ProviderBusy(
                f"{self.provider} has too many calls now (HTTP 429).", retry_after=retry_after, fix=_LATER, **facts
            )
        if status >= 500 or status in {303, 408}:
            raise ProviderUnavailable(
                f"{self.provider} is in trouble: HTTP {status} to {call}.",
                sent=True,
                retry_after=retry_after,
                fix=_LATER,
                **facts,
            )
        if status >= 400 or status in _MOVED:
            raise ProviderRejected(
                f"{self.provider} refused {call}: HTTP {status}{self._quoted(raw)}.", fix=_fix_of(status), **facts
            )
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise ProviderUnavailable(
                f"{self.provider} answered {call} with something that is not JSON.", sent=True, **facts
            ) from error
        return Answer(status=status, body=body, request_id=request_id, retry_after=retry_after)

    def _unavailable(self, message: str, *, sent: bool) -> ProviderError:
        fix = _LATER if sent else f"{_LATER} If that does not help, check the base URL in its credentials block."
        return ProviderUnavailable(message, sent=sent, provider=self.provider, fix=fix)

    def _quoted(self, raw: bytes) -> str:
        """The beginning of an answer, for people; without what identifies the account, should the server quote that."""
        text = " ".join(raw.decode(errors="replace").split())
        for value in self._headers().values():
            # Before anything is cut off: half of a key would not be found any more.
            secret = value.rpartition(" ")[2]
            text = text.replace(secret, "(hidden)") if secret else text
        return f", {text[:200]!r}" if text else ""


class _TooLong(Exception):
    """An answer was larger than any answer of an API."""


def read_retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None when it holds neither."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        # A date without a zone is in UTC.
        left = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return max(0.0, left.total_seconds())


def _pool() -> httpx.AsyncClient:
    """The connections of this event loop, kept open between calls."""
    loop = asyncio.get_running_loop()
    client = _pools.get(loop)
    if client is None or client.is_closed:
        limits = httpx.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=30)
        client = _pools[loop] = httpx.AsyncClient(limits=limits, verify=trusted(trust_env=True))
    return client


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise _TooLong(f"its answer has more than {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _told(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")


def _fix_of(status: int) -> str:
    if status in {401, 403}:
        return "Check the key in its credentials block, and what the account may do."
    if status == 402:
        return "Top up the account."
    if status == 404 or status in _MOVED:
        return "Check the base URL in its credentials block."
    return ""
