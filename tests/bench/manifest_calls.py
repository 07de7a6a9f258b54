"""What the bench of manifests calls, each in a process of its own."""

import csv
import json
import os
from pathlib import Path

from tasks.batch.manifest import normalise as normalise_rows
from tasks.batch.manifest import read_rows
from tasks.batch.preview import preview as look_at
from tasks.errors import Problem
from tasks.settings import get_settings

STAND_IN = "s3://staging/presenter.png"


def plain(*, sheet: str, folder: str) -> int:
    """Turn the sheet into JSON lines with the standard library."""
    count = 0
    with (
        Path(sheet).open(newline="", encoding="utf-8-sig") as file,
        (Path(folder) / "rows.jsonl").open("w", encoding="utf-8") as lines,
    ):
        for row in csv.DictReader(file, delimiter=";"):
            lines.write(json.dumps(row) + "\n")
            count += 1
    return count


def normalise(*, sheet: str, folder: str) -> str:
    """Read, check and normalise the sheet."""
    found = normalise_rows(read_rows(Path(sheet), "csv", {}, resolve=_stand_in), Path(folder), 2000)
    return f"{found.rows} rows in {len(found.shards)} files, {found.problem_count} problems"


async def preview(*, sheet: str, folder: str) -> str:
    """Preview the sheet over an empty ledger."""
    os.environ["STUDIO_HOME"] = folder
    get_settings.cache_clear()
    local: dict[str, Path] = {}

    def resolve(field: str, reference: str) -> str | Problem:
        local[STAND_IN] = Path(reference)
        return _stand_in(field, reference)

    rows = read_rows(Path(sheet), "csv", {}, resolve=resolve)
    seen = await look_at(rows, Path(folder), tell=lambda *_: None, local=local)
    return f"{seen.rows} rows, {seen.problem_count} problems, {seen.videos} videos"


def _stand_in(_field: str, _reference: str) -> str:
    return STAND_IN
