"""Work that goes on while calls are answered."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("studio.sandbox")


class Background:
    """Tasks that nobody waits for until the end; a crash of one is logged."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Do something in the background."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def stop(self) -> None:
        """Drop what is being done."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("left unfinished what=%s", task.get_name(), exc_info=task.exception())
