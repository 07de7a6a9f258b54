"""From a row as it was written to a request: shared fields, templates, media addresses, the form's own checks."""

from collections.abc import Callable
from typing import Any

from tasks.batch.manifest.columns import GROUPS, Place, closest, normal, place_of
from tasks.batch.manifest.overlay import overlay
from tasks.batch.manifest.rows import RawRow
from tasks.batch.manifest.shared import Shared
from tasks.batch.manifest.templates import Unfilled, Values, fill
from tasks.errors import Problem, RequestRefused
from tasks.form import TELLING
from tasks.models import RenderRequest
from tasks.request import read_request

MEDIA = (Place("avatar", "image"), Place("avatar", "video"), Place("speech", "audio"))
"""The fields that name media."""

Resolve = Callable[[str, str], str | Problem]
"""Turns a media reference into the address that the request is to hold: field, reference → address or what is wrong."""

_MISSING = {
    "avatar": "Fill one of avatar.image, avatar.video, avatar.avatar_id and avatar.custom_avatar_id, here or in the "
    "shared fields.",
    "speech": "Fill speech.text or speech.audio, here or in the shared fields.",
}
_NO_FIELD = "is not a field of this form."


def assemble(row: RawRow, shared: Shared, resolve: Resolve | None = None) -> RenderRequest | list[Problem]:
    """Make the request of one row, or say everything that is wrong with it.

    Args:
        row: what the row itself says.
        shared: what all rows share.
        resolve: what media references become; None leaves them.
    """
    if row.problems:
        return row.problems
    try:
        fields = overlay(shared.fields, row.fields)
        problems = _fill_fields(fields, _values(row, shared))
        if resolve is not None:
            problems += _resolve_media(fields, resolve)
        if problems:
            return problems
        _show_empty_cells(fields, row)
        return read_request(fields)
    except RequestRefused as refused:
        return [_in_a_row(problem) for problem in refused.problems]
    except RecursionError:
        return [Problem("row", "is nested too deep.", "Write the fields of the form.")]


def _values(row: RawRow, shared: Shared) -> Values:
    def find(name: str) -> str | None:
        told = row.variables.get(name) or shared.variables.get(name)
        if told:
            return told
        place = place_of(name)
        if place is None:
            return "" if name in row.variables or name in shared.variables else None
        group = row.fields.get(place.group) if place.group else row.fields
        value = group.get(place.field) if isinstance(group, dict) else None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        return "" if (place.group, place.field) in row.empty else None

    def names() -> set[str]:
        own = {Place("", name) for name in row.fields if name not in GROUPS}
        own |= {Place(name, inner) for name, value in row.fields.items() if isinstance(value, dict) for inner in value}
        return {*row.variables, *shared.variables, *(place.path for place in own)}

    return Values(find, names)


def _fill_fields(fields: dict[str, Any], values: Values) -> list[Problem]:
    """Fill in all texts, in place. Deeper parts than the form has are left to the form, which refuses them."""
    problems: list[Problem] = []

    def filled(path: str, value: Any) -> Any:
        if isinstance(value, str) and "{{" in value:
            try:
                return fill(value, values)
            except Unfilled as error:
                problems.append(Problem(path, error.wrong, error.fix))
        return value

    for name, value in fields.items():
        if isinstance(value, dict):
            for inner, part in value.items():
                value[inner] = filled(f"{name}.{inner}", part)
        elif isinstance(value, list):
            fields[name] = [filled(f"{name}.{number}", part) for number, part in enumerate(value)]
        else:
            fields[name] = filled(name, value)
    return problems


def _resolve_media(fields: dict[str, Any], resolve: Resolve) -> list[Problem]:
    problems = []
    for group, name in MEDIA:
        part = fields.get(group)
        reference = part.get(name) if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(reference, str) or not reference.strip():
            continue
        address = resolve(f"{group}.{name}", reference.strip())
        if isinstance(address, Problem):
            problems.append(address)
        else:
            part[name] = address
    return problems


def _show_empty_cells(fields: dict[str, Any], row: RawRow) -> None:
    """Where a choice cannot be told, show the form the empty cells that could have told it, so that it names them."""
    for group, name in row.empty:
        if name not in TELLING or not _MISSING.get(group):
            continue
        part = fields.setdefault(group, {})
        if isinstance(part, dict) and not any(part.get(telling) for telling in (*TELLING, "kind")):
            part[name] = ""


def _in_a_row(problem: Problem) -> Problem:
    """The form speaks of its own fields and of the command line for one video."""
    field, wrong, fix = problem.field, problem.wrong, problem.fix
    place = place_of(field)
    if field in _MISSING and wrong == "is missing.":
        fix = _MISSING[field]
    elif wrong == _NO_FIELD and place is not None:
        wrong, fix = f"does not go with this kind of {place.group}.", "Leave it empty in this row."
    elif wrong == _NO_FIELD:
        fix = closest(field) or fix
    return Problem(normal(field) if place else field, wrong, fix.replace("`studio render`", "`studio batch run`"))
