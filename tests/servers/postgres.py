"""A real PostgreSQL for tests: its own folder, a Unix socket, no TCP, no fsync."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_DEBIAN = Path("/usr/lib/postgresql")
_START_SECONDS = 60
_STOP_SECONDS = 20


def find_program(name: str) -> str | None:
    """Find one of PostgreSQL's programs on PATH or where Debian keeps them."""
    if found := shutil.which(name):
        return found
    installed = sorted(_DEBIAN.glob(f"*/bin/{name}"), reverse=True)
    return str(installed[0]) if installed else None


def _unprivileged_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


class PostgresServer:
    """A cluster that lives as long as the ``with`` block; it may be stopped, killed and started inside."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        # Not pytest's folder: a socket's path must be short, and another user must reach it.
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
        # PostgreSQL refuses to run as root.
        self._user = _unprivileged_user() if os.getuid() == 0 else pwd.getpwuid(os.getuid())
        os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)

    def __enter__(self) -> Self:
        try:
            data = self.folder / "data"
            self._run("initdb", "-D", str(data), "-U", "studio", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
            self.start()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean()

    def start(self) -> None:
        """Start and wait until it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        command = [self._program("postgres"), "-D", str(self.folder / "data")]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **self._identity())
        end = time.monotonic() + _START_SECONDS
        ready = [self._program("pg_isready"), "-q", "-h", str(self.folder)]
        while subprocess.run(ready, check=False, timeout=10).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop: SIGINT disconnects everybody, SIGQUIT is a crash."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_SECONDS)
        self._process = None

    def create_database(self) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        name = f"ledger_{secrets.token_hex(6)}"
        self._run("createdb", "-h", str(self.folder), "-U", "studio", name)
        return f"postgresql+asyncpg://studio@/{name}?host={self.folder}"

    def _clean(self) -> None:
        # Nobody reads the data again, so there is nothing to shut down carefully.
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _identity(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._program(program), *arguments],
            check=False,
            capture_output=True,
            cwd=self.folder,
            timeout=60,
            **self._identity(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')}")

    @staticmethod
    def _program(name: str) -> str:
        found = find_program(name)
        if found is None:
            raise RuntimeError(f"no {name} on this machine: apt-get install postgresql")
        return found
