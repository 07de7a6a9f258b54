"""Text files as spreadsheets and editors write them: which kind of manifest, which encoding, which lines."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, TextIO

from tasks.batch.manifest.columns import place_of
from tasks.errors import Problem, RequestRefused

ManifestKind = Literal["csv", "jsonl", "yaml"]

MOST_SIGNS = 1_000_000
"""In one line; a row's longest text has 20,000."""
HEAD_BYTES = 4096
"""How much of a file tells its kind."""

SAVE_AS_UTF8 = "Save the file as UTF-8; in Excel choose 'CSV UTF-8 (comma delimited)'."

_EXTENSIONS: dict[str, ManifestKind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".yaml": "yaml",
    ".yml": "yaml",
}
# By their first bytes.
_FOREIGN = {
    b"PK\x03\x04": "an Excel workbook or another packed file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a compressed file",
    b"\xff\xfe\x00\x00": "text in UTF-32",
    b"\x00\x00\xfe\xff": "text in UTF-32",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_YAML_START = re.compile(r"^(---|#.*|- .*|-|(name|defaults|matrix|rows)\s*:.*)$")


def kind_of(name: str, head: bytes) -> ManifestKind:
    """Which kind of manifest a file is: by its extension, else by its content.

    Args:
        name: file name, path or key.
        head: the first bytes of it, `HEAD_BYTES` if there are as many.

    Raises:
        RequestRefused: it is none, or empty.
    """
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            raise refused(name, f"is {what}.", "Save the sheet as 'CSV UTF-8 (comma delimited)'.")
    if not head.strip():
        raise refused(name, "is empty.", "Write a header and one row per video.")
    if b"\x00" in head and not head.startswith(_UTF16):
        raise refused(name, "is not a text file.", "Give a CSV, JSONL or YAML file.")
    extension = PurePosixPath(name.casefold()).suffix
    kind = _EXTENSIONS.get(extension) or _kind_by_content(_decoded(head))
    if kind is None:
        raise refused(name, "is no manifest of a known kind.", "Give a CSV, JSONL or YAML file.")
    return kind


def _decoded(head: bytes) -> str:
    return head.decode("utf-16" if head.startswith(_UTF16) else "utf-8-sig", errors="replace").strip()


def _kind_by_content(text: str) -> ManifestKind | None:
    first, _, rest = text.partition("\n")
    first = first.strip()
    if first.startswith("{"):
        whole_rows = first.endswith("}") and (not rest.strip() or rest.lstrip().startswith("{"))
        return "jsonl" if whole_rows else "yaml"
    if first.startswith("[") or _YAML_START.match(first):
        return "yaml"
    names = re.split(r"[,;\t|]", first)
    is_header = first.casefold().startswith("sep=") or any(place_of(name.strip('" ')) for name in names)
    return "csv" if is_header else None


def open_text(path: Path) -> TextIO:
    """Open a manifest: UTF-8 with or without a mark, or UTF-16 with one. Line ends stay as they are.

    In UTF-8, bytes that are no text come as lone surrogates; see `is_text`.

    Raises:
        RequestRefused: the file cannot be read, or is in UTF-32.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
        if head in _FOREIGN:
            raise refused(path.name, f"is {_FOREIGN[head]}.", SAVE_AS_UTF8)
        if head.startswith(_UTF16):
            return path.open(encoding="utf-16", newline="")
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise refused(path.name, f"cannot be read ({error.strerror}).", "Check its name and rights.") from None


def lines_of(file: TextIO, name: str) -> Iterator[str]:
    """The lines of a text with their ends.

    Raises:
        RequestRefused: a line is too long for a row, or the text is damaged.
    """
    number = 0
    try:
        while line := file.readline(MOST_SIGNS + 1):
            number += 1
            if len(line) > MOST_SIGNS:
                raise refused(f"{name}, line {number}", f"is longer than {MOST_SIGNS} signs.", "Write one row a line.")
            yield line
    except UnicodeError as error:
        raise refused(f"{name}, line {number + 1}", f"is no text ({error}).", SAVE_AS_UTF8) from None


def is_text(text: str) -> bool:
    """Whether there are no halves of letters in a text, as bytes leave them that are not UTF-8."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def refused(where: str, wrong: str, fix: str) -> RequestRefused:
    """A refusal of the whole file."""
    return RequestRefused([Problem(where, wrong, fix)])
