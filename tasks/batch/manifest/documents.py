"""Manifests that are read as a whole: YAML, and JSON with one list or object."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tasks.batch.manifest.columns import closest
from tasks.batch.manifest.templates import names_in_value
from tasks.batch.manifest.texts import SAVE_AS_UTF8, is_text, open_text, refused
from tasks.nesting import shallow_events

MOST_SIGNS = 16_000_000
"""In a document, which is held in memory as a whole, at many times its size."""
MOST_VALUES = 2_000_000
"""In a document; a few lines of YAML can repeat themselves into any number."""

_FOR_MANY_ROWS = "Write large manifests as CSV or JSONL."
_PARTS = ("name", "defaults", "matrix", "rows")
# What YAML's parser raises about odd values, beside its own errors.
_PARSER_ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)


@dataclass(frozen=True)
class Document:
    """A manifest of one piece."""

    name: str = ""
    defaults: dict[str, Any] = field(default_factory=dict)
    matrix: Any = None
    rows: list[Any] | None = None
    used: set[str] = field(default_factory=set)
    """Normalised names of all variables in its texts."""


class _Loader(yaml.CSafeLoader):
    """Takes `no` for Norwegian and a date for a text, as people who write scripts mean them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool"))]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def read_document(path: Path) -> Document:
    """Read a list of rows, or a mapping with name, defaults, matrix and rows.

    Raises:
        RequestRefused: it is too large or not valid, or has other parts.
    """
    raw = read_values(path)
    try:
        used = names_in_value(raw, at_most=MOST_VALUES)
    except OverflowError:
        raise refused(path.name, f"holds more than {MOST_VALUES} values.", _FOR_MANY_ROWS) from None
    if isinstance(raw, list):
        return Document(rows=raw, used=used)
    if not isinstance(raw, Mapping):
        raise refused(path.name, "holds no rows.", "Write a list of rows, or name, defaults, matrix and rows.")
    _check_parts(path.name, raw)
    return Document(
        name=str(raw.get("name") or ""),
        defaults=raw.get("defaults") or {},
        matrix=raw.get("matrix"),
        rows=raw.get("rows"),
        used=used,
    )


def read_values(path: Path) -> Any:
    """Read a YAML or JSON file as it is.

    Raises:
        RequestRefused: it is too large or not valid.
    """
    text = _read(path)
    with contextlib.suppress(ValueError, RecursionError):
        # YAML's parser would take the letters of JSON's escapes apart.
        return json.loads(text)
    try:
        for _event in shallow_events(text, _Loader):
            pass
        return yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except _PARSER_ERRORS as error:
        raise refused(path.name, f"is not valid: {_told(error)}.", "Mend that line.") from None


def _read(path: Path) -> str:
    try:
        with open_text(path) as file:
            text = file.read(MOST_SIGNS + 1)
    except UnicodeError as error:
        raise refused(path.name, f"is no text ({error}).", SAVE_AS_UTF8) from None
    if len(text) > MOST_SIGNS:
        raise refused(path.name, f"is longer than {MOST_SIGNS} signs.", _FOR_MANY_ROWS)
    for number, line in enumerate([] if is_text(text) else text.splitlines(), start=1):
        if not is_text(line):
            raise refused(f"{path.name}, line {number}", "holds bytes that are not UTF-8.", SAVE_AS_UTF8)
    return text


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _check_parts(name: str, raw: Mapping[Any, Any]) -> None:
    for part in raw:
        if part not in _PARTS:
            hint = closest(part, _PARTS) or "Put fields that all rows share under defaults."
            raise refused(f"{name}, {part}", f"is none of {', '.join(_PARTS)}.", hint)
    if raw.get("defaults") is not None and not isinstance(raw["defaults"], Mapping):
        raise refused(f"{name}, defaults", "must hold fields and values.", "Write defaults: {language: en}.")
    if raw.get("rows") is not None and not isinstance(raw["rows"], list):
        raise refused(f"{name}, rows", "must be a list.", "Begin each row with a hyphen.")
    if raw.get("rows") is None and not raw.get("matrix"):
        raise refused(name, "holds neither rows nor a matrix.", "Write rows, one per video.")
