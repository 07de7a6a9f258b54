"""The supervisor's notes on what runs, written to the state file at every change."""

import time
from importlib.metadata import version
from typing import Any

from infra.studio.config import StudioConfig
from infra.studio.state import PartState, StudioPhase, StudioState, write_state


class Board:
    """Keeps the state of the studio, in memory and on disk.

    Args:
        config: whose state file.
        state: the first state.
    """

    def __init__(self, config: StudioConfig, state: StudioState) -> None:
        self._path = config.state_file
        self._began = time.monotonic()
        self.state = state
        self._write()

    def part(self, name: str, **changes: Any) -> None:
        """Note a change of one part."""
        self.state.parts[name] = self.state.parts.get(name, PartState()).model_copy(update=changes)
        self._write()

    def phase(self, phase: StudioPhase, *, error: str = "", fix: str = "") -> None:
        """Note a change of the whole."""
        self.state.phase = phase
        if error:
            self.state.error, self.state.fix = error, fix
        if phase == "ready":
            self.state.seconds = time.monotonic() - self._began
        self._write()

    def _write(self) -> None:
        write_state(self._path, self.state)


def installed_version() -> str:
    """Version of the studio in this environment."""
    return version("digital-human-studio")
