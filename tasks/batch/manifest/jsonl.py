"""JSONL: one row a line, an object each."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from tasks.batch.manifest.mappings import read_mapping
from tasks.batch.manifest.rows import RawRow
from tasks.batch.manifest.texts import SAVE_AS_UTF8, is_text, lines_of, open_text
from tasks.errors import Problem


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no value of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_jsonl(path: Path, used: Collection[str]) -> Iterator[RawRow]:
    """Read the rows of a JSONL file, one at a time; blank lines are left out.

    Args:
        path: the file.
        used: normalised names that occur as ``{{name}}``.

    Raises:
        RequestRefused: the file cannot be read.
    """
    with open_text(path) as file:
        for number, line in enumerate(lines_of(file, path.name), start=1):
            if line.strip():
                yield _row(line, number, used)


def _row(line: str, number: int, used: Collection[str]) -> RawRow:
    if not is_text(line):
        return RawRow(number, problems=[Problem("row", "holds bytes that are not UTF-8.", SAVE_AS_UTF8)])
    try:
        given = _DECODER.decode(line.strip())
    except RecursionError:
        return RawRow(number, problems=[Problem("row", "is nested too deep.", "Write the fields of the form.")])
    except ValueError as error:
        wrong = f"is not valid JSON: {error}."
        return RawRow(number, problems=[Problem("row", wrong, "Write one object a line, in double quotes.")])
    return read_mapping(given, used, line=number)
