"""One retry loop and one translation of errors for everything that is asked of the object store."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_delay, wait_random_exponential

from tasks.errors import StorageError
from tasks.storage.failures import SDK_ERRORS, explain, is_passing

T = TypeVar("T")
LONGEST_PAUSE = 5

log = logging.getLogger("studio.storage")


class Calls:
    """Runs blocking SDK calls in threads and repeats them while the store does not answer.

    Every call that passes through here may be repeated: writes are of whole objects or numbered parts.

    Args:
        endpoint: host and port, for messages.
        patience: seconds after which no further attempt is made.
    """

    def __init__(self, endpoint: str, patience: float) -> None:
        self.endpoint = endpoint
        self.patience = patience

    def attempts(self, doing: str, where: str) -> AsyncRetrying:
        """The loop itself, for work that keeps state between attempts."""

        def report(state: RetryCallState) -> None:
            cause = state.outcome.exception() if state.outcome else None
            log.warning(
                "object store call repeated doing=%r object=%s attempt=%d cause=%s",
                doing,
                where,
                state.attempt_number,
                cause,
            )

        return AsyncRetrying(
            retry=retry_if_exception(is_passing),
            stop=stop_after_delay(self.patience),
            wait=wait_random_exponential(multiplier=0.2, max=LONGEST_PAUSE),
            before_sleep=report,
            reraise=True,
        )

    async def repeat(self, doing: str, where: str, call: Callable[[], T]) -> T:
        """Run one call; raises the SDK's error when it does not pass."""
        return await self.attempts(doing, where)(asyncio.to_thread, call)

    async def run(self, doing: str, where: str, call: Callable[[], T]) -> T:
        """Run one call; raises ``StorageError``."""
        with self.explained(doing, where):
            return await self.repeat(doing, where, call)

    @contextlib.contextmanager
    def explained(self, doing: str, where: str) -> Iterator[None]:
        """Turn the SDK's errors into the studio's."""
        try:
            yield
        except SDK_ERRORS as error:
            raise self.explain(error, doing, where) from error

    def explain(self, error: Exception, doing: str, where: str) -> StorageError:
        """The error a person reads."""
        return explain(error, doing, where, self.endpoint, self.patience)
