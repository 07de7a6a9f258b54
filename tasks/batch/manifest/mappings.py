"""Rows that are written with names and values: lines of JSON, parts of YAML, and what the run form sends."""

from collections.abc import Collection, Mapping

from tasks.batch.manifest.columns import GROUPS, VARIABLES, Place, closest, normal, place_of, split_tags
from tasks.batch.manifest.rows import RawRow, encodable
from tasks.errors import Problem

NOT_A_ROW = "must be a group of fields (a JSON object)."
TWICE = "is given twice."


def read_mapping(given: object, used: Collection[str], *, line: int | None = None) -> RawRow:
    """Bring a row into the shape of the form; its fields may be nested, dotted, or short.

    Args:
        given: the row as a parser gave it.
        used: normalised names that occur as ``{{name}}``; other names that are no fields are refused.
        line: where the row begins.
    """
    row = RawRow(line)
    if not isinstance(given, Mapping):
        row.problems.append(Problem("row", NOT_A_ROW, "Give its fields by name."))
        return row
    for name, value in given.items():
        group = normal(name)
        if group == VARIABLES:
            _add_variables(row, value)
        elif group in GROUPS and isinstance(value, Mapping):
            for inner, inner_value in value.items():
                put(row, place_of(f"{group}.{inner}") or Place(group, str(inner)), inner_value)
        elif group in GROUPS:
            put(row, Place("", group), value)
        elif place := place_of(name):
            put(row, place, split_tags(value) if place.field == "tags" and isinstance(value, str) else value)
        elif group in used:
            _add_variable(row, str(name), value)
        else:
            row.problems.append(unknown_name(str(name)))
    return row


def put(row: RawRow, place: Place, value: object) -> None:
    """Set a field of a row; what is empty counts as not given."""
    if is_empty(value):
        row.empty.append((place.group, place.field))
        return
    target = row.fields
    if place.group:
        target = row.fields.setdefault(place.group, {})
        if not isinstance(target, dict):
            row.problems.append(Problem(place.group, TWICE, "Write it once."))
            return
    if place.field in target:
        row.problems.append(Problem(place.path, TWICE, "Write it once."))
        return
    target[place.field] = value


def is_empty(value: object) -> bool:
    """Whether a value counts as not given."""
    return value is None or (isinstance(value, str) and not value.strip())


def unknown_name(name: str) -> Problem:
    """A name that is no field, and that no text asks for."""
    shown = encodable(name.strip()[:60]) or "(empty name)"
    hint = closest(name) or f"Remove it, or write {{{{{shown}}}}} where its value belongs."
    return Problem(shown, f"is neither a field nor used as {{{{{shown}}}}} in a text.", hint)


def _add_variables(row: RawRow, value: object) -> None:
    if not isinstance(value, Mapping):
        row.problems.append(Problem(VARIABLES, "must hold names and values.", "Write variables: {name: Anna}."))
        return
    for name, one in value.items():
        _add_variable(row, str(name), one)


def _add_variable(row: RawRow, name: str, value: object) -> None:
    shown = encodable(name.strip()[:60])
    if is_empty(value):
        text = ""
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        text = str(value).strip()
    else:
        row.problems.append(Problem(shown, "must be a text or a number.", "Put the value in quotes."))
        return
    if normal(name) in row.variables:
        row.problems.append(Problem(shown, TWICE, "Write it once."))
        return
    row.variables[normal(name)] = text
