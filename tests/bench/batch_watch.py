"""What the processes of flow runs cost: time, processor time, memory. Read from the kernel while they live."""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

SAMPLE_SECONDS = 0.3
_SETTLED_SECONDS = 3.0
"""A process that has just been forked still has its parent's environment."""
_MIB = 1024 * 1024


@dataclass
class ProcessFacts:
    """One process. Memory in MiB."""

    began: float
    seen: float
    cpu_seconds: float = 0.0
    peak: float = 0.0
    """Most resident memory, as the kernel recorded it."""
    share: float = 0.0
    """Most proportional memory that was seen: pages that processes share are split between them."""

    @property
    def lived(self) -> float:
        """Seconds from its start to the last time that it was seen."""
        return self.seen - self.began


@dataclass
class Watched:
    """All processes of the watched runs."""

    processes: dict[int, ProcessFacts] = field(default_factory=dict)
    peak_share: float = 0.0
    """Most proportional memory of all of them together, MiB."""

    @property
    def process_seconds(self) -> float:
        """How long they lived, added up."""
        return sum(facts.lived for facts in self.processes.values())

    @property
    def cpu_seconds(self) -> float:
        """Processor time of all of them."""
        return sum(facts.cpu_seconds for facts in self.processes.values())

    @property
    def peak(self) -> float:
        """Most resident memory of one of them, MiB."""
        return max((facts.peak for facts in self.processes.values()), default=0.0)


class FlowWatch:
    """Looks at the processes that execute flow runs, in a thread, for the length of a block.

    The last moments of a process, up to ``SAMPLE_SECONDS``, are not seen.

    Args:
        name: of an environment variable of flow runs.
        values: which of its values are meant.
    """

    def __init__(self, name: str, values: Iterable[str]) -> None:
        self.watched = Watched()
        self._name, self._values = name, set(values)
        self._found: dict[int, psutil.Process] = {}
        self._known: set[int] = set(psutil.pids())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._look_for_new()
            shares = [self._sample(pid, process) for pid, process in list(self._found.items())]
            self.watched.peak_share = max(self.watched.peak_share, sum(shares))

    def _look_for_new(self) -> None:
        """A flow run's process is a new one; what is no flow run after some seconds is not asked again."""
        pids = set(psutil.pids())
        self._known &= pids
        for pid in pids - self._known:
            try:
                process = psutil.Process(pid)
                began, environment, command = process.create_time(), process.environ(), " ".join(process.cmdline())
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            is_one = environment.get(self._name) in self._values and "prefect.engine" in command
            if is_one:
                self._found[pid] = process
                self.watched.processes[pid] = ProcessFacts(began, time.time())
            if is_one or time.time() - began > _SETTLED_SECONDS:
                self._known.add(pid)

    def _sample(self, pid: int, process: psutil.Process) -> float:
        """Note what a process has used; returns its proportional memory now, 0 once it has gone."""
        try:
            times = process.cpu_times()
            peak, share = _peak(pid), process.memory_full_info().pss / _MIB
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError):
            del self._found[pid]
            return 0.0
        facts = self.watched.processes[pid]
        facts.seen, facts.cpu_seconds = time.time(), times.user + times.system
        facts.peak, facts.share = max(facts.peak, peak), max(facts.share, share)
        return share


def _peak(pid: int) -> float:
    """Most resident memory of a process so far, MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(pid)
