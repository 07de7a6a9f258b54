"""The engine of a batch in a process that watches itself, called by the bench of memory."""

import asyncio
import ctypes
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from tasks.batch.request import ShardRequest
from tasks.batch.session import work_on
from tasks.batch.stopping import Stopping
from tasks.ledger.batch_models import Batch
from tasks.ledger.opening import open_ledger
from tests.servers.sandbox_control import SandboxControl

LOOK_SECONDS = 1.0
BEAT_SECONDS = 0.02
LONG_STALL_SECONDS = 0.1
_PAGE = 4096


@dataclass
class Watchdog:
    """How late the event loop was, and what the process held. Bytes, and seconds."""

    stall: float = 0.0
    stall_cpu: float = 0.0
    """Processor time of the loop's own thread during the longest stall: without any, it was not the loop's fault."""
    stalls: int = 0
    longest_collection: float = 0.0
    """Of Python's garbage, during which nothing else runs."""
    memory: list[tuple[float, int]] = field(default_factory=list)
    _collecting: float = 0.0

    async def beat(self) -> None:
        """Sleep and see how much later than asked it wakes up, until cancelled."""
        while True:
            began, worked = time.perf_counter(), time.thread_time()
            await asyncio.sleep(BEAT_SECONDS)
            late = time.perf_counter() - began - BEAT_SECONDS
            self.stalls += late > LONG_STALL_SECONDS
            if late > self.stall:
                self.stall, self.stall_cpu = late, time.thread_time() - worked

    def collected(self, phase: str, _info: dict[str, int]) -> None:
        """Time a collection of garbage; called before and after each."""
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self.longest_collection = max(self.longest_collection, time.perf_counter() - self._collecting)

    async def look(self) -> None:
        """Note the resident memory again and again, until cancelled."""
        while True:
            self.memory.append((time.time(), resident_bytes()))
            await asyncio.sleep(LOOK_SECONDS)


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE


async def fly(
    *, sandbox: str, warm_up: str, crowd: str, number: int, with_video: int, render_seconds: list[float]
) -> dict[str, Any]:
    """Work on a small batch, and then on a large one under watch.

    Args:
        sandbox: its address.
        warm_up: file of the small batch's rows.
        crowd: file of the large batch's rows.
        number: how many these are.
        with_video: how many of their renders end with a video.
        render_seconds: shortest and longest time of a render.
    """
    control = SandboxControl(sandbox)
    control.settings(render_seconds_low=1, render_seconds_high=2)
    await _work(Path(warm_up), number)
    gc.collect()
    # What the small batch has left free would be used by the large one, and hide what that one needs.
    ctypes.CDLL(None).malloc_trim(0)
    control.settings(render_seconds_low=render_seconds[0], render_seconds_high=render_seconds[1])
    control.arm("topview", "submit", "fail", number - with_video)
    async with _watched() as watchdog:
        counts = await _work(Path(crowd), number)
    return {
        "memory": watchdog.memory,
        "stall": watchdog.stall,
        "stall_cpu": watchdog.stall_cpu,
        "stalls": watchdog.stalls,
        "longest_collection": watchdog.longest_collection,
        "counts": counts,
    }


async def _work(rows: Path, in_flight: int) -> dict[str, int]:
    """Work on all rows of a file as a batch of their own."""
    batch_id, run_id, now = uuid4().hex, str(uuid4()), datetime.now(UTC)
    batch = Batch(id=batch_id, name=rows.stem, rows=in_flight, run_id=run_id, created_at=now, updated_at=now)
    async with open_ledger() as ledger:
        await ledger.open_batch(batch)
    # As one of two parts, of which only the run that answers for both would show progress.
    order = ShardRequest(batch_id=batch_id, run_id=run_id, shard=1, of=2, in_flight=in_flight, task_runs=0)
    with TemporaryDirectory() as folder:
        counts = await work_on(order, [rows], Path(folder), Stopping())
    return {str(state): count for state, count in counts.items() if count}


@asynccontextmanager
async def _watched() -> AsyncIterator[Watchdog]:
    watchdog = Watchdog()
    gc.callbacks.append(watchdog.collected)
    tasks = [asyncio.create_task(watchdog.beat()), asyncio.create_task(watchdog.look())]
    try:
        yield watchdog
    finally:
        gc.callbacks.remove(watchdog.collected)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
