"""The cues of a rundown one by one, each with its number in the record and its name in messages."""

from collections.abc import Iterator
from typing import NamedTuple

from tasks.errors import Problem
from tasks.show.rundown import LoopCue, Rundown, SimpleCue


class Place(NamedTuple):
    """A simple cue in its rundown."""

    number: str
    """1-based, such as 3, or 3.2 inside a loop."""
    field: str
    """What messages call it, such as cues.3 or cues.3.loop.2."""
    cue: SimpleCue

    def problem(self, name: str, wrong: str, fix: str) -> Problem:
        """Something wrong with one of its fields."""
        return Problem(f"{self.field}.{name}", wrong, fix)


def places(rundown: Rundown) -> Iterator[Place]:
    """All simple cues in their order; those of a loop once."""
    for index, cue in enumerate(rundown.cues, start=1):
        if isinstance(cue, LoopCue):
            yield from (
                Place(f"{index}.{inner}", f"cues.{index}.loop.{inner}", looped)
                for inner, looped in enumerate(cue.loop, start=1)
            )
        else:
            yield Place(str(index), f"cues.{index}", cue)
