"""The parts' log files: the last lines of one, and a cap on their size."""

import shutil
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
_TAIL_BYTES = 16 * 1024


def last_lines(path: Path, *, count: int = 15, since: int = 0) -> list[str]:
    """The last lines of a log, from a byte offset on; empty when there is none."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(since if since <= end else 0, end - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-count:]


def cap_size(path: Path) -> None:
    """Keep one older copy of a log that grew too large and empty it; its writer must append."""
    if path.exists() and path.stat().st_size > MAX_BYTES:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        # The writer keeps its handle: emptying the file is the only way that needs no restart.
        with path.open("r+b") as log:
            log.truncate(0)
