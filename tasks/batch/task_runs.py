"""What the run's page shows of the rows: a task run per row of a small batch, per group of rows of a large one.

One Prefect server takes in 20 to 35 task runs a second; a burst of some thousands overflows its queue, and finished
task runs then show as running for ever. So their number is bounded and they begin one after another.
"""

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from tasks.ledger.batch_models import HAS_VIDEO, BatchRow, RowState

GROUPS = 100
"""Task runs of a batch that has too many rows for one each."""
BEGUN_A_SECOND = 8.0
"""Of the server's 20 to 35 a second, leaving room for other runs."""
SHOWN_REASONS = 5
CLOSE_SECONDS = 10.0

log = logging.getLogger("studio.batch")


class _Group:
    """Some rows in a row, and what has become of them."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.left = size
        self.is_over = asyncio.Event()
        self._counts: Counter[RowState] = Counter()
        self._reasons: list[str] = []

    def count(self, row: BatchRow) -> None:
        """Count a row that has ended."""
        self._counts[row.state] += 1
        if row.state not in HAS_VIDEO:
            self._reasons.append(f"row {row.number}: {row.reason}")
        self.left -= 1
        if self.left == 0:
            self.is_over.set()

    def state(self) -> State[Any]:
        """How it ended."""
        told = ", ".join(f"{count} {state}" for state, count in self._counts.items()) or "nothing was begun"
        if self.left:
            told += f", {self.left} left"
        if self._reasons or self.left:
            reasons = "; ".join(self._reasons[:SHOWN_REASONS])
            return Failed(name="Partly done" if self._videos() else "No video", message=f"{told}. {reasons}")
        return Completed(message=told)

    def _videos(self) -> int:
        return sum(self._counts[state] for state in HAS_VIDEO)


class TaskRuns:
    """Shows rows as task runs; a batch that is called without Prefect shows none.

    Args:
        numbers: of all rows, in order.
        most: up to so many rows each has a task run of its own.
        share: part of the server's pace that is this process's, as other shards run beside it.
    """

    def __init__(self, numbers: Sequence[int], *, most: int, share: float = 1.0) -> None:
        self._groups: dict[int, _Group] = {}
        self._shown: list[asyncio.Task[None]] = []
        self._begun: set[_Group] = set()
        self._is_closing = asyncio.Event()
        self._pause = 1 / (BEGUN_A_SECOND * share)
        self._next = time.monotonic()
        self._is_watched = FlowRunContext.get() is not None and bool(numbers)
        if self._is_watched:
            size = 1 if len(numbers) <= most else math.ceil(len(numbers) / GROUPS)
            for first in range(0, len(numbers), size):
                chunk = numbers[first : first + size]
                name = f"row {chunk[0]}" if size == 1 else f"rows {chunk[0]} to {chunk[-1]}"
                self._groups |= dict.fromkeys(chunk, _Group(name, len(chunk)))

    def begin(self, number: int) -> None:
        """A row is being worked on."""
        group = self._groups.get(number)
        if group is not None and group not in self._begun:
            self._begun.add(group)
            self._shown.append(asyncio.create_task(self._show(group)))

    def end(self, row: BatchRow) -> None:
        """A row has its outcome."""
        if group := self._groups.get(row.number):
            group.count(row)

    async def close(self) -> None:
        """Give every task run its last state, also where rows were left; what was not shown yet is not any more."""
        self._is_closing.set()
        for group in self._begun:
            group.is_over.set()
        if not self._shown:
            return
        done, late = await asyncio.wait(self._shown, timeout=CLOSE_SECONDS)
        for shown in late:
            shown.cancel()
        for shown in done:
            if not shown.cancelled() and (error := shown.exception()):
                log.warning("rows not shown error=%r", error)

    async def _show(self, group: _Group) -> None:
        now = time.monotonic()
        self._next = max(now, self._next) + self._pause
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_closing.wait(), self._next - self._pause - now)
            return

        @task(name="rows", task_run_name=group.name)
        async def rows() -> State[Any]:
            await group.is_over.wait()
            return group.state()

        shown: Any = rows
        await shown(return_state=True)
