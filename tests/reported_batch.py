"""A batch whose rows ended in every way there is, for the tests of its report."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tasks.ledger.batch_models import HAS_VIDEO, Batch, BatchRow, RowState
from tasks.poster import write_poster
from tasks.storage import ObjectStore
from tests.media_files import write_clip

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
RUN = "0b7c1f5e-6f0a-4d9e-9a40-3f1f6f0b2c11"
BATCH_ID = "5d41402abc4b2a76b9719d911017c592"
CLIPS = 4


def make_batch(rows: int, **changes: Any) -> Batch:
    """A batch of so many rows."""
    facts = {
        "id": BATCH_ID,
        "name": "Season's greetings",
        "source": "s3://archive/done/2026-11-21/greetings.csv",
        "rows": rows,
        "run_id": RUN,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Batch.model_validate(facts | changes)


def make_row(number: int, state: RowState, **facts: Any) -> BatchRow:
    """One row; one with a video has all that belongs to it."""
    if state in HAS_VIDEO:
        clip = number % CLIPS
        facts = {
            "render_key": f"{number:064x}",
            "provider": "topview",
            "video": f"s3://archive/clips/{clip}.mp4",
            "poster": f"s3://archive/clips/{clip}.jpg",
            "manifest": f"s3://archive/clips/{clip}.json",
            "seconds": 2.0,
            "estimate": Decimal("1.50") if state is RowState.DONE else None,
            "unit": "credits" if state is RowState.DONE else "",
        } | facts
    facts = {"title": f"Greeting for guest {number}", "run_id": RUN, "updated_at": NOW} | facts
    return BatchRow(number=number, state=state, **facts)


async def each(rows: Iterable[BatchRow]) -> AsyncIterator[BatchRow]:
    """The rows as the ledger gives them."""
    for row in rows:
        yield row


async def store_clips(store: ObjectStore, folder: Path) -> None:
    """Put the videos and posters that ``make_row`` names into the archive bucket."""
    for number in range(CLIPS):
        clip = write_clip(folder / f"{number}.mp4", seconds=2, size=(160, 90 + 40 * number))
        poster = write_poster(clip, folder / f"{number}.jpg")
        await store.put_file("archive", f"clips/{number}.mp4", clip, content_type="video/mp4")
        await store.put_file("archive", f"clips/{number}.jpg", poster, content_type="image/jpeg")
