"""Whether a dropped file is a manifest without mistakes, and what its reason file says when it is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.batch.manifest import HEAD_BYTES, RowProblem, kind_of, name_in, read_rows
from tasks.errors import RequestRefused

MOST_PROBLEMS = 1000
"""Problems that are listed; a person mends the first ones and drops the file again."""


@dataclass
class Checked:
    """What was found in a file."""

    name: str = ""
    """The batch's name as the file itself has it."""
    rows: int = 0
    """Good ones."""
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    """May be more than are listed."""

    def add_problem(self, problem: str) -> None:
        """Count a problem, and list it while there is room."""
        self.problem_count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)


def check_file(path: Path, name: str) -> Checked:
    """Read a whole file as a manifest; blocking, about a minute for 100,000 rows.

    Args:
        path: the file on this machine.
        name: what it was called, which tells its kind.
    """
    checked = Checked()
    try:
        with path.open("rb") as file:
            kind = kind_of(name, file.read(HEAD_BYTES))
        checked.name = name_in(path, kind)
        for row in read_rows(path, kind, {}):
            if isinstance(row, RowProblem):
                checked.add_problem(str(row))
            else:
                checked.rows += 1
    except RequestRefused as refusal:
        for problem in refusal.problems:
            checked.add_problem(str(problem))
    return checked


def reason_text(name: str, problems: Sequence[str], count: int) -> str:
    """What stands beside a rejected file."""
    said = "1 problem" if count == 1 else f"{count:,} problems"
    lines = [f"{name} was rejected: {said}. Nothing was rendered and nothing was spent.", "", *problems]
    if count > len(problems):
        lines.append(f"... and {count - len(problems):,} more.")
    lines += ["", f"Correct the file and drop it under inbox/ again; `studio batch check {name}` looks at it before."]
    return "\n".join(lines) + "\n"
