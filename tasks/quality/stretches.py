"""Stretches of time in which something holds, collected on the fly."""

from pydantic import BaseModel, ConfigDict


class Stretch(BaseModel):
    """From and to, in seconds from the start of the video."""

    model_config = ConfigDict(frozen=True)

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Length of the stretch."""
        return self.end - self.start

    def __str__(self) -> str:
        return f"{self.start:.1f}-{self.end:.1f} s"


class StretchFinder:
    """Joins moments at which a condition holds into stretches, and drops the short ones.

    Args:
        shortest: seconds from which a stretch counts.
    """

    def __init__(self, shortest: float) -> None:
        self._shortest = shortest
        self._since: float | None = None
        self._found: list[Stretch] = []

    def add(self, time: float, *, holds: bool) -> None:
        """Take the next moment, in order."""
        if holds and self._since is None:
            self._since = time
        elif not holds and self._since is not None:
            self._close(time)

    def finish(self, end: float) -> list[Stretch]:
        """Close the last stretch at the end of the video and return all of them."""
        if self._since is not None:
            self._close(end)
        return self._found

    def _close(self, end: float) -> None:
        if self._since is not None and end - self._since >= self._shortest:
            self._found.append(Stretch(start=round(self._since, 3), end=round(end, 3)))
        self._since = None
