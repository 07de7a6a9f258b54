"""The normalised form of a manifest: one JSON line per row, in files of equal length, with a digest that names it."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from pydantic import ValidationError

from tasks.batch.manifest.rows import ManifestRow, RowProblem
from tasks.batch.manifest.templates import escape
from tasks.batch.manifest.texts import refused
from tasks.models import RenderRequest

MOST_PROBLEMS = 100
"""Problems that are kept; all are counted."""
BATCH_ID_DIGITS = 32


@dataclass(frozen=True)
class Normalised:
    """A manifest on disk as the batch engine reads it."""

    batch_id: str
    """First hex digits of the sha256 over all lines."""
    rows: int
    shards: list[Path]
    problems: list[RowProblem] = field(default_factory=list)
    """The first of them."""
    problem_count: int = 0
    bad_rows: int = 0
    """Rows that have problems."""


def given_fields(request: RenderRequest) -> dict[str, Any]:
    """What was given of a request, as plain values that make the same request again."""
    return request.model_dump(mode="json", exclude_unset=True)


def normalise(
    rows: Iterable[ManifestRow | RowProblem],
    target_folder: Path,
    shard_size: int,
    *,
    most_problems: int | None = MOST_PROBLEMS,
) -> Normalised:
    """Write rows to ``rows-0001.jsonl`` and so on; equal rows make equal bytes, and so the same batch id.

    Rows with problems are left out and counted. Memory does not grow with the rows.

    Args:
        rows: as `read_rows` yields them.
        target_folder: made if it is not there.
        shard_size: most rows in a file.
        most_problems: so many are kept, the first ones; None keeps all.

    Raises:
        RequestRefused: the manifest is wrong as a whole.
        OSError: the files cannot be written.
    """
    target_folder.mkdir(parents=True, exist_ok=True)
    problems: list[RowProblem] = []
    count = problem_count = bad_rows = last_bad = 0
    digest = hashlib.sha256()
    with _Shards(target_folder, shard_size) as shards:
        for row in rows:
            if isinstance(row, RowProblem):
                problem_count += 1
                # The problems of one row come one after another.
                bad_rows += row.number != last_bad
                last_bad = row.number
                if most_problems is None or len(problems) < most_problems:
                    problems.append(row)
                continue
            line = _line(row)
            digest.update(line)
            shards.write(line)
            count += 1
    return Normalised(digest.hexdigest()[:BATCH_ID_DIGITS], count, shards.paths, problems, problem_count, bad_rows)


def read_shard(path: Path) -> Iterator[ManifestRow]:
    """Read one of the files that `normalise` wrote, row by row.

    Raises:
        RequestRefused: it was written by another version, or damaged.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                yield ManifestRow(int(row["number"]), RenderRequest.model_validate(row["request"]))
            except (ValueError, TypeError, LookupError, ValidationError) as error:
                told = " ".join(str(error).split())[:200]
                fix = "Run the batch from its manifest again."
                raise refused(f"{path.name}, line {number}", f"is no row of this version ({told}).", fix) from None


def _line(row: ManifestRow) -> bytes:
    record = {"number": row.number, "request": given_fields(row.request)}
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def manifest_line(request: RenderRequest) -> str:
    """A request as a line of a JSONL manifest, for whoever writes one; braces in its texts stay what they are."""
    return json.dumps(_escaped(given_fields(request)), ensure_ascii=False)


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _escaped(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return escape(value) if isinstance(value, str) else value


class _Shards:
    """Files that are begun when the one before is full."""

    def __init__(self, folder: Path, size: int) -> None:
        self.paths: list[Path] = []
        self._folder = folder
        self._size = size
        self._room = 0
        self._stack = ExitStack()
        self._file: BinaryIO

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, line: bytes) -> None:
        if self._room == 0:
            self._stack.close()
            path = self._folder / f"rows-{len(self.paths) + 1:04d}.jsonl"
            self._file = self._stack.enter_context(path.open("wb"))
            self.paths.append(path)
            self._room = self._size
        self._file.write(line)
        self._room -= 1
