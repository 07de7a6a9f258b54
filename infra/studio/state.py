"""What runs, as one small JSON file that the supervisor writes and everyone may read, and the lock that guards it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from infra.studio.processes import ProcessMark

PartPhase = Literal["waiting", "starting", "ready", "restarting", "failed", "stopped"]
StudioPhase = Literal["starting", "ready", "stopping", "stopped", "failed"]


class PartState(BaseModel):
    """How one part is doing."""

    phase: PartPhase = "waiting"
    detail: str = Field("", description="The step in progress, or why it is not ready.")
    address: str = Field("", description="Where it listens, for people.")
    process: ProcessMark | None = None
    seconds: float | None = Field(None, description="From its start until it was ready.")
    restarts: int = 0


class StudioState(BaseModel):
    """How the whole studio is doing. Addresses and ports outlive it, for the next start."""

    version: str
    home: Path
    phase: StudioPhase = "starting"
    supervisor: ProcessMark
    ports: dict[str, int]
    sandbox: bool = Field(default=False, description="Whether the sandbox stands in for the paid providers.")
    parts: dict[str, PartState]
    seconds: float | None = Field(None, description="From the start of the supervisor until everything was ready.")
    error: str = Field("", description="Why the start failed.")
    fix: str = Field("", description="What a person can do about it.")


def read_state(path: Path) -> StudioState | None:
    """Read the state file; None when there is none, or one that another version wrote and nobody can read."""
    try:
        return StudioState.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_state(path: Path, state: StudioState) -> None:
    """Replace the state file at once, so that a reader never sees half of it."""
    fresh = path.with_suffix(".json.new")
    fresh.write_text(state.model_dump_json(indent=1), encoding="utf-8")
    fresh.replace(path)


@contextmanager
def held_lock(path: Path) -> Iterator[bool]:
    """Try to hold the studio's lock; yields whether it was free. The kernel frees it however the holder ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def is_running(lock_file: Path) -> bool:
    """Whether a supervisor holds the lock right now."""
    if not lock_file.exists():
        return False
    with held_lock(lock_file) as was_free:
        return not was_free
