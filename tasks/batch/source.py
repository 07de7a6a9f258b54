"""From what a person gave to the rows of a batch: read, checked, and kept in the archive for its runs."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.batch.manifest import HEAD_BYTES, Normalised, RowProblem, Rows, kind_of, normalise, read_list, read_rows
from tasks.batch.request import BatchRequest, ShardRequest
from tasks.blocks import load_store
from tasks.errors import Problem, RequestRefused
from tasks.ledger.batch_models import Batch, BatchRow, RowState
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings
from tasks.staging import split_reference
from tasks.step import step
from tasks.storage import ObjectMissing, ObjectStore

MANIFEST_LIMIT = 512 * 1024 * 1024
SHOWN_PROBLEMS = 20
MOST_PROBLEMS = 100


class Prepared(BaseModel):
    """A batch whose rows are read, and kept in the archive."""

    model_config = ConfigDict(frozen=True)

    batch: Batch
    files: list[Path]
    """The rows on this machine, a file per shard."""
    skipped: list[BatchRow]
    """Outcomes of the rows that cannot be rendered."""


def rows_key(batch_id: str, shard_size: int, shard: int) -> str:
    """Where the rows of a shard are kept in the archive bucket; another division of the same batch is beside it."""
    return f"batches/{batch_id}/rows/{shard_size}/{shard:04d}.jsonl"


def report_prefix(batch_id: str, run_id: str) -> str:
    """Where the report of a run is kept in the archive bucket."""
    return f"batches/{batch_id}/runs/{run_id}"


@step("read the manifest")
async def prepare_batch(request: BatchRequest, folder: Path, run_id: str) -> Prepared:
    """Read and check all rows, before anything is uploaded or paid.

    Args:
        request: what a person asks for.
        folder: room on this machine for the life of the run.
        run_id: flow run that answers for the batch.

    Raises:
        RequestRefused: the manifest cannot be read, or has rows with mistakes that are not to be skipped.
        StorageError: the object store does not answer.
    """
    store = await load_store(get_settings().storage_block)
    rows = await _rows(request, store, folder)
    most = None if request.bad_rows == "skip" else MOST_PROBLEMS
    found = await asyncio.to_thread(normalise, rows, folder / "rows", request.shard_size, most_problems=most)
    _refuse_if_wrong(found, request)
    for number, path in enumerate(found.shards, start=1):
        key = rows_key(found.batch_id, request.shard_size, number)
        await store.put_file(store.archive_bucket, key, path, content_type="application/x-ndjson")
    skipped = _skipped(found.problems, run_id)
    now = datetime.now(UTC)
    batch = Batch(
        id=found.batch_id,
        name=request.name or Path(request.manifest).stem or "rows of the form",
        source=request.manifest,
        rows=found.rows + found.bad_rows,
        run_id=run_id,
        created_at=now,
        updated_at=now,
    )
    async with open_ledger() as ledger:
        kept = await ledger.open_batch(batch)
        await ledger.note_rows(batch.id, skipped)
    return Prepared(batch=kept, files=found.shards, skipped=skipped)


async def _rows(request: BatchRequest, store: ObjectStore, folder: Path) -> Rows:
    if request.rows:
        return read_list(request.rows, request.defaults)
    bucket, key = split_reference(request.manifest)
    if bucket not in get_settings().readable_buckets:
        allowed = ", ".join(sorted(get_settings().readable_buckets))
        raise _refused(f"the bucket {bucket!r} may not be read from.", f"Put the file into one of {allowed}.")
    local = folder / "manifest"
    try:
        await store.get_file(bucket, key, local, limit=MANIFEST_LIMIT)
    except ObjectMissing:
        fix = "Check the spelling, or upload it: studio batch run FILE."
        raise _refused(f"{request.manifest} does not exist.", fix) from None
    with local.open("rb") as file:
        kind = kind_of(key, file.read(HEAD_BYTES))
    return read_rows(local, kind, request.defaults)


def _refuse_if_wrong(found: Normalised, request: BatchRequest) -> None:
    if found.problem_count and (request.bad_rows == "refuse" or not found.rows):
        shown = [Problem(f"row {p.number}, {p.column}", p.wrong, p.fix) for p in found.problems[:SHOWN_PROBLEMS]]
        if (more := found.problem_count - len(shown)) > 0:
            fix = "`studio batch check FILE` lists them; bad_rows: skip renders the others."
            shown.append(Problem("manifest", f"has {more} more problems.", fix))
        raise RequestRefused(shown)
    if not found.rows:
        raise _refused("it has no rows.", "Write one video per row.")


def _refused(wrong: str, fix: str) -> RequestRefused:
    return RequestRefused([Problem("manifest", wrong, fix)])


def _skipped(problems: list[RowProblem], run_id: str) -> list[BatchRow]:
    """The outcomes of rows with mistakes, each with all of its problems."""
    by_row: dict[int, list[RowProblem]] = {}
    for problem in problems:
        by_row.setdefault(problem.number, []).append(problem)
    return [
        BatchRow(
            number=number,
            run_id=run_id,
            state=RowState.FAILED,
            reason=" ".join(f"{problem.column}: {problem.wrong}" for problem in found),
            fix=" ".join(problem.fix for problem in found),
            updated_at=datetime.now(UTC),
        )
        for number, found in by_row.items()
    ]


@step("bring the rows")
async def bring_rows(order: ShardRequest, folder: Path) -> list[Path]:
    """The rows of the shards that are meant, as files on this machine.

    Raises:
        RequestRefused: the batch is not in the archive.
    """
    store = await load_store(get_settings().storage_block)
    paths = []
    for shard in order.shards:
        path = folder / f"rows-{shard:04d}.jsonl"
        try:
            key = rows_key(order.batch_id, order.shard_size, shard)
            await store.get_file(store.archive_bucket, key, path, limit=MANIFEST_LIMIT)
        except ObjectMissing:
            fix = "Run the batch from its manifest again."
            raise RequestRefused(
                [Problem("batch_id", f"there is no shard {shard} of {order.batch_id}.", fix)]
            ) from None
        paths.append(path)
    return paths
