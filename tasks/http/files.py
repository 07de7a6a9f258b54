"""Files to and from links that a provider wrote: checked like a stranger's links, and without the account's key."""

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.addresses import why_closed
from tasks.errors import ProviderBusy, ProviderRejected, ProviderUnavailable, ResultExpired
from tasks.http.api import read_retry_after
from tasks.http.guard import FetchRefused, FetchRules, guarded_client, guarded_get, guarded_put, shown

CHUNK = 1024 * 1024
UPLOAD_SECONDS = 1800
_LATER = "Run the request again later."
_GONE = {401, 403, 404, 410}


def own_network(base_url: str) -> frozenset[str]:
    """``host:port`` of a provider that is itself on a closed address, such as the sandbox; else nothing.

    Only such a provider may hand out links to a closed address, and only to its own.
    """
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return frozenset({f"{host}:{port}"}) if host == "localhost" else frozenset()
    return frozenset({f"{host}:{port}"}) if why_closed(host) else frozenset()


async def put_file(url: str, path: Path, *, provider: str, allow_private: frozenset[str]) -> None:
    """PUT a file to an upload link of a provider.

    Raises:
        FetchRefused: the link leads to a closed address.
        ProviderRejected: the link is not taken, for example because it is stale.
        ProviderUnavailable: the connection broke or the server is in trouble; the upload may be made again.
    """
    what, rules = f"the upload to {provider}", FetchRules(max_bytes=0, allow_private=allow_private)
    size = (await asyncio.to_thread(path.stat)).st_size
    async with (
        _explained(provider, what),
        asyncio.timeout(UPLOAD_SECONDS),
        guarded_client(rules) as client,
        guarded_put(client, url, rules, {"Content-Length": str(size)}, lambda: _read(path)) as response,
    ):
        _check(response, provider, what)
        if not response.is_success:
            raise ProviderRejected(
                f"{provider}'s storage refused the upload: HTTP {response.status_code}.",
                provider=provider,
                status=response.status_code,
                fix="Run the request again: it asks for a fresh upload link.",
            )


async def download(url: str, offset: int, *, provider: str, allow_private: frozenset[str]) -> AsyncIterator[bytes]:
    """Stream a finished file from a byte offset.

    Raises:
        FetchRefused: the link, or a redirect, leads to a closed address.
        ResultExpired: the link is dead; ask the provider for a fresh one.
        ProviderUnavailable: the connection broke or the server is in trouble; the download may go on.
    """
    rules = FetchRules(max_bytes=0, allow_private=allow_private)
    headers = {"Range": f"bytes={offset}-"} if offset else {}
    async with (
        _explained(provider, shown(url)),
        guarded_client(rules) as client,
        guarded_get(client, url, rules, headers) as response,
    ):
        if response.status_code == 416 and offset:
            return
        _check(response, provider, shown(url))
        if response.status_code in _GONE or not response.is_success:
            raise ResultExpired(
                f"{provider}'s link to the video answers HTTP {response.status_code}.",
                provider=provider,
                status=response.status_code,
                fix="Run the request again: it asks for a fresh link.",
            )
        skip = _bytes_to_skip(response, offset)
        async for chunk in response.aiter_raw():
            if skip >= len(chunk):
                skip -= len(chunk)
                continue
            yield chunk[skip:]
            skip = 0


def _bytes_to_skip(response: httpx.Response, offset: int) -> int:
    """A server that ignores ranges sends everything again."""
    if response.status_code != 206:
        return offset
    start = response.headers.get("content-range", "").removeprefix("bytes ").partition("-")[0]
    return offset - int(start) if start.isdigit() and int(start) <= offset else 0


def _check(response: httpx.Response, provider: str, what: str) -> None:
    status = response.status_code
    retry_after = read_retry_after(response.headers.get("retry-after", ""))
    facts: dict[str, Any] = {"provider": provider, "status": status, "retry_after": retry_after, "fix": _LATER}
    if status == 429:
        raise ProviderBusy(f"{what}: HTTP 429.", **facts)
    if status >= 500 or status == 408:
        raise ProviderUnavailable(f"{what}: HTTP {status}.", sent=True, **facts)


async def _read(path: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


@asynccontextmanager
async def _explained(provider: str, what: str) -> AsyncGenerator[None, None]:
    try:
        yield
    except (httpx.TransportError, TimeoutError) as error:
        told = str(error) or type(error).__name__
        raise ProviderUnavailable(f"{what} broke off: {told}.", provider=provider, sent=True, fix=_LATER) from error
    except FetchRefused as error:
        raise FetchRefused(
            f"{provider} gave a link that cannot be followed: {error.message}",
            fix="Run the request again: it asks for a fresh link. If that one is refused too, ask its support.",
        ) from error
    except httpx.InvalidURL as error:
        raise ProviderRejected(f"{provider} gave a link that is none: {error}.", provider=provider) from error
