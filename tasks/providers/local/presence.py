"""Which process serves a spool, and whether it still lives."""

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tasks.errors import StudioUnavailable
from tasks.providers.local.spool import write_whole

_FRESH_SECONDS = 15.0
_KILL_SECONDS = 5.0


def pool_is_alive(spool: Path) -> bool:
    """Whether a pool serves this spool and has shown so in the last seconds."""
    beat = spool / "pool.json"
    try:
        fresh = time.time() - beat.stat().st_mtime < _FRESH_SECONDS
        facts = json.loads(beat.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return fresh and is_running(facts["pid"], facts["started"])


@contextlib.contextmanager
def lock_spool(root: Path) -> Iterator[None]:
    """Hold the spool for this process; the kernel lets go when the process ends, however it ends."""
    with (root / "pool.lock").open("a+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudioUnavailable(
                f"another pool already serves {root}.",
                fix="One is enough: raise STUDIO_LOCAL_POOL_SIZE for more renders at a time, or stop the other.",
            ) from error
        yield


@contextlib.contextmanager
def show_heartbeat(root: Path) -> Iterator[Path]:
    """Show that and as which process this pool lives."""
    beat = root / "pool.json"
    write_whole(beat, json.dumps({"pid": os.getpid(), "started": started_at(os.getpid())}).encode())
    yield beat
    beat.unlink(missing_ok=True)


def started_at(pid: int) -> float | None:
    """When a living process was started, seconds since the epoch; None if none has this number, or only a dead one."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def is_running(pid: int, started: float) -> bool:
    """Whether this very process lives, and not another that got its number."""
    now = started_at(pid)
    return now is not None and abs(now - started) < 1


def kill_exactly(pid: int, started: float) -> None:
    """Kill this very process if it still lives, and wait until it does not.

    Raises:
        StudioUnavailable: it cannot be ended.
    """
    end = time.monotonic() + _KILL_SECONDS
    while is_running(pid, started):
        if time.monotonic() > end:
            raise StudioUnavailable(f"an old renderer, process {pid}, cannot be ended.", fix="End it and start again.")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
