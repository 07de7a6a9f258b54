"""Read a manifest row by row: requests, and what is wrong with rows that make none."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.batch.manifest.assembly import Resolve, assemble
from tasks.batch.manifest.delimited import read_csv
from tasks.batch.manifest.documents import MOST_VALUES, read_document
from tasks.batch.manifest.jsonl import read_jsonl
from tasks.batch.manifest.mappings import read_mapping
from tasks.batch.manifest.rows import ManifestRow, RawRow, RowProblem, row_problems
from tasks.batch.manifest.shared import MOST_ROWS, Shared, read_shared
from tasks.batch.manifest.templates import names_in, names_in_json, names_in_value
from tasks.batch.manifest.texts import ManifestKind, lines_of, open_text, refused

Rows = Iterator[ManifestRow | RowProblem]


def read_rows(path: Path, kind: ManifestKind, defaults: Mapping[str, Any], *, resolve: Resolve | None = None) -> Rows:
    """Read a manifest file; CSV and JSONL stream, so their length costs no memory.

    Rows are numbered from 1; a row with problems yields each of them under its number.

    Args:
        path: the file.
        kind: of file, see `kind_of`.
        defaults: shared fields, with ``variables`` and ``matrix`` if wanted; a YAML file's own defaults win over them.
        resolve: what media references become, for example addresses of uploaded files.

    Raises:
        RequestRefused: the file or the shared fields are wrong as a whole; may come at any row.
    """
    if kind == "yaml":
        yield from _document_rows(path, defaults, resolve)
        return
    used = _names_in_defaults(defaults) | _names_in_file(path, kind)
    read = read_csv if kind == "csv" else read_jsonl
    yield from _numbered(read(path, used), read_shared(defaults, used), resolve, path.name)


def read_list(
    rows: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], *, resolve: Resolve | None = None
) -> Rows:
    """Read rows that were written into the run form. Arguments and errors as for `read_rows`."""
    used = _names_in_defaults(defaults) | _names("rows", rows)
    raw = (read_mapping(row, used) for row in rows)
    yield from _numbered(raw, read_shared(defaults, used), resolve, "rows")


def name_in(path: Path, kind: ManifestKind) -> str:
    """The batch's name as the manifest itself has it; empty without one.

    Raises:
        RequestRefused: the file is wrong as a whole.
    """
    return " ".join(read_document(path).name.split())[:200] if kind == "yaml" else ""


def _document_rows(path: Path, defaults: Mapping[str, Any], resolve: Resolve | None) -> Rows:
    document = read_document(path)
    used = _names_in_defaults(defaults) | document.used
    outer, inner = read_shared(defaults, used), read_shared(document.defaults, used, document.matrix)
    # The empty row is what a matrix alone multiplies.
    rows = [{}] if document.rows is None else document.rows
    yield from _numbered((read_mapping(row, used) for row in rows), outer.under(inner), resolve, path.name)


def _numbered(rows: Iterable[RawRow], shared: Shared, resolve: Resolve | None, name: str) -> Rows:
    number = 0
    for row in rows:
        for one in shared.multiply(row):
            number += 1
            if number > MOST_ROWS:
                raise refused(name, f"holds more than {MOST_ROWS} rows.", "Split it into several files.")
            request = assemble(one, shared, resolve)
            if isinstance(request, list):
                yield from row_problems(number, one.line, request)
            else:
                yield ManifestRow(number, request)
    if not number:
        raise refused(name, "holds no rows.", "Write one row per video.")


def _names_in_file(path: Path, kind: ManifestKind) -> set[str]:
    """Variables may be used in any row, and columns are judged before the first one."""
    find = names_in_json if kind == "jsonl" else names_in
    with open_text(path) as file:
        return {name for line in lines_of(file, path.name) for name in find(line)}


def _names_in_defaults(defaults: Mapping[str, Any]) -> set[str]:
    return _names("defaults", defaults) if defaults else set()


def _names(what: str, value: Any) -> set[str]:
    try:
        return names_in_value(value, at_most=MOST_VALUES)
    except OverflowError:
        raise refused(what, f"hold more than {MOST_VALUES} values.", "Write a manifest file instead.") from None
