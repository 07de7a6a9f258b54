"""What people, clocks and signals want of a show that is on air; the performance looks here between its steps."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict

from tasks.show.contract import PlannedCue

T = TypeVar("T")


class EndKind(StrEnum):
    """How a show came to its end."""

    DONE = "all cues performed"
    HARD_END = "hard end"
    STOPPED = "stopped by a person"
    ASKED = "its process was asked to end"
    CUE_FAILED = "a cue failed"
    STREAM_ENDED = "the stream ended"
    BROKEN = "the show broke"


AS_WISHED = frozenset({EndKind.DONE, EndKind.HARD_END, EndKind.STOPPED})
"""Ends that somebody wanted."""


class Ending(BaseModel):
    """Why nothing more is performed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    how: EndKind
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.how}: {self.reason}" if self.reason else str(self.how)


class CutKind(StrEnum):
    """What the cue on air is cut for."""

    SKIP = "skipped by a person"
    INTERRUPT = "interrupted by a person"
    SAY = "something else was said instead"


class Control:
    """The wishes that have not been fulfilled yet, and those that hold on. For one event loop."""

    def __init__(self) -> None:
        self.is_held = False
        self.ending: Ending | None = None
        self._cut: CutKind | None = None
        self._skips = 0
        self._skips_ahead = 0
        self._says: deque[PlannedCue] = deque()
        self._news = asyncio.Event()

    def hold(self) -> None:
        """Begin no further cue of the rundown."""
        self.is_held = True
        self._news.set()

    def resume(self) -> None:
        """Go on with the rundown."""
        self.is_held = False
        self._news.set()

    def cut(self, kind: CutKind) -> None:
        """End the cue on air now; every further skip is about one more cue of the rundown."""
        if kind is CutKind.SKIP:
            self._skips += 1
        else:
            self._cut = kind
        self._news.set()

    def say(self, cue: PlannedCue, *, queue: bool) -> None:
        """Perform a cue that is not in the rundown, after the one on air or instead of the rest of it."""
        self._says.append(cue)
        if not queue:
            self._cut = CutKind.SAY
        self._news.set()

    def end(self, ending: Ending) -> None:
        """Perform nothing more. The first reason stays."""
        self.ending = self.ending or ending
        self._news.set()

    def take_cut(self, *, speaks: bool) -> CutKind | None:
        """Why the cue on air is to be cut, once. Only a skip ends a cue that says nothing.

        Args:
            speaks: whether something is being said.
        """
        cut, self._cut = self._cut, None
        if self._skips:
            self._skips -= 1
            return CutKind.SKIP
        return cut if speaks else None

    def take_skip(self) -> bool:
        """Whether the next cue of the rundown is to be passed over, once for every skip that has cut nothing yet."""
        self.forget_cut()
        if not self._skips_ahead:
            return False
        self._skips_ahead -= 1
        return True

    def next_say(self) -> PlannedCue | None:
        """What somebody asked to be said, once."""
        return self._says.popleft() if self._says else None

    def take_unsaid(self) -> list[PlannedCue]:
        """All that somebody asked to be said and nobody has begun to say, once."""
        unsaid, self._says = list(self._says), deque()
        return unsaid

    def forget_cut(self) -> None:
        """A cue begins. A wish to cut was about the one on air when it came; skips beyond that one stay."""
        self._cut = None
        self._skips_ahead += self._skips
        self._skips = 0

    async def news(self) -> None:
        """Wait for a wish that came since the last wait began; look at the wishes before waiting again."""
        await self._news.wait()
        self._news.clear()


async def unless_ended(control: Control, work: Coroutine[Any, Any, T]) -> T | None:
    """Wait for something, or for the end of the show; None when that came first."""
    doing = asyncio.ensure_future(work)
    try:
        while control.ending is None and not doing.done():
            news = asyncio.create_task(control.news())
            await asyncio.wait({doing, news}, return_when=asyncio.FIRST_COMPLETED)
            await let_go(news)
        return await doing if doing.done() else None
    finally:
        await let_go(doing)


async def let_go(task: "asyncio.Future[Any]") -> None:
    """Cancel a task and wait until it has ended; what became of it does not matter any more."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
