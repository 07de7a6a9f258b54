"""Finding and ending the studio's own processes, and never anybody else's.

A process is the studio's when its environment names this home folder and a part of the studio. A process id alone
proves nothing: ids are used again.
"""

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel

PART_VARIABLE = "STUDIO_PART"
"""Set in the environment of every process of a studio; together with STUDIO_HOME it says whose it is."""

_SAME_START_SECONDS = 2.0
"""The start time is derived from the wall clock, which may be adjusted meanwhile."""


class ProcessMark(BaseModel):
    """One process, told apart from a later one that got the same id."""

    pid: int
    created: float


def mark_of(pid: int) -> ProcessMark:
    """Note a living process.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    return ProcessMark(pid=pid, created=psutil.Process(pid).create_time())


def find(mark: ProcessMark | None) -> psutil.Process | None:
    """The marked process, or None when it has ended, even if its id is in use again."""
    if mark is None:
        return None
    try:
        process = psutil.Process(mark.pid)
        same = abs(process.create_time() - mark.created) < _SAME_START_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def processes_of_part(home: Path, part: str) -> list[psutil.Process]:
    """Living processes that were started as, or by, one part of the studio in this home folder."""
    return [process for process, name in _marked(home) if name == part]


def studio_processes(home: Path) -> list[psutil.Process]:
    """All living processes of the studio in this home folder with all their children, the caller's line excepted."""
    found = {process.pid: process for process, _ in _marked(home)}
    spared = _own_line()
    # Renderers of foreign files start with an empty environment; they are known by their parents.
    for process in list(found.values()):
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {child.pid: child for child in process.children(recursive=True) if child.pid not in spared}
    return list(found.values())


def _marked(home: Path) -> Iterator[tuple[psutil.Process, str]]:
    spared = _own_line()
    for process in psutil.process_iter():
        # Other people's processes do not show their environment, and some end while we look.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            environment = process.environ()
            part = environment.get(PART_VARIABLE)
            if part and environment.get("STUDIO_HOME") == str(home) and process.pid not in spared:
                yield process, part


def _own_line() -> set[int]:
    """The caller and its ancestors; a command may be given from inside a run."""
    me = psutil.Process()
    return {me.pid, *(ancestor.pid for ancestor in me.parents())}


def end(processes: Iterable[psutil.Process], *, grace_seconds: float) -> list[psutil.Process]:
    """Ask processes to stop, kill those that do not within the time. Returns those that had to be killed."""
    asked = list(processes)
    _signal(asked, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(asked, timeout=grace_seconds)
    _signal(stubborn, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=5)
    return list(stubborn)


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def wait_gone(mark: ProcessMark, *, seconds: float) -> bool:
    """Wait until a process has ended; False when it has not in time. Works for processes of other parents."""
    deadline = time.monotonic() + seconds
    while find(mark) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def describe(process: psutil.Process) -> str:
    """Name and id of a process, for people."""
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"
