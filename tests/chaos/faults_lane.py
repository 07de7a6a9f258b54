"""A vendor's own sandbox, a process that renders there, and what is known afterwards: sandbox, ledger, archive."""

import contextlib
import ctypes
import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.chaos.faults_clock import SHIFT_VARIABLE
from tests.servers.sandbox import PROJECT, SandboxServer
from tests.studio_fixture import RunningStudio

Vendor = Literal["topview", "mingyan"]
ORDER_SECONDS = 120
RENDER_DEADLINE_SECONDS = 60.0
SETTINGS = {
    "STUDIO_SUBMIT_TIMEOUT_SECONDS": "8",
    "STUDIO_BUSY_PATIENCE_SECONDS": "6",
    "STUDIO_WEBHOOK_URL": "",
    "PREFECT_LOGGING_LEVEL": "INFO",
}


def _die_with_the_test() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@dataclass(frozen=True)
class Seen:
    """What is to be seen after a run."""

    state: str
    ledger: str
    submissions: int
    """Accepted by the sandbox for this request, in all attempts."""
    message: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.state} / {self.ledger} / {self.submissions}"


class RendererDied(Exception):
    """A process ended, or was ended after its time; holds its last words."""


class Renderer:
    """A process that runs flows, one at a time.

    Args:
        environment: the studio's, and the settings of the lane.
        log: where it logs.
        clock: seconds that its clock is wrong.
    """

    def __init__(self, environment: dict[str, str], log: Path, clock: float = 0.0) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.faults_child"],
                cwd=PROJECT,
                env=environment | SETTINGS | {SHIFT_VARIABLE: str(clock)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                preexec_fn=_die_with_the_test,  # noqa: PLW1509 - nothing holds a lock that it needs
            )
        self._log = log

    def order(self, order: str, **content: Any) -> dict[str, Any]:
        """Have an order carried out and return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        watchdog = threading.Timer(ORDER_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps({"order": order, **content}) + "\n")
            self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith("ANSWER "):
                    return json.loads(line.removeprefix("ANSWER "))
        finally:
            watchdog.cancel()
        raise RendererDied(self._log.read_text(errors="replace")[-3000:])

    def stop(self) -> None:
        """End the process."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


Disturbance = Callable[["Lane", dict[str, Any]], AbstractContextManager[None]]
"""Does harm as long as its block runs, while a request is rendered on a lane."""


def undisturbed(_lane: "Lane", _request: dict[str, Any]) -> AbstractContextManager[None]:
    """No harm."""
    return contextlib.nullcontext()


class Lane:
    """All that one vendor's rows of the matrix need; rows of a lane run one after the other."""

    def __init__(self, vendor: Vendor, studio: RunningStudio, sandbox: SandboxServer, folder: Path) -> None:
        self.vendor, self.studio, self.sandbox, self._folder = vendor, studio, sandbox, folder
        self._renderers: dict[float, Renderer] = {}
        # The kernel ends a child with the thread that started it, so that thread lives as long as the lane.
        self.hands = ThreadPoolExecutor(1)
        address = sandbox.topview_url if vendor == "topview" else sandbox.mingyan_url
        key = sandbox.topview_key if vendor == "topview" else sandbox.mingyan_key
        self.renderer().order("open_account", vendor=vendor, address=address, uid=sandbox.topview_uid, key=key)
        self.renderer().order("be_patient_with_the_store", seconds=60)

    def renderer(self, clock: float = 0.0) -> Renderer:
        """The process whose clock is so many seconds wrong."""
        if clock not in self._renderers:
            blocks = {
                "STUDIO_TOPVIEW_BLOCK": "topview-faults",
                "STUDIO_MINGYAN_BLOCK": "mingyan-faults",
                "STUDIO_STORAGE_BLOCK": f"faults-{self.vendor}",
            }
            log = self._folder / f"{self.vendor}{clock:+.0f}.log"
            self._renderers[clock] = self.hands.submit(Renderer, self.studio.environment | blocks, log, clock).result()
        return self._renderers[clock]

    def stop(self) -> None:
        """End all its processes."""
        for renderer in self._renderers.values():
            renderer.stop()
        self.hands.shutdown()

    def render(
        self,
        request: dict[str, Any],
        *,
        deadline: float = RENDER_DEADLINE_SECONDS,
        clock: float = 0.0,
        disturbed: Disturbance = undisturbed,
    ) -> Seen:
        """Run a request, with something going wrong meanwhile, and see what it leaves."""
        start = time.monotonic()
        with disturbed(self, request):
            try:
                answer = self.renderer(clock).order("render", request=request, deadline=deadline)
            except RendererDied as died:
                self._renderers.pop(clock).stop()
                answer = {"state": "died", "message": str(died)}
        return self._seen(request, answer["state"], answer["message"], time.monotonic() - start)

    def look_after(self, request: dict[str, Any]) -> Seen:
        """Let `reconcile` finish what was left, and see what became of one request; its state is that of the pass."""
        start = time.monotonic()
        answer = self.renderer().order("look_after")
        assert answer["state"] in {"Completed", "Needs a person"}, answer
        return self._seen(request, "reconciled", answer["message"], time.monotonic() - start)

    def _seen(self, request: dict[str, Any], state: str, message: str, seconds: float) -> Seen:
        rows = self.rows(request)
        ledger = rows[-1]["state"] if rows else "none"
        return Seen(state, ledger, len(self.submissions(request)), message, seconds)

    def rows(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """The ledger's rows of a request, by attempt."""
        with contextlib.closing(sqlite3.connect(self.studio.home / "ledger.db")) as database:
            database.row_factory = sqlite3.Row
            query = "select * from submissions where provider = ? and title = ? order by attempt"
            return [dict(row) for row in database.execute(query, (self.vendor, request["title"]))]

    def submissions(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        """What the sandbox accepted since the lane took up this request."""
        return self.sandbox.submissions(self.vendor)[request_number(request) :]

    def wait_under_way(self, request: dict[str, Any], seconds: float = 60) -> None:
        """Wait until the sandbox has accepted the request and fetched all that it fetches."""
        end = time.monotonic() + seconds
        files = 2 if self.vendor == "mingyan" else 0
        while not any(len(job["files"]) >= files for job in self.submissions(request)):
            assert time.monotonic() < end, "nothing was submitted"
            time.sleep(0.05)

    def wait_rendered(self, request: dict[str, Any], seconds: float = 30) -> None:
        """Wait until the sandbox has ended all that it accepted, except what never ends."""
        end = time.monotonic() + seconds
        while any(job["ended"] is None for job in self.submissions(request)) and time.monotonic() < end:
            time.sleep(0.05)

    def settle(self, request: dict[str, Any]) -> None:
        """A person looks into the provider's console and says what is there."""
        accepted = self.submissions(request)
        job_id = accepted[-1]["job_id"] if accepted else None
        self.renderer().order("settle", render_key=self.rows(request)[-1]["render_key"], job_id=job_id)


def request_number(request: dict[str, Any]) -> int:
    """How many submissions the sandbox had accepted before this request, which its title tells."""
    return int(request["title"].rpartition("#")[2])


@contextlib.contextmanager
def opened_lane(vendor: Vendor, studio: RunningStudio, folder: Path) -> Iterator[Lane]:
    """A lane that lives as long as the block."""
    with SandboxServer(folder / f"sandbox-{vendor}") as sandbox:
        lane = Lane(vendor, studio, sandbox, folder)
        try:
            yield lane
        finally:
            lane.stop()
