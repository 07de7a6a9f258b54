"""What a manifest is read into: rows to render, and problems with rows."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import Problem
from tasks.models import RenderRequest


class ManifestRow(NamedTuple):
    """One video of a batch."""

    number: int
    """Counted from 1 over the rows that hold something, after the matrix has multiplied them."""
    request: RenderRequest


class RowProblem(BaseModel):
    """One thing wrong with one row, in the words of the form."""

    model_config = ConfigDict(frozen=True)

    number: int = Field(ge=1, description="Of the row, counted from 1.")
    line: int | None = Field(None, description="Where the row begins in the file; None where there are no lines.")
    column: str = Field(description="Field of the form, or column of the file.")
    wrong: str
    fix: str

    def __str__(self) -> str:
        where = f"row {self.number}" if self.line is None else f"row {self.number} (line {self.line})"
        return f"{where}, {self.column}: {self.wrong} {self.fix}".strip()


@dataclass(slots=True)
class RawRow:
    """A row as it was written, with its names made canonical and nothing checked yet."""

    line: int | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    """In the shape of the form: groups are dicts. Empty cells are not here."""
    variables: dict[str, str] = field(default_factory=dict)
    """Values for ``{{name}}``, by normalised name."""
    empty: list[tuple[str, str]] = field(default_factory=list)
    """Group and field of cells that are there and empty."""
    problems: list[Problem] = field(default_factory=list)
    """What keeps the row from being read at all; nothing else of it counts then."""


def row_problems(number: int, line: int | None, problems: Iterable[Problem]) -> list[RowProblem]:
    """The same problems, said of a row."""
    return [
        RowProblem(
            number=number,
            line=line,
            column=encodable(problem.field),
            wrong=encodable(problem.wrong),
            fix=encodable(problem.fix),
        )
        for problem in problems
    ]


def encodable(text: str) -> str:
    """A text that every encoder takes: JSON can hold halves of letters, and messages quote them."""
    return text.encode("utf-8", "replace").decode()
