"""A rundown file, YAML or JSON, as the names and values it holds: nothing in it is guessed or silently dropped."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from tasks.errors import Problem, RequestRefused
from tasks.nesting import shallow_events

LARGEST_BYTES = 1024 * 1024
"""Five hundred cues of the longest text are shorter."""

_SAVE_AS_UTF8 = "Save the file as UTF-8."
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# What YAML's parser raises about odd values, beside its own errors.
_PARSER_ERRORS = (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)


class _Loader(yaml.CSafeLoader):
    """Leaves texts as they are written: `no`, a date, `0012` and `1.50` are texts until a field wants another."""


_Loader.yaml_implicit_resolvers = {}
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^(?:0|-?[1-9][0-9]{0,17})$"), list("-0123456789"))


class _GivenTwice(Exception):
    """A name stands twice in one group of a JSON file."""


def read_document(path: Path) -> dict[str, Any]:
    """Read a file that holds one group of fields.

    Args:
        path: UTF-8 with or without a mark, or UTF-16 with one, of at most ``LARGEST_BYTES``.

    Raises:
        RequestRefused: it cannot be read, is no YAML or JSON, holds something else, gives a name twice, or refers to
            itself by YAML's aliases.
    """
    text = _text(path)
    if not text.strip():
        raise _refused("the file is empty.", "Write fields such as avatar, room and cues.")
    values = _read_json(text) if text.lstrip().startswith("{") else None
    if values is None:
        values = _read_yaml(text)
    if not isinstance(values, dict):
        raise _refused("the file does not hold a rundown.", "Write fields such as avatar, room and cues.")
    return values


def _text(path: Path) -> str:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise _refused(f"{str(path)!r} cannot be read ({error.strerror}).", "Name a YAML or JSON file.") from None
    if len(body) > LARGEST_BYTES:
        raise _refused(f"the file has {len(body)} bytes; the limit is {LARGEST_BYTES}.", "Divide the show.")
    try:
        text = body.decode("utf-16" if body.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _refused(f"line {line} holds bytes that are no text.", _SAVE_AS_UTF8) from None
    if "\0" in text:
        raise _refused("it is not a text file.", "Name a YAML or JSON file.")
    return text


def _read_json(text: str) -> Any:
    """The values of JSON, None where it is none: YAML's flow style begins the same way."""
    try:
        # YAML's parser would take the letters of JSON's escapes apart.
        return json.loads(text, object_pairs_hook=_once)
    except _GivenTwice as twice:
        raise _refused(f"{str(twice)!r} is given twice in one group.", "Write it once.") from None
    except (ValueError, RecursionError):
        return None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    group = dict(pairs)
    if len(group) < len(pairs):
        names = [name for name, _ in pairs]
        raise _GivenTwice(next(name for name in names if names.count(name) > 1))
    return group


def _read_yaml(text: str) -> Any:
    try:
        _check_shape(text)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            _check_names(root)
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except _PARSER_ERRORS as error:
        raise _refused(f"the file is not valid: {_told(error)}.", "Mend that line.") from None


def _check_shape(text: str) -> None:
    """Refuse depth, several documents, and aliases, with which a few lines can stand for any number of values."""
    documents = 0
    for event in shallow_events(text, _Loader):
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise _refused(f"{_line(event)} begins a second rundown (---).", "Write one show into a file.")
        if isinstance(event, yaml.AliasEvent):
            raise _refused(f"{_line(event)} repeats something by an alias (*).", "Write it out, or use a loop.")


def _check_names(root: yaml.Node) -> None:
    """Refuse a name that is given twice in a group: YAML would keep the last."""
    todo = [root]
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.SequenceNode):
            todo += node.value
        elif isinstance(node, yaml.MappingNode):
            names: set[str] = set()
            for name, value in node.value:
                if not isinstance(name, yaml.ScalarNode):
                    raise _refused(f"{_line(name)} has a group where a name belongs.", "Write name: value.")
                if name.value in names:
                    raise _refused(f"{_line(name)} gives {name.value!r} a second time.", "Write it once.")
                names.add(name.value)
                todo.append(value)


def _line(part: yaml.Node | yaml.Event) -> str:
    mark = part.start_mark
    return "the file" if mark is None else f"line {mark.line + 1}"


def _told(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem or error.context}"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _refused(wrong: str, fix: str) -> RequestRefused:
    return RequestRefused([Problem("file", wrong, fix)])
