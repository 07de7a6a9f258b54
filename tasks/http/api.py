"""Calls to a provider's JSON API: one try each, timeouts by kind of call, and errors that say what may be repeated."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
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
# Its own lines hold whole addresses, with the signatures in them.
logging.getLogger("httpx").setLevel(logging.WARNING)

_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


@dataclass(frozen=True)
class Answer:
    """A JSON answer of a provider."""

    status: int
    body: JsonValue
    request_id: str
    retry_after: float | None
    date: datetime | None = None
    """The server's clock, aware; None where it did not say or cannot be read."""


class ApiClient:
    """Makes the calls of one account at one provider.

    Args:
        provider: name for errors and logs.
        base_url: address that paths are appended to.
        headers: makes the headers that identify the account; asked for at every call.
        body_decides: whether a JSON body says by itself what became of the call. Such an answer is returned whatever
            its HTTP status, for providers that do not document that one. Without it the status decides.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        headers: Callable[[], Mapping[str, str]],
        *,
        body_decides: Callable[[JsonValue], bool] | None = None,
    ) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self._headers = headers
        self._body_decides = body_decides

    async def submit(
        self,
        path: str,
        body: Mapping[str, JsonValue],
        params: Mapping[str, str] | None = None,
        *,
        hidden: Collection[str] = (),
    ) -> Answer:
        """POST what may cost money, on a connection of its own: a stale one cannot be told from a lost answer.

        Args:
            path: appended to the base URL.
            body: the JSON object.
            params: the query; it may identify the account, so errors never show its values.
            hidden: what errors must not show either, such as a signed link in the body.

        Raises:
            ProviderRejected: an HTTP status that says that nothing was accepted.
            ProviderBusy: HTTP 429.
            ProviderUnavailable: no usable answer; ``sent`` says whether the provider may have acted.
        """
        hidden = [*hidden, *(params or {}).values()]
        async with httpx.AsyncClient(timeout=TIMEOUTS["submit"], verify=trusted(trust_env=True)) as client:
            return await self._call(client, "submit", "POST", path, hidden, json=dict(body), params=params or None)

    async def query(self, path: str, params: Mapping[str, str] | None = None) -> Answer:
        """GET what costs nothing. Raises what ``submit`` raises."""
        # What a question asks for is no secret, and people need to read it.
        return await self._call(_pool(), "query", "GET", path, (), params=dict(params or {}))

    async def ask(
        self,
        path: str,
        body: Mapping[str, JsonValue],
        params: Mapping[str, str] | None = None,
        *,
        hidden: Collection[str] = (),
    ) -> Answer:
        """POST what costs nothing. Takes and raises what ``submit`` does."""
        hidden = [*hidden, *(params or {}).values()]
        return await self._call(_pool(), "query", "POST", path, hidden, json=dict(body), params=params or None)

    async def _call(
        self,
        client: httpx.AsyncClient,
        kind: CallKind,
        method: str,
        path: str,
        hidden: Collection[str],
        **content: Any,
    ) -> Answer:
        headers = dict(self._headers())
        async with self._explained(method, path):
            request = client.build_request(
                method, self.base_url + path, headers=headers, timeout=TIMEOUTS[kind], **content
            )
            async with asyncio.timeout(DEADLINES[kind]):
                response = await client.send(request, stream=True)
                try:
                    raw = await _bounded(response)
                finally:
                    await response.aclose()
                    client.cookies.clear()
        return self._read(response, raw, f"{method} {path}", [*hidden, *headers.values()])

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

    def _read(self, response: httpx.Response, raw: bytes, call: str, secrets: Collection[str]) -> Answer:
        status = response.status_code
        request_id = next((response.headers[name][:100] for name in _REQUEST_IDS if name in response.headers), "")
        retry_after = read_retry_after(response.headers.get("retry-after", ""))
        facts: dict[str, Any] = {"provider": self.provider, "status": status, "request_id": request_id}
        if not self._is_decided_by(raw):
            self._check_status(call, raw, secrets, retry_after, facts)
        try:
            body = json.loads(raw)
        except ValueError as error:
            raise ProviderUnavailable(
                f"{self.provider} answered {call} with something that is not JSON.", sent=True, **facts
            ) from error
        date = read_date(response.headers.get("date", ""))
        return Answer(status=status, body=body, request_id=request_id, retry_after=retry_after, date=date)

    def _is_decided_by(self, raw: bytes) -> bool:
        if self._body_decides is None:
            return False
        try:
            return self._body_decides(json.loads(raw))
        except ValueError:
            return False

    def _check_status(
        self, call: str, raw: bytes, secrets: Collection[str], retry_after: float | None, facts: Mapping[str, Any]
    ) -> None:
        status = facts["status"]
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
                f"{self.provider} refused {call}: HTTP {status}{_quoted(raw, secrets)}.", fix=_fix_of(status), **facts
            )

    def _unavailable(self, message: str, *, sent: bool) -> ProviderError:
        fix = _LATER if sent else f"{_LATER} If that does not help, check the base URL in its credentials block."
        return ProviderUnavailable(message, sent=sent, provider=self.provider, fix=fix)


class _TooLong(Exception):
    """An answer was larger than any answer of an API."""


def read_retry_after(value: str) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None when it holds neither."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    moment = read_date(text)
    return None if moment is None else max(0.0, (moment - datetime.now(UTC)).total_seconds())


def read_date(value: str) -> datetime | None:
    """An HTTP date, aware; None where it is none."""
    try:
        moment = parsedate_to_datetime(value)
        # A date without a zone is in UTC; no other zone is near the end of time.
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


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


def _quoted(raw: bytes, secrets: Collection[str]) -> str:
    """The beginning of an answer, for people; without what identifies the account, should the server quote that."""
    text = " ".join(raw.decode(errors="replace").split())
    for value in secrets:
        # Before anything is cut off: half of a key would not be found any more.
        secret = value.rpartition(" ")[2]
        text = text.replace(secret, "(hidden)") if secret else text
    return f", {text[:200]!r}" if text else ""


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
