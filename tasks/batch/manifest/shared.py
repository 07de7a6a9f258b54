"""What all rows of a manifest share: fields, variables, and the matrix that multiplies rows."""

import itertools
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.batch.manifest.columns import GROUPS, VARIABLES, Place, normal
from tasks.batch.manifest.mappings import read_mapping
from tasks.batch.manifest.overlay import overlay
from tasks.batch.manifest.rows import RawRow
from tasks.batch.manifest.texts import refused
from tasks.errors import Problem, RequestRefused

MATRIX = "matrix"
MOST_ROWS = 1_000_000
"""In a batch."""


@dataclass(frozen=True)
class Shared:
    """What rows have in common; their own fields win."""

    fields: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    axes: list[list[RawRow]] = field(default_factory=list)
    """One list of settings per dimension of the matrix, in the written order."""

    @property
    def times(self) -> int:
        """How many videos a row becomes."""
        return math.prod(len(axis) for axis in self.axes)

    def under(self, inner: "Shared") -> "Shared":
        """What a manifest's own shared fields make of these, which come from around it."""
        return Shared(
            overlay(self.fields, inner.fields), {**self.variables, **inner.variables}, [*self.axes, *inner.axes]
        )

    def multiply(self, row: RawRow) -> Iterator[RawRow]:
        """The row with each combination of the matrix; the last dimension changes fastest."""
        if not self.axes or row.problems:
            yield row
            return
        for combination in itertools.product(*self.axes):
            yield _joined([row, *combination])


def read_shared(defaults: object, used: Collection[str], matrix: object = None) -> Shared:
    """Read the shared fields of a manifest; they may hold ``variables`` and a ``matrix`` of their own.

    Args:
        defaults: fields as in a row.
        used: normalised names that occur as ``{{name}}``.
        matrix: dimensions by name, each with a list of values, or of mappings that set several fields at once.

    Raises:
        RequestRefused: naming every wrong field.
    """
    if not isinstance(defaults, Mapping):
        raise refused("defaults", "must hold fields and values.", "Give fields such as avatar and speech by name.")
    own = dict(defaults)
    axes = [*_axes(own.pop(MATRIX, None), used), *_axes(matrix, used)]
    row = read_mapping(own, used)
    problems = [*_named("defaults", row), *(one for axis in axes for value in axis for one in _named(MATRIX, value))]
    if problems:
        raise RequestRefused(problems)
    shared = Shared(row.fields, row.variables, axes)
    if shared.times > MOST_ROWS:
        raise refused(MATRIX, f"makes {shared.times} videos of a row; the limit is {MOST_ROWS}.", "Split it.")
    return shared


def _named(part: str, row: RawRow) -> list[Problem]:
    return [Problem(f"{part}, {problem.field}", problem.wrong, problem.fix) for problem in row.problems]


def _axes(matrix: object, used: Collection[str]) -> Iterator[list[RawRow]]:
    if matrix is None:
        return
    if not isinstance(matrix, Mapping):
        raise refused(MATRIX, "must hold names and lists.", "Write matrix: {language: [en, de]}.")
    for name, values in matrix.items():
        if not isinstance(values, list) or not values:
            raise refused(f"{MATRIX}.{name}", "must be a list with at least one value.", "Write the values in [ ].")
        yield [_setting(str(name), value, used) for value in values]


def _setting(name: str, value: object, used: Collection[str]) -> RawRow:
    """One value of a dimension. A mapping sets what it names, unless the dimension is itself a group of fields."""
    is_group = normal(name) in GROUPS | {VARIABLES}
    return read_mapping(value if isinstance(value, Mapping) and not is_group else {name: value}, used)


def _joined(parts: list[RawRow]) -> RawRow:
    """Several parts of one row as one; what two of them set is a problem, as one would be lost."""
    joined = RawRow(parts[0].line, empty=[place for part in parts for place in part.empty])
    for part in parts:
        for name, value in part.fields.items():
            if isinstance(value, dict):
                group = joined.fields.setdefault(name, {})
                _add(joined, group, value, name)
            else:
                _add(joined, joined.fields, {name: value}, "")
        _add(joined, joined.variables, part.variables, "")
    return joined


def _add(row: RawRow, target: Any, values: dict[str, Any], group: str) -> None:
    for name, value in values.items():
        path = Place(group, name).path
        if not isinstance(target, dict) or target.get(name) not in (None, ""):
            row.problems.append(Problem(path, "is set twice, by the row and by the matrix.", "Set it in one place."))
        else:
            target[name] = value
