"""CSV as spreadsheets write it: commas, semicolons or tabs, a ``sep=`` line, texts of several lines in quotes."""

import csv
import itertools
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tasks.batch.manifest.columns import Place, cell_reader, normal, place_of
from tasks.batch.manifest.mappings import TWICE, unknown_name
from tasks.batch.manifest.rows import RawRow
from tasks.batch.manifest.texts import SAVE_AS_UTF8, is_text, lines_of, open_text, refused
from tasks.errors import Problem, RequestRefused

NOTE = "#"
"""A column whose name begins so is for people only."""

_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'^"?sep=(?P<sign>.|\\t)"?$', re.IGNORECASE)
_MOST_HEADER_LINES = 20


class _Column(NamedTuple):
    """A column of the file: a field of the form, a variable, or neither if its cells are not read."""

    name: str
    place: Place | None = None
    read: Callable[[str], Any] = str
    variable: str = ""
    is_note: bool = False


def read_csv(path: Path, used: Collection[str]) -> Iterator[RawRow]:
    """Read the rows of a CSV file, one at a time; rows without any content are left out.

    Args:
        path: the file; its first line names the columns.
        used: normalised names that occur as ``{{name}}``.

    Raises:
        RequestRefused: the file or its header cannot be read; names every wrong column.
    """
    with open_text(path) as file:
        lines = lines_of(file, path.name)
        delimiter, header, before = _head(lines, path.name)
        # Strict, as the lenient way swallows the following rows when a quote is never closed.
        reader = csv.reader(itertools.chain(header, lines), delimiter=delimiter, strict=True, skipinitialspace=True)
        columns = _columns(reader, used, delimiter, path.name)
        yield from _rows(reader, columns, before)


def choose_delimiter(header: str) -> str:
    """The sign that makes the most known names, then the most names, of a header."""

    def score(delimiter: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
        except csv.Error:
            return 0, 0
        return sum(place_of(name) is not None for name in names), len(names)

    return max(_DELIMITERS, key=score)


def _head(lines: Iterator[str], name: str) -> tuple[str, list[str], int]:
    """The delimiter, the lines of the header, and how many lines came before it."""
    told = ""
    for before, line in enumerate(lines):
        if separator := _SEPARATOR_LINE.match(line.strip("\r\n")):
            told = "\t" if separator["sign"] == r"\t" else separator["sign"]
        elif line.strip():
            header = _whole_header(line, lines)
            return told or choose_delimiter("".join(header)), header, before
    raise refused(name, "is empty.", "Write a header and one row per video.")


def _whole_header(first: str, lines: Iterator[str]) -> list[str]:
    """A quoted name may hold a line break."""
    header, quotes = [first], first.count('"')
    for line in itertools.islice(lines, 0 if quotes % 2 == 0 else _MOST_HEADER_LINES):
        header.append(line)
        quotes += line.count('"')
        if quotes % 2 == 0:
            break
    return header


def _columns(reader: Any, used: Collection[str], delimiter: str, name: str) -> list[_Column]:
    try:
        names = next(reader)
    except csv.Error as error:
        raise refused(f"{name}, header", f"cannot be read ({error}).", "Mend the quotes.") from None
    if not all(is_text(one) for one in names):
        raise refused(f"{name}, header", "is not UTF-8 text.", SAVE_AS_UTF8)
    columns = [_column(one, used, delimiter) for one in names]
    problems = [
        unknown_name(column.name)
        for column in columns
        if column.name and not (column.place or column.variable or column.is_note)
    ]
    known = [column.place or column.variable for column in columns if column.place or column.variable]
    problems += [
        Problem(column.name, TWICE, "Keep one of the columns.")
        for number, column in enumerate(columns)
        if any((column.place, column.variable) == (other.place, other.variable) for other in columns[:number])
        and (column.place or column.variable)
    ]
    if problems and not known:
        fix = "The first line must name the columns, such as title,image,text."
        raise refused(f"{name}, header", "names no field of the form.", fix)
    if problems:
        raise RequestRefused(problems)
    return columns


def _column(written: str, used: Collection[str], delimiter: str) -> _Column:
    name = " ".join(written.split())
    if name.startswith(NOTE):
        return _Column(name, is_note=True)
    if place := place_of(name):
        return _Column(name, place, cell_reader(place, decimal_comma=delimiter in ";\t"))
    return _Column(name, variable=normal(name) if name and normal(name) in used else "")


def _rows(reader: Any, columns: list[_Column], before: int) -> Iterator[RawRow]:
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            wrong = f"the quotes do not match, up to line {before + reader.line_num} ({error})."
            fix = "Close the quotation, and double the quotes inside of it."
            yield RawRow(line, problems=[Problem("row", wrong, fix)])
            continue
        if any(cell and not cell.isspace() for cell in cells):
            yield _row(cells, columns, line)


def _row(cells: list[str], columns: list[_Column], line: int) -> RawRow:
    row = RawRow(line)
    row.problems = _cell_problems(cells, columns)
    for column, cell in zip(columns, itertools.chain(cells, itertools.repeat("")), strict=False):
        # The same text from another editor is the same video.
        text = cell.strip().replace("\r\n", "\n")
        if column.variable:
            row.variables[column.variable] = text
        elif column.place is None:
            continue
        elif not text:
            row.empty.append(column.place)
        elif column.place.group:
            row.fields.setdefault(column.place.group, {})[column.place.field] = column.read(text)
        else:
            row.fields[column.place.field] = column.read(text)
    return row


def _cell_problems(cells: list[str], columns: list[_Column]) -> list[Problem]:
    problems = [
        Problem(column.name or "(no name)", "holds bytes that are not UTF-8.", SAVE_AS_UTF8)
        for column, cell in zip(columns, cells, strict=False)
        if not is_text(cell) and not column.is_note
    ]
    nameless = [
        cell
        for cell, column in itertools.zip_longest(cells, columns)
        if cell and cell.strip() and (column is None or not column.name)
    ]
    if nameless:
        wrong = f"{nameless[0].strip()[:40]!r} has no column: the header has {len(columns)}, the row {len(cells)}."
        fix = "Put a text that holds the delimiter in quotes, or name the column."
        problems.append(Problem("row", wrong, fix))
    return problems
