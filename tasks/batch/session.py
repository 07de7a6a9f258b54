"""One process working on rows: the engine with everything around it that keeps and shows what it does."""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.batch.admission import Admission
from tasks.batch.book import Book
from tasks.batch.engine import Engine, Orders
from tasks.batch.intake import Beginner, Intake
from tasks.batch.progress import BatchProgress
from tasks.batch.request import ShardRequest
from tasks.batch.resuming import AcceptedOnly
from tasks.batch.row_file import RowFile
from tasks.batch.stopping import Stopping
from tasks.batch.task_runs import TaskRuns
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.ledger.opening import open_ledger

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

THREADS = 24
"""Most of them wait for the object store; Python's own number is made for much larger machines."""
LOOK_SECONDS = 1.0


async def work_on(order: ShardRequest, files: Sequence[Path], folder: Path, stopping: Stopping) -> Counter[RowState]:
    """Bring rows to their outcomes, as far as the run gets.

    Args:
        order: whose rows, and how.
        files: the rows.
        folder: room on this machine.
        stopping: whether the run has been asked to end.

    Returns:
        Rows by outcome, as this process saw them.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="batch"))
    # What was imported stays; looking through it again at every collection would stop everything for a while.
    gc.freeze()
    until = time.monotonic() + order.hours * 3600
    with closing(RowFile(files)) as rows:
        async with open_ledger() as ledger:
            return await _work(ledger, order, rows, folder=folder, stopping=stopping, until=until)


async def _work(
    ledger: "Ledger", order: ShardRequest, rows: RowFile, *, folder: Path, stopping: Stopping, until: float
) -> Counter[RowState]:
    book = Book(ledger, order.batch_id)
    admission = Admission(ledger, until=until, stopping=stopping)
    beginner, numbers = await _beginner(ledger, order, rows, folder, admission=admission, book=book)
    shown = TaskRuns(numbers, most=order.task_runs, share=1 / order.of)
    orders = Orders(order.run_id, in_flight=order.in_flight, until=until)
    engine = Engine(ledger, orders, rows, beginner=beginner, book=book, shown=shown, folder=folder, stopping=stopping)
    async with _kept(book), _progress(len(numbers), book, is_shown=order.of == 1):
        try:
            await engine.run(numbers)
        finally:
            await shown.close()
    return book.counts


async def _beginner(
    ledger: "Ledger", order: ShardRequest, rows: RowFile, folder: Path, *, admission: Admission, book: Book
) -> tuple[Beginner, Sequence[int]]:
    """How the rows are begun, and which."""
    if order.mode == "render":
        intake = Intake(rows, folder, owner=order.run_id, admission=admission, announce=book.announce)
        return intake, rows.numbers
    here = set(rows.numbers)
    accepted = [row for row in await begun_rows(ledger, order) if row.number in here]
    numbers = [row.number for row in accepted]
    return AcceptedOnly(ledger, accepted, drop=order.mode == "drop", owner=order.run_id), numbers


async def begun_rows(ledger: "Ledger", order: ShardRequest) -> list[BatchRow]:
    """All rows of the run of a batch that were begun and have no outcome that stays."""
    states = {RowState.RENDERING, RowState.UNFINISHED}
    found: list[BatchRow] = []
    while chunk := await ledger.batch_rows(
        order.batch_id, run_id=order.run_id, states=states, after=found[-1].number if found else 0
    ):
        found += chunk
    return found


@asynccontextmanager
async def _kept(book: Book) -> AsyncIterator[None]:
    """Write outcomes down while the block runs, and the last ones at its end, whatever ended it."""
    keeping = asyncio.create_task(book.keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await book.flush()


@asynccontextmanager
async def _progress(total: int, book: Book, *, is_shown: bool) -> AsyncIterator[None]:
    """Show how far the rows are while the block runs; of a part of a batch, only the run that answers for it shows."""
    progress = BatchProgress(total)

    async def look() -> Counter[RowState]:
        return book.counts

    showing = asyncio.create_task(show_while(progress, look)) if is_shown else None
    try:
        yield
    finally:
        if showing is not None:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
            await progress.show(book.counts, at_once=True)


async def show_while(progress: BatchProgress, look: Callable[[], Awaitable[Counter[RowState]]]) -> None:
    """Show progress again and again, until cancelled."""
    while True:
        await progress.show(await look())
        await asyncio.sleep(LOOK_SECONDS)
