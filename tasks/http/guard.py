"""Connects to links that others wrote, without ever touching the network behind us; every redirect is checked too."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import httpx

from tasks.addresses import Resolver, resolve_host, why_closed
from tasks.errors import StudioError
from tasks.http.trust import trusted

Content = Callable[[], AsyncIterable[bytes]]
"""Makes the body anew for every address that is tried."""
RESOLVE_SECONDS = 10
MOST_REDIRECTS = 5
FILE_TIMEOUT = httpx.Timeout(connect=10, read=30, write=30, pool=10)


class FetchRefused(StudioError):
    """A link cannot be fetched, or must not be.

    Args:
        message: what happened, to what.
        fix: what to do next, one sentence.
        passing: the same link may be fetched a moment later: nothing is known to be wrong with it or its content.
    """

    def __init__(self, message: str, *, fix: str = "", passing: bool = False) -> None:
        super().__init__(message, fix=fix)
        self.passing = passing


def is_transport_error(error: BaseException) -> bool:
    """Whether a connection could not be made or broke, in whoever's hands."""
    return isinstance(error, httpx.TransportError | ConnectionError | TimeoutError)


@dataclass(frozen=True)
class Pace:
    """The slowest transfer that is waited for: an average, once the grace time is over."""

    bytes_per_second: float = 4096
    grace_seconds: float = 20


@dataclass(frozen=True)
class FetchRules:
    """What a fetch may do.

    Args:
        max_bytes: largest body accepted.
        allow_private: host:port pairs that may lie on closed addresses and may speak plain HTTP.
        pace: slowest transfer accepted.
        resolve: looks up the addresses of a host.
        tls: trusted authorities; None takes the public ones.
    """

    max_bytes: int
    allow_private: frozenset[str] = frozenset()
    pace: Pace = Pace()
    resolve: Resolver = resolve_host
    tls: ssl.SSLContext | None = None


def shown(url: str) -> str:
    """A link without its query, which may carry a signature."""
    return url.partition("?")[0].partition("#")[0]


@contextlib.asynccontextmanager
async def guarded_client(rules: FetchRules) -> AsyncGenerator[httpx.AsyncClient, None]:
    """A client without cookies, proxies or credentials, for the calls below."""
    tls = rules.tls or trusted(trust_env=False)
    async with httpx.AsyncClient(timeout=FILE_TIMEOUT, trust_env=False, verify=tls) as client:
        yield client


@contextlib.asynccontextmanager
async def guarded_get(
    client: httpx.AsyncClient, url: str, rules: FetchRules, headers: Mapping[str, str] | None = None
) -> AsyncGenerator[httpx.Response, None]:
    """GET a link, following redirects by hand under the same rules; the body is not read yet.

    Raises:
        FetchRefused: the link, or where it leads, must not be connected to.
        httpx.TransportError: the connection broke.
    """
    for _ in range(MOST_REDIRECTS + 1):
        link = _allowed_link(url, rules)
        async with _answer(client, "GET", link, rules, headers=headers) as response:
            if not response.has_redirect_location:
                yield response
                return
            url = str(link.join(response.headers["location"]))
    raise FetchRefused(f"{shown(url)} is behind more than {MOST_REDIRECTS} redirects.", fix="Use the final link.")


@contextlib.asynccontextmanager
async def guarded_put(
    client: httpx.AsyncClient, url: str, rules: FetchRules, headers: Mapping[str, str], content: Content
) -> AsyncGenerator[httpx.Response, None]:
    """PUT to a link; redirects are not followed.

    Raises:
        FetchRefused: the link must not be connected to.
        httpx.TransportError: the connection broke.
    """
    link = _allowed_link(url, rules)
    async with _answer(client, "PUT", link, rules, headers=headers, content=content) as response:
        yield response


def _origin(link: httpx.URL) -> tuple[str, int]:
    return link.raw_host.decode("ascii"), link.port or (443 if link.scheme == "https" else 80)


def _is_listed(link: httpx.URL, rules: FetchRules) -> bool:
    host, port = _origin(link)
    return f"{host}:{port}" in rules.allow_private


def _allowed_link(url: str, rules: FetchRules) -> httpx.URL:
    link = httpx.URL(url)
    if link.userinfo:
        raise FetchRefused("the link carries a user name or password.", fix="Use a pre-signed link.")
    if not 0 < _origin(link)[1] < 65536:
        raise FetchRefused(f"{shown(url)} names a port that does not exist.", fix="Check the link.")
    if link.host and (link.scheme == "https" or (link.scheme == "http" and _is_listed(link, rules))):
        return link
    raise FetchRefused(
        f"{shown(url)} is not an https:// link.", fix="Use https://, or put the file into s3://staging/."
    )


async def _open_addresses(link: httpx.URL, rules: FetchRules) -> list[str]:
    """The addresses of a host, once every one of them has been checked."""
    host, port = _origin(link)
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await rules.resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise FetchRefused(
            f"the host {host} is not known ({error}).",
            fix="Check the spelling of the link.",
            # A name server that is away says the same as one that does not know the name.
            passing=isinstance(error, OSError),
        ) from error
    if not found:
        raise FetchRefused(f"the host {host} has no address.", fix="Check the spelling of the link.")
    if _is_listed(link, rules):
        return found
    for address in found:
        if reason := why_closed(address):
            raise FetchRefused(
                f"the host {host} leads to {address}, which is {reason}; only public addresses are fetched from.",
                fix=f"Put the file into s3://staging/, or let the operator list {host}:{port} in "
                "STUDIO_PRIVATE_MEDIA_HOSTS.",
            )
    return found


@contextlib.asynccontextmanager
async def _answer(
    client: httpx.AsyncClient,
    method: Literal["GET", "PUT"],
    link: httpx.URL,
    rules: FetchRules,
    *,
    headers: Mapping[str, str] | None = None,
    content: Content | None = None,
) -> AsyncGenerator[httpx.Response, None]:
    """Connect to a checked address and no other: the name would be resolved a second time, perhaps differently."""
    broken: httpx.TransportError = httpx.ConnectError("no address answered")
    for address in await _open_addresses(link, rules):
        request = client.build_request(
            method,
            link.copy_with(host=address, fragment=None),
            headers={
                "Host": link.netloc.decode("ascii"),
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                **(headers or {}),
            },
            content=content() if content else None,
            extensions={"sni_hostname": link.raw_host.decode("ascii")},
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            broken = error
            continue
        # The jar would hand one host's cookies to the next.
        client.cookies.clear()
        try:
            yield response
        finally:
            await response.aclose()
        return
    raise broken
