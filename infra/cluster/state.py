"""What a running cluster tells about itself: one private file, replaced at every change."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

STATE_FILE = "cluster.json"

Phase = Literal["waiting", "starting", "ready", "done", "stopped", "restarting"]


class MemberState(BaseModel):
    """How one process is doing."""

    phase: Phase = "waiting"
    pid: int | None = None
    restarts: int = 0


class ClusterState(BaseModel):
    """How the whole is doing."""

    phase: Literal["starting", "ready", "stopping", "stopped", "failed"] = "starting"
    launcher: int
    members: dict[str, MemberState]
    addresses: dict[str, str]
    """For people, by what they lead to."""
    environment: dict[str, str]
    """For the command line and for programs that use the cluster from this machine: a worker's own."""
    answered: int = 0
    """Number of the last request that was carried out."""
    error: str = ""
    fix: str = ""


def read_state(folder: Path) -> ClusterState | None:
    """Read the state; None when there is none."""
    try:
        return ClusterState.model_validate_json((folder / STATE_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_state(folder: Path, state: ClusterState) -> None:
    """Replace the file at once, so that a reader never sees half of it."""
    fresh = folder / f"{STATE_FILE}.new"
    # Holds the passwords of the cluster.
    fresh.touch(mode=0o600)
    fresh.write_text(state.model_dump_json(indent=1), encoding="utf-8")
    fresh.replace(folder / STATE_FILE)
