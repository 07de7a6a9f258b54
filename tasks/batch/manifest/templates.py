"""Named variables in texts: ``{{name}}`` stands for the row's value; ``{{{{`` stands for two braces.

There is nothing else: no filters, no conditions, and a value that was put in is not looked at again.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from tasks.batch.manifest.columns import closest, normal

_SIGNS = re.compile(r"\{\{\{\{|\{\{(?:([^{}]{1,200})\}\})?")
_MOST_SHOWN = 12


class Unfilled(ValueError):
    """A text cannot be filled in.

    Args:
        wrong: what is wrong with it.
        fix: what to do.
    """

    def __init__(self, wrong: str, fix: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.fix = fix


class Values(NamedTuple):
    """What a row knows for its templates."""

    find: Callable[[str], str | None]
    """The value under a normalised name; empty for a cell without content, None for a name nobody has given."""
    names: Callable[[], Iterable[str]]
    """All names there are, for a message."""


def fill(text: str, values: Values) -> str:
    """Put a row's values in place of the variables of a text.

    Raises:
        Unfilled: a variable is unknown or empty, or a ``{{`` has no end.
    """
    if "{{" not in text:
        return text
    return _SIGNS.sub(lambda found: _value_of(found, values), text)


def escape(text: str) -> str:
    """A text that `fill` turns back into this one."""
    return text.replace("{{", "{{{{")


def names_in(text: str) -> Iterator[str]:
    """The normalised names of the variables in a text."""
    if "{{" in text:
        yield from (normal(name) for name in _SIGNS.findall(text) if name.strip())


def names_in_json(text: str) -> Iterator[str]:
    """The same of a line of JSON, in which letters may be written as escapes."""
    for name in names_in(text):
        try:
            yield normal(json.loads(f'"{name}"')) if "\\" in name else name
        except ValueError:
            yield name


def names_in_value(value: Any, *, at_most: int) -> set[str]:
    """The normalised names of all variables in nested lists and dicts.

    Args:
        value: what a parser gave.
        at_most: parts that are looked at; YAML can repeat a part without end.

    Raises:
        OverflowError: there are more.
    """
    found: set[str] = set()
    rest, looked = [value], 0
    while rest:
        part = rest.pop()
        looked += 1
        if looked > at_most:
            raise OverflowError(f"more than {at_most} values")
        if isinstance(part, str):
            found.update(names_in(part))
        elif isinstance(part, dict):
            rest += part.values()
        elif isinstance(part, list | tuple | set):
            rest += part
    return found


def _value_of(found: re.Match[str], values: Values) -> str:
    if found[0] == "{{{{":
        return "{{"
    written = (found[1] or "").strip()
    if not written:
        raise Unfilled("a {{ is not followed by a name and }}.", "Write {{name}}, or {{{{ for the two signs.")
    value = values.find(normal(written))
    if value:
        return value
    if value is not None:
        raise Unfilled(f"{{{{{written}}}}} is empty in this row.", f"Fill in {written}.")
    names = sorted(values.names())
    there = ", ".join(names[:_MOST_SHOWN]) + (" …" if len(names) > _MOST_SHOWN else "")
    raise Unfilled(
        f"{{{{{written}}}}} is unknown in this row.",
        f"{closest(written, names)} There are {there or 'no variables'}.".strip(),
    )
