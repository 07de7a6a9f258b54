"""A cluster for the length of a block, for tests and benches: started, questioned, hurt and always stopped."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from infra.cluster.compose import COMPOSE_FILE
from infra.cluster.state import ClusterState, read_state
from tasks.errors import StudioUnavailable

START_SECONDS = 300.0
STOP_SECONDS = 120.0
REQUEST_SECONDS = 180.0
_LOOK_EVERY_SECONDS = 0.1

Action = Literal["kill", "stop", "start"]


@dataclass
class Cluster:
    """A running cluster. Services are named as in infra/compose.yaml, their containers counted from 0."""

    folder: Path
    _launcher: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def state(self) -> ClusterState:
        """What the launcher says now.

        Raises:
            StudioUnavailable: it says nothing.
        """
        state = read_state(self.folder)
        if state is None:
            raise StudioUnavailable(f"no cluster has been started in {self.folder}.")
        return state

    @property
    def environment(self) -> MappingProxyType[str, str]:
        """A worker's own environment: for subprocesses, and for ``os.environ`` before Prefect is imported."""
        return MappingProxyType(self.state.environment)

    @property
    def api_url(self) -> str:
        """Prefect's API, whichever replica answers."""
        return self.environment["PREFECT_API_URL"]

    @property
    def api_login(self) -> tuple[str, str]:
        """User and password of the API."""
        user, _, password = self.environment["PREFECT_API_AUTH_STRING"].partition(":")
        return user, password

    @property
    def ledger_url(self) -> str:
        """SQLAlchemy URL of the ledger."""
        return self.environment["STUDIO_LEDGER_URL"]

    @property
    def s3_endpoint(self) -> str:
        """``host:port`` of the object store."""
        return self.state.addresses["s3"]

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox listens, when it runs."""
        return f"http://{self.state.addresses['sandbox']}"

    @property
    def pids(self) -> dict[str, list[int | None]]:
        """Process ids by service; None for what does not run."""
        found: dict[str, list[int | None]] = {}
        for name, member in self.state.members.items():
            found.setdefault(name.rpartition("-")[0], []).append(member.pid)
        return found

    def log(self, service: str, index: int = 0) -> str:
        """Everything that a container has printed."""
        return (self.folder / "logs" / f"{service}-{index}.log").read_text(encoding="utf-8", errors="replace")

    def kill(self, service: str, index: int = 0) -> None:
        """SIGKILL a container with everything that it started; it stays down until ``start``."""
        self._ask("kill", f"{service}-{index}")

    def stop(self, service: str, index: int = 0) -> None:
        """Stop a container as ``docker stop`` does; it stays down until ``start``."""
        self._ask("stop", f"{service}-{index}")

    def start(self, service: str, index: int = 0) -> None:
        """Start a container that is down, and wait until it is healthy."""
        self._ask("start", f"{service}-{index}")

    def restart(self, service: str, index: int = 0) -> None:
        """Stop a container and start it."""
        self.stop(service, index)
        self.start(service, index)

    def _ask(self, action: Action, member: str) -> None:
        number = next(self._numbers)
        if self._launcher.stdin is None:
            raise RuntimeError("the launcher has no input pipe")
        line = json.dumps({"number": number, "do": action, "member": member})
        self._launcher.stdin.write(f"{line}\n".encode())
        self._launcher.stdin.flush()
        state = _until(self, lambda now: now.answered >= number, REQUEST_SECONDS, f"{action} {member}")
        if state.error:
            raise StudioUnavailable(state.error)

    def wait_until_ready(self) -> None:
        """Wait for the end of the start.

        Raises:
            StudioUnavailable: it failed, or took too long.
        """
        state = _until(self, lambda now: now.phase in {"ready", "failed", "stopped"}, START_SECONDS, "the start")
        if state.phase != "ready":
            raise StudioUnavailable(state.error or f"the cluster in {self.folder} stopped.", fix=state.fix)

    def is_launched_by(self, state: ClusterState) -> bool:
        """Whether a state was written by this start and not by an earlier one."""
        return state.launcher == self._launcher.pid

    def has_ended(self) -> bool:
        """Whether the launcher is gone."""
        return self._launcher.poll() is not None


def _until(cluster: Cluster, reached: Callable[[ClusterState], bool], seconds: float, what: str) -> ClusterState:
    deadline = time.monotonic() + seconds
    while True:
        ended = cluster.has_ended()
        state = read_state(cluster.folder)
        if state and cluster.is_launched_by(state) and reached(state):
            return state
        if ended or time.monotonic() > deadline:
            told = (cluster.folder / "launcher.log").read_text(encoding="utf-8", errors="replace")[-3000:]
            raise StudioUnavailable(f"{what} was not done in {seconds:g} s. The launcher's log ends:\n{told}")
        time.sleep(_LOOK_EVERY_SECONDS)


@contextlib.contextmanager
def running_cluster(
    folder: Path,
    *,
    workers: int = 2,
    sandbox: bool = False,
    variables: dict[str, str] | None = None,
    file: Path = COMPOSE_FILE,
) -> Iterator[Cluster]:
    """Run a cluster for the length of a block; it also stops when this process is killed.

    Args:
        folder: where everything is kept; short, and reachable for PostgreSQL's user.
        workers: how many.
        sandbox: play the paid providers.
        variables: further settings, as in infra/.env.
        file: the compose file.

    Raises:
        StudioUnavailable: it did not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "infra.cluster", "up", "--folder", str(folder), "--workers", str(workers)]
    command += ["--file", str(file), "--leash", *(["--sandbox"] if sandbox else [])]
    command += [f"--set={name}={value}" for name, value in (variables or {}).items()]
    with (folder / "launcher.log").open("wb") as log:
        launcher = subprocess.Popen(  # noqa: S603 - own fixed command
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    cluster = Cluster(folder.resolve(), launcher)
    try:
        cluster.wait_until_ready()
        yield cluster
    finally:
        # Its end is what makes the launcher stop everything, also when nobody is left to close it.
        if launcher.stdin is not None:
            launcher.stdin.close()
        try:
            launcher.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            launcher.kill()
            raise
