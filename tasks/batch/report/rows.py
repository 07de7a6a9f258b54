"""The rows of a report: every row of the manifest once, in chunks, and what they add up to."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal

from tasks.ledger.batch_models import HAS_VIDEO, Batch, BatchRow, RowState

CHUNK_ROWS = 500

_SUBMITTED = frozenset({RowState.RENDERING, RowState.DONE, RowState.UNFINISHED})
"""States in which a provider has accepted something that has a price, known or not."""


async def whole_chunks(batch: Batch, rows: AsyncIterator[BatchRow]) -> AsyncIterator[list[BatchRow]]:
    """Yield the rows in chunks; a number of the manifest without a record becomes a row that was not started.

    Args:
        batch: says how many rows there are.
        rows: by number, each at most once.
    """
    chunk: list[BatchRow] = []
    expected = 1
    async for row in rows:
        for number in range(expected, row.number):
            chunk.append(_unrecorded(batch, number))
            if len(chunk) >= CHUNK_ROWS:
                yield chunk
                chunk = []
        chunk.append(row)
        if len(chunk) >= CHUNK_ROWS:
            yield chunk
            chunk = []
        expected = row.number + 1
    for first in range(expected, batch.rows + 1, CHUNK_ROWS):
        if chunk:
            yield chunk
        chunk = [_unrecorded(batch, number) for number in range(first, min(first + CHUNK_ROWS, batch.rows + 1))]
    if chunk:
        yield chunk


def _unrecorded(batch: Batch, number: int) -> BatchRow:
    return BatchRow(number=number, run_id=batch.run_id, state=RowState.NOT_STARTED, updated_at=batch.updated_at)


@dataclass
class Cost:
    """What some renders of one provider will probably cost in one unit."""

    renders: int = 0
    expected: Decimal = Decimal(0)


@dataclass
class Tally:
    """What the rows add up to."""

    counts: Counter[RowState] = field(default_factory=Counter)
    costs: dict[tuple[str, str | None], Cost] = field(default_factory=lambda: defaultdict(Cost))
    """By provider and unit; None for renders whose price is not known."""
    seconds: float = 0
    """Length of all videos."""
    poster: str = ""
    """s3:// address of the first poster."""

    def add(self, row: BatchRow) -> None:
        """Count one row."""
        self.counts[row.state] += 1
        if row.state in HAS_VIDEO:
            self.seconds += row.seconds or 0
            self.poster = self.poster or row.poster
        if row.estimate is not None or (row.state in _SUBMITTED and row.provider):
            cost = self.costs[row.provider, None if row.estimate is None else row.unit]
            cost.renders += 1
            cost.expected += row.estimate or 0

    @property
    def videos(self) -> int:
        """Rows with a finished video."""
        return sum(self.counts[state] for state in HAS_VIDEO)
