"""Bring a provider's finished result to this machine, whole and as announced.

Works over any source of bytes that can start at an offset: a file of the local renderer, or a vendor's link.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from tasks.errors import DownloadBroken
from tasks.http import asked_pause, may_repeat_download
from tasks.partial import PartialFile, TooLarge, WholeFile, partial_file

STALL_SECONDS = 60
FRUITLESS_ATTEMPTS = 6

log = logging.getLogger("studio.download")


class _CutShort(Exception):
    """A stream ended before all announced bytes came."""


def _may_go_on(error: BaseException) -> bool:
    return isinstance(error, _CutShort) or may_repeat_download(error)


async def download_result(
    open_stream: Callable[[int], AsyncIterator[bytes]],
    path: Path,
    *,
    what: str,
    max_bytes: int,
    deadline: float,
    expect_size: int | None = None,
    expect_md5: str | None = None,
) -> WholeFile:
    """Bring a finished result to this machine, going on where a broken stream ended.

    Args:
        open_stream: streams the result's bytes from an offset.
        path: where the file goes; it appears there complete and checked.
        what: name of the result in messages.
        max_bytes: largest result accepted.
        deadline: seconds for everything, repeats included.
        expect_size: bytes announced by the provider.
        expect_md5: MD5 announced by the provider, in hex.

    Raises:
        DownloadBroken: too large, not as announced, or still incomplete after repeats.
        ProviderError: what ``open_stream`` raises for good, such as ``ResultExpired``.
    """
    async with partial_file(path, max_bytes) as file:
        try:
            async with asyncio.timeout(deadline):
                await _receive(open_stream, file, what, expect_size)
        except TooLarge as error:
            raise DownloadBroken(
                f"{what} has {error.size} bytes or more; the limit is {max_bytes}.",
                fix="Raise STUDIO_MAX_RESULT_BYTES if results may be that large.",
            ) from error
        except Exception as error:
            if not _may_go_on(error):
                raise
            announced = f" of {expect_size}" if expect_size is not None else ""
            raise DownloadBroken(
                f"{what} is incomplete after {file.size}{announced} bytes ({error or type(error).__name__}).",
                fix="Run the same request again; the finished render is not paid twice.",
            ) from error
        _check_announced(file, what, expect_size, expect_md5)
    return WholeFile(path, file.size, file.sha256, file.md5)


async def _receive(
    open_stream: Callable[[int], AsyncIterator[bytes]], file: PartialFile, what: str, expect_size: int | None
) -> None:
    fruitless = 0

    async def leg() -> None:
        nonlocal fruitless
        start = file.size
        try:
            stream = open_stream(start)
            while True:
                async with asyncio.timeout(STALL_SECONDS):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                await file.add(chunk)
        finally:
            fruitless = 0 if file.size > start else fruitless + 1
        if expect_size is not None and file.size < expect_size:
            raise _CutShort(f"the stream ended at byte {file.size}")

    def report(state: RetryCallState) -> None:
        cause = state.outcome.exception() if state.outcome else None
        log.warning("download resumed source=%s offset=%d cause=%r", what, file.size, cause)

    backoff = wait_random_exponential(multiplier=0.2, max=5)

    def pause(state: RetryCallState) -> float:
        return max(asked_pause(state.outcome.exception() if state.outcome else None), backoff(state))

    await AsyncRetrying(
        retry=retry_if_exception(_may_go_on),
        stop=lambda _: fruitless >= FRUITLESS_ATTEMPTS,
        wait=pause,
        before_sleep=report,
        reraise=True,
    )(leg)


def _check_announced(file: PartialFile, what: str, size: int | None, md5: str | None) -> None:
    for name, announced, got in (("size", size, file.size), ("MD5", md5 and md5.lower(), file.md5)):
        if announced is not None and announced != got:
            raise DownloadBroken(
                f"{what} is not as announced: {name} {got}, expected {announced}.",
                fix="Run the same request again to download it once more; nothing was archived.",
            )
