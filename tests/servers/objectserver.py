"""Starts real object stores on free loopback ports, each in its own process group, and always stops them."""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import urllib3
from pydantic import SecretStr

from tasks.blocks import S3Storage
from tasks.storage import ObjectStore

START_SECONDS = 60.0
STOP_SECONDS = 15.0
# weed adds 10,000 for gRPC; both halves stay below the kernel's range of outgoing ports.
_LOWEST, _HIGHEST, _GRPC = 11_000, 21_000, 10_000


def program(name: str) -> str:
    """A program that was installed into the interpreter's environment."""
    return str(Path(sys.executable).parent / name)


def _die_with_the_test() -> None:
    """Ask the kernel to end the server when the test run is killed itself; fixtures cannot do that."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> int:
    """First of ``count`` neighbouring free ports, whose gRPC twins are free as well."""
    for _ in range(200):
        first = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST - count)
        if all(_is_free(port) and _is_free(port + _GRPC) for port in range(first, first + count)):
            return first
    raise RuntimeError(f"no {count} neighbouring free ports between {_LOWEST} and {_HIGHEST}")


class ObjectServer:
    """One object store with its own folder and keys; subclasses say how it is started."""

    name = "object store"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_ports(5)
        self.access_key = "test-access"
        self.secret_key = secrets.token_hex(16)
        self.log = folder / "server.log"
        # A socket's path may have 107 signs, fewer than a test's folder may need.
        self.sockets = tempfile.mkdtemp(prefix="s3-")
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Command line of the server."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """What the server needs beside the test's own environment."""
        return {}

    def launch(self) -> None:
        """Start the process without waiting for it."""
        environment = os.environ | {"TMPDIR": self.sockets} | self.environment()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_the_test,  # noqa: PLW1509 - no threads yet
            )

    def start(self) -> None:
        """Start the process and wait until it answers a signed call."""
        self.launch()
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Wait for a real answer to a signed call; show the log when there is none."""
        deadline = time.monotonic() + START_SECONDS
        with urllib3.PoolManager(retries=False, timeout=5) as pool:
            while time.monotonic() < deadline:
                if self._process is None or self._process.poll() is not None:
                    break
                with contextlib.suppress(urllib3.exceptions.HTTPError):
                    url = self.store().presign_get("any-bucket", "any-key", expires=timedelta(minutes=1))
                    if pool.request("GET", url).status == 404:
                        return
                time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"{self.name} did not start:\n" + self.log.read_text(errors="replace")[-3000:])

    def kill(self) -> None:
        """End the whole process group at once, as a power cut would."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End the process group politely, by force when that takes too long, and clear its sockets away."""
        if self._process is not None:
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
        shutil.rmtree(self.sockets, ignore_errors=True)

    def destroy(self) -> None:
        """End the process group at once, for good."""
        self.kill()
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        if number == signal.SIGKILL:
            self._process.wait(STOP_SECONDS)

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def block(self, **changes: object) -> S3Storage:
        """A storage block for this server."""
        facts: dict[str, object] = {
            "endpoint": self.endpoint,
            "secure": False,
            "access_key": SecretStr(self.access_key),
            "secret_key": SecretStr(self.secret_key),
        }
        return S3Storage.model_validate(facts | changes)

    def store(self, **changes: object) -> ObjectStore:
        """A client for this server."""
        return self.block(**changes).get_store()
