"""Fetches media from links that strangers wrote."""

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from tasks.http.guard import FetchRefused, FetchRules, Pace, guarded_client, guarded_get, shown
from tasks.partial import TooLarge, partial_file

FETCH_ATTEMPTS = 3

log = logging.getLogger("studio.http")


class ServerTrouble(Exception):
    """The server answered that it has trouble of its own; the same call may work a moment later."""


@dataclass(frozen=True)
class FetchedFile:
    """A file that was fetched from a link."""

    path: Path
    size: int
    sha256: str
    content_type: str


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
            passing=True,
        ) from None
    except (httpx.HTTPError, httpx.InvalidURL, ServerTrouble) as error:
        cause = str(error) or type(error).__name__
        raise FetchRefused(
            f"{shown(url)} could not be read: {cause}.",
            fix="Check the link, then try again.",
            passing=isinstance(error, httpx.TransportError | ServerTrouble),
        ) from error


async def _fetch(url: str, path: Path, rules: FetchRules) -> FetchedFile:
    """One attempt, all redirects included."""
    async with guarded_client(rules) as client, guarded_get(client, url, rules) as response:
        return await _keep(response, path, rules)


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
            passing=True,
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
