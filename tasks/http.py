"""The one module that speaks HTTP; its library's types stay in here. Fetches media from links that strangers wrote."""

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tasks.addresses import Resolver, resolve_host, why_closed
from tasks.errors import StudioError
from tasks.partial import TooLarge, partial_file

FETCH_TIMEOUT = httpx.Timeout(connect=10, read=30, write=10, pool=10)
RESOLVE_SECONDS = 10
FETCH_ATTEMPTS = 3
MOST_REDIRECTS = 5

log = logging.getLogger("studio.http")


class FetchRefused(StudioError):
    """A link cannot be fetched, or must not be."""


class ServerTrouble(Exception):
    """The server answered that it has trouble of its own; the same call may work a moment later."""


# May a download be repeated? Broken transport and a server in trouble, yes; any other answer, no.
PASSING_ERRORS = (httpx.TransportError, ServerTrouble, ConnectionError, TimeoutError)


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


@dataclass(frozen=True)
class FetchedFile:
    """A file that was fetched from a link."""

    path: Path
    size: int
    sha256: str
    content_type: str


def shown(url: str) -> str:
    """A link without its query, which may carry a signature."""
    return url.partition("?")[0].partition("#")[0]


async def fetch_public(url: str, path: Path, *, rules: FetchRules, deadline: float) -> FetchedFile:
    """Fetch a link that a stranger wrote, without ever touching the network behind us.

    HTTPS only. All addresses of the host must be public, and the connection goes to exactly the address that was
    checked. Redirects are followed by hand under the same rules. No cookies, proxies or credentials. The file appears
    under its name when it is complete.

    Args:
        url: the link.
        path: where the file goes; its folder exists.
        rules: what the fetch may do.
        deadline: seconds for everything, repeats included.

    Raises:
        FetchRefused: with the reason and the way out.
    """
    attempts = AsyncRetrying(
        retry=retry_if_exception_type((httpx.TransportError, ServerTrouble)),
        stop=stop_after_attempt(FETCH_ATTEMPTS),
        wait=wait_random_exponential(multiplier=0.5, max=5),
        before_sleep=_report,
        reraise=True,
    )
    try:
        async with asyncio.timeout(deadline):
            return await attempts(_fetch, url, path, rules)
    except TimeoutError:
        raise FetchRefused(
            f"{shown(url)} did not arrive within {deadline:g} s.",
            fix="Use a faster server, or put the file into s3://staging/.",
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ServerTrouble) as error:
        cause = str(error) or type(error).__name__
        raise FetchRefused(
            f"{shown(url)} could not be read: {cause}.", fix="Check the link, then try again."
        ) from error


async def _fetch(url: str, path: Path, rules: FetchRules) -> FetchedFile:
    """One attempt, all redirects included."""
    async with httpx.AsyncClient(timeout=FETCH_TIMEOUT, trust_env=False, verify=_authorities(rules)) as client:
        for _ in range(MOST_REDIRECTS + 1):
            link = _allowed_link(url, rules)
            async with _answer(client, link, rules) as response:
                if not response.has_redirect_location:
                    return await _keep(response, path, rules)
                url = str(link.join(response.headers["location"]))
    raise FetchRefused(f"{shown(url)} is behind more than {MOST_REDIRECTS} redirects.", fix="Use the final link.")


def _authorities(rules: FetchRules) -> ssl.SSLContext:
    return rules.tls or httpx.create_ssl_context(trust_env=False)


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
        raise FetchRefused(f"the host {host} is not known ({error}).", fix="Check the spelling of the link.") from error
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
    client: httpx.AsyncClient, link: httpx.URL, rules: FetchRules
) -> AsyncGenerator[httpx.Response, None]:
    """Connect to a checked address and no other: the name would be resolved a second time, perhaps differently."""
    broken: httpx.TransportError = httpx.ConnectError("no address answered")
    for address in await _open_addresses(link, rules):
        request = client.build_request(
            "GET",
            link.copy_with(host=address, fragment=None),
            headers={"Host": link.netloc.decode("ascii"), "Accept": "*/*", "Accept-Encoding": "identity"},
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


async def _keep(response: httpx.Response, path: Path, rules: FetchRules) -> FetchedFile:
    """Stream an answer into a file under all caps."""
    _check_status(response.status_code)
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise FetchRefused(f"the server sent the file compressed ({encoding}).", fix="Serve the file as it is.")
    announced = response.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > rules.max_bytes:
        raise FetchRefused(_too_large(int(announced), rules.max_bytes), fix="Use a smaller file.")
    started = time.monotonic()
    try:
        async with partial_file(path, rules.max_bytes) as file:
            async for chunk in response.aiter_raw():
                await file.add(chunk)
                _check_pace(file.size, time.monotonic() - started, rules.pace)
    except TooLarge as error:
        raise FetchRefused(_too_large(error.size, rules.max_bytes), fix="Use a smaller file.") from error
    return FetchedFile(path, file.size, file.sha256, response.headers.get("content-type", ""))


def _too_large(size: int, limit: int) -> str:
    return f"the file has {size} bytes or more; the limit is {limit}."


def _check_pace(size: int, elapsed: float, pace: Pace) -> None:
    if elapsed > pace.grace_seconds and size / elapsed < pace.bytes_per_second:
        raise FetchRefused(
            f"the server sends too slowly, {size} bytes in {elapsed:.0f} s.",
            fix="Use a faster server, or put the file into s3://staging/.",
        )


def _check_status(status: int) -> None:
    if status == 200:
        return
    if status >= 500 or status == 429:
        raise ServerTrouble(f"the server answered HTTP {status}")
    fixes = {
        401: "The link needs a login; use a pre-signed link.",
        403: "The link is not allowed or has expired; make a fresh one.",
        404: "Check the spelling of the link.",
        410: "The file is gone; use another link.",
    }
    raise FetchRefused(f"the server answered HTTP {status}.", fix=fixes.get(status, "Check the link in a browser."))


def _report(state: RetryCallState) -> None:
    cause = state.outcome.exception() if state.outcome else None
    log.warning("fetch repeated source=%s attempt=%d cause=%r", shown(state.args[0]), state.attempt_number, cause)
