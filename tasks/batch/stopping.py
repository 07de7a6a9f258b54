"""A polite end: after SIGTERM nothing new is begun, and what is being submitted gets its answer first.

Prefect's own handler ends the process in the middle of whatever it does. That is safe, as the ledger knows every
submission, but each one that loses its answer may need a person. As the signal is not Prefect's any more, the run says
itself whether it was cancelled.
"""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run

GRACE_SECONDS = 20.0
"""Prefect kills the process 30 s after it has asked it to end."""


class Stopping:
    """Whether the run has been asked to end."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def is_cancelled(self) -> bool:
        """Whether the run was asked to end because a person cancelled it; False when nobody asked.

        Raises:
            TerminationSignal: its process is to end for another reason, so the run is to be started again.
        """
        if not self.asked.is_set():
            return False
        try:
            async with get_client() as client:
                run = await client.read_flow_run(UUID(str(flow_run.get_id())))
        except Exception as error:
            # A server that cannot be asked must not make a run look failed that is to be started again.
            raise TerminationSignal(signal=signal.SIGTERM) from error
        if run.state is not None and (run.state.is_cancelling() or run.state.is_cancelled()):
            return True
        raise TerminationSignal(signal=signal.SIGTERM)


@contextmanager
def heed_sigterm() -> Iterator[Stopping]:
    """Note the first SIGTERM instead of dying of it; a second one does what it always did.

    Outside the main thread there are no signals, and nothing is ever asked.
    """
    stopping, loop = Stopping(), asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    before = signal.getsignal(signal.SIGTERM)

    def note(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, before)
        loop.call_soon_threadsafe(stopping.asked.set)

    signal.signal(signal.SIGTERM, note)
    try:
        yield stopping
    finally:
        signal.signal(signal.SIGTERM, before)
