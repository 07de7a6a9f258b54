"""Starts runs as real processes, waits for their end, and kills them from outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Self

from tests.chaos.kill_points import KillPoint

PROJECT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 240.0


@dataclass
class Child:
    """A process that runs one job."""

    name: str
    report: Path
    pid: int = 0
    exit: int | None = None
    """Exit code; minus the signal for one that was killed."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, seconds: float = WAIT_SECONDS) -> Self:
        """Wait until it has ended."""
        self._until(lambda: self.exit is not None, seconds)
        return self

    def wait_at_most(self, seconds: float) -> None:
        """Wait until it has ended, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: self.exit is not None, seconds)

    def kill(self) -> Self:
        """SIGKILL, and wait for the end. One that ended by itself meanwhile stays as it is."""
        self._until(lambda: self.pid, WAIT_SECONDS)
        if self.exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        return self.wait()

    def wait_stopped(self, seconds: float = WAIT_SECONDS) -> None:
        """Wait until it has told that it is at its point."""
        end = time.monotonic() + seconds
        while "point" not in self.told():
            if time.monotonic() > end or self.exit is not None:
                raise TimeoutError(f"{self.name} has not come to its point: {self.told()}")
            time.sleep(0.05)

    def go_on(self) -> None:
        """Let it go on after a stop."""
        os.kill(self.pid, signal.SIGCONT)

    def told(self) -> dict[str, Any]:
        """What it reported last."""
        return json.loads(self.report.read_text(encoding="utf-8")) if self.report.exists() else {}

    def _until(self, reached: Any, seconds: float) -> None:
        with self._changed:
            if not self._changed.wait_for(reached, seconds):
                raise TimeoutError(f"{self.name} has not ended within {seconds:g} s")

    def note(self, **facts: int) -> None:
        """Take what the nursery tells."""
        with self._changed:
            for name, value in facts.items():
                setattr(self, name, value)
            self._changed.notify_all()


class Nursery:
    """One process that forks the runs; use it as a context manager.

    Args:
        environment: of the studio in which they run.
        folder: for reports and the log.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._ids = count(1)
        self._jobs: dict[int, Child] = {}
        self._pids: dict[int, Child] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._log = (self._folder / "nursery.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.killed_flow"],
            cwd=PROJECT,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        self._log.close()

    @property
    def log(self) -> str:
        """The last that the runs wrote."""
        return (self._folder / "nursery.log").read_text(encoding="utf-8", errors="replace")[-6000:]

    def start(
        self,
        work: str,
        *,
        point: KillPoint | None = None,
        environment: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Child:
        """Start one job: ``render``, ``reconcile``, ``crowd`` or ``show``."""
        number = next(self._ids)
        child = Child(f"{work} {number}", self._folder / f"{number}.json")
        self._jobs[number] = child
        job = {
            "id": number,
            "work": work,
            "point": point.model_dump() if point else None,
            "environment": dict(environment or {}),
            "arguments": arguments,
            "report": str(child.report),
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job).encode() + b"\n")
        self._process.stdin.flush()
        return child

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "id" in told:
                child = self._pids[told["pid"]] = self._jobs[told["id"]]
                child.note(pid=told["pid"])
            else:
                self._pids.pop(told["pid"]).note(exit=told["exit"])


def wait_for_some(children: list[Child], most: int) -> None:
    """Wait until no more than so many of these run."""
    end = time.monotonic() + WAIT_SECONDS
    while sum(child.exit is None for child in children) > most:
        if time.monotonic() > end:
            raise TimeoutError(f"still running: {[child.name for child in children if child.exit is None]}")
        time.sleep(0.02)
