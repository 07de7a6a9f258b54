"""An event loop whose clock jumps to the next timer: an hour of waiting takes as long as what happens in it."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class _Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Never waits; notes how long it should have."""

    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("everything waits for something that no timer brings")
        self.jumped += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code without threads and sockets."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run work to its end on a clock of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def virtual_now() -> datetime:
    """The present moment of the running virtual loop."""
    return BEGIN + timedelta(seconds=asyncio.get_running_loop().time())
