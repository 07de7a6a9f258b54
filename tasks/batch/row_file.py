"""The rows of a batch on disk: read one after another, and again by number, so that none stays in memory."""

import json
from array import array
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NamedTuple

from tasks.models import RenderRequest


class _Place(NamedTuple):
    """Where a row is."""

    file: int
    offset: int


class RowFile:
    """Normalised rows, one JSON object a line with ``number`` and ``request``.

    Args:
        paths: the files, in order; they stay as they are while this is used.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._stack = ExitStack()
        self._files: list[BinaryIO] = [self._stack.enter_context(path.open("rb")) for path in paths]
        self._places: dict[int, _Place] = {}
        self.numbers: Sequence[int] = array("Q", self._index())
        """The row numbers, in the order of the manifest."""

    def _index(self) -> list[int]:
        numbers = []
        for index, file in enumerate(self._files):
            offset = 0
            for line in file:
                number = int(json.loads(line)["number"])
                self._places[number] = _Place(index, offset)
                numbers.append(number)
                offset += len(line)
        return numbers

    def request(self, number: int) -> RenderRequest:
        """The request of a row."""
        place = self._places[number]
        file = self._files[place.file]
        file.seek(place.offset)
        return RenderRequest.model_validate(json.loads(file.readline())["request"])

    def close(self) -> None:
        """Close the files."""
        self._stack.close()
