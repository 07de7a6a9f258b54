"""Starts the vendors' sandbox as a process of its own on a free loopback port, steers it, and always stops it."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.servers.sandbox_control import SandboxControl

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
ZEGO_SERVER_SECRET = "sandbox-zego-server-secret"
ZEGO_CALLBACK_SECRET = "sandbox-zego-callback-secret"
_STARTS = 3


def _die_with_the_test() -> None:
    """Ask the kernel to end the server when the test run is killed itself; fixtures cannot do that."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class SandboxServer(SandboxControl):
    """One sandbox and the control client for it; use it as a context manager.

    Args:
        folder: where it keeps its state and its log.
        renderer: ``quick``, ``clip`` for thousands of jobs, or ``local`` for the studio's own renderer.
        topview_uid: TopView account id that it accepts.
        topview_key: TopView key that it accepts.
        mingyan_key: mingyan key that it accepts.
        zego_app_id: ZEGO project that it accepts.
        zego_server_secret: the project's ServerSecret.
        zego_callback_secret: the project's CallbackSecret.
        zego_callback_url: where ZEGO's callbacks go; empty is nowhere.
        environment: further variables, such as the ``STUDIO_HOME`` whose spool the local renderer uses.
    """

    def __init__(
        self,
        folder: Path,
        *,
        renderer: str = "quick",
        topview_uid: str = "sandbox-uid",
        topview_key: str = "sandbox-topview-key",
        mingyan_key: str = "sandbox-mingyan-key",
        zego_app_id: int = 1234567890,
        zego_server_secret: str = ZEGO_SERVER_SECRET,
        zego_callback_secret: str = ZEGO_CALLBACK_SECRET,
        zego_callback_url: str = "",
        environment: dict[str, str] | None = None,
    ) -> None:
        super().__init__("")
        self.folder, self.renderer = folder, renderer
        self.topview_uid, self.topview_key, self.mingyan_key = topview_uid, topview_key, mingyan_key
        self.zego_app_id, self.zego_server_secret = zego_app_id, zego_server_secret
        self.zego_callback_secret, self.zego_callback_url = zego_callback_secret, zego_callback_url
        self.port = 0
        self.log = folder / "sandbox.log"
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Life

    def start(self) -> None:
        """Start on a free port and wait until it answers."""
        for _ in range(_STARTS):
            # Somebody else may take the port first.
            self.port = _free_port()
            self.address = f"http://127.0.0.1:{self.port}"
            if self._launch():
                return
        self.stop()
        raise RuntimeError("the sandbox did not start:\n" + self.log.read_text(errors="replace")[-3000:])

    def restart(self) -> None:
        """Start again on the same port and folder after ``kill``."""
        if not self._launch():
            raise RuntimeError("the sandbox did not come back:\n" + self.log.read_text(errors="replace")[-3000:])

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None

    def stop(self) -> None:
        """End the process for good."""
        self.kill()
        self.close()

    def _launch(self) -> bool:
        credentials = {
            "SANDBOX_TOPVIEW_UID": self.topview_uid,
            "SANDBOX_TOPVIEW_KEY": self.topview_key,
            "SANDBOX_MINGYAN_KEY": self.mingyan_key,
            "SANDBOX_ZEGO_APP_ID": str(self.zego_app_id),
            "SANDBOX_ZEGO_SERVER_SECRET": self.zego_server_secret,
            "SANDBOX_ZEGO_CALLBACK_SECRET": self.zego_callback_secret,
            "SANDBOX_ZEGO_CALLBACK_URL": self.zego_callback_url,
        }
        command = [sys.executable, "-m", "infra.sandbox", "--port", str(self.port)]
        command += ["--folder", str(self.folder / "state"), "--renderer", self.renderer]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=os.environ | credentials | self._environment,
                stdout=log,
                stderr=log,
                preexec_fn=_die_with_the_test,  # noqa: PLW1509 - no threads yet
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            if self.is_up():
                return True
            time.sleep(0.05)
        self.kill()
        return False

    # Addresses

    @property
    def url(self) -> str:
        """Where the sandbox is."""
        return self.address

    @property
    def topview_url(self) -> str:
        """Base address for TopView clients."""
        return f"{self.url}/topview"

    @property
    def mingyan_url(self) -> str:
        """Base address for mingyan clients, prefix included."""
        return f"{self.url}/mingyan/kyyReactApiServer"

    @property
    def zego_url(self) -> str:
        """Base address for ZEGO clients."""
        return f"{self.url}/zego"


@pytest.fixture(scope="module", name="sandbox_server")
def one_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """One sandbox for all tests of a module."""
    with SandboxServer(tmp_path_factory.mktemp("sandbox")) as server:
        yield server


@pytest.fixture(name="sandbox")
def clean_sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    """The module's sandbox, with nothing left of the test before."""
    sandbox_server.reset()
    return sandbox_server
