"""One process of the cluster: started, stopped or killed with everything that it started, as a container is."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Iterator
from pathlib import Path

import psutil

from infra.cluster.plan import HOST, Member, search_path
from infra.cluster.programs import POSTGRES, prepare
from infra.studio.logs import last_lines
from infra.studio.processes import end

FOLDER_VARIABLE, MEMBER_VARIABLE = "CLUSTER_FOLDER", "CLUSTER_MEMBER"
"""Set for every process of a cluster; inherited, so they also mark flow runs, which leave the process group."""

_KILL_SECONDS = 10
_LIBC = ctypes.CDLL(None)
_SET_PARENT_DEATH_SIGNAL = 1


class MemberProcess:
    """A member and the process that it is now, if any.

    Args:
        member: what to start.
        folder: of the cluster.
        grace_seconds: how long it may take to stop.
    """

    def __init__(self, member: Member, folder: Path, grace_seconds: float) -> None:
        self.member = member
        self.process: Process | None = None
        self._folder, self._grace = folder, grace_seconds
        self._log_start = 0

    @property
    def log(self) -> Path:
        """Everything that it prints."""
        return self._folder / "logs" / f"{self.member.name}.log"

    @property
    def pid(self) -> int | None:
        """Of the living process."""
        return self.process.pid if self.process and self.process.returncode is None else None

    def environment(self) -> dict[str, str]:
        """What the compose file and the image set, and what every container has from Docker."""
        return host_environment(self._folder) | {
            "HOSTNAME": self.member.name,
            "TMPDIR": str(self._folder / "tmp" / self.member.name),
            FOLDER_VARIABLE: str(self._folder),
            MEMBER_VARIABLE: self.member.name,
            **self.member.environment,
        }

    async def start(self) -> None:
        """Start the program; it dies with the launcher, however that ends.

        Raises:
            StudioError: something that it needs cannot be made.
        """
        environment = self.environment()
        launch = await asyncio.to_thread(prepare, self.member, environment)
        with self.log.open("ab") as log:
            self._log_start = os.fstat(log.fileno()).st_size
            self.process = await asyncio.create_subprocess_exec(
                *launch.command,
                cwd=self.member.folder,
                env=environment,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_the_launcher,
                user=launch.uid,
                group=launch.gid,
                extra_groups=None if launch.gid is None else [],
            )

    async def wait(self) -> int:
        """Wait for its end. Returns the exit code."""
        return await self.process.wait() if self.process else 0

    async def stop(self) -> None:
        """Ask it to stop, as Docker does; after its time, or when it is gone, end whatever is left."""
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                # Its image says so: SIGTERM would make PostgreSQL wait for everybody to disconnect.
                self.process.send_signal(signal.SIGINT if self.member.service == POSTGRES else signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.process.wait(), self._grace)
        await self.kill()

    async def kill(self) -> None:
        """End all of its processes at once, as a power cut of its machine would."""
        left = list(marked_processes(self._folder, self.member.name))
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        await asyncio.to_thread(psutil.wait_procs, left, timeout=_KILL_SECONDS)
        await self.wait()

    async def is_healthy(self, seconds: float) -> bool:
        """Run its health check; without one it is healthy as long as it runs."""
        if self.pid is None or not self.member.healthcheck:
            return self.pid is not None
        process = await asyncio.create_subprocess_exec(
            *self.member.healthcheck,
            cwd=self.member.folder,
            env=self.environment(),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            preexec_fn=_die_with_the_launcher,
        )
        try:
            return await asyncio.wait_for(process.wait(), seconds) == 0
        except TimeoutError:
            return False
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def obituary(self) -> str:
        """How it ended, with the last lines of its log."""
        lines = "\n".join(f"  {line}" for line in last_lines(self.log, since=self._log_start))
        code = self.process.returncode if self.process else None
        return f"{self.member.name} ended with {code}. Its last lines in {self.log}:\n{lines}"


def host_environment(folder: Path) -> dict[str, str]:
    """What this machine adds to every process: where programs are, and that loopback needs no proxy."""
    found = {
        "PATH": search_path(Path(sys.executable)),
        "LANG": "C.UTF-8",
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }
    if sys.dont_write_bytecode:
        # Compiling Prefect anew doubles the start of every process; the wish to keep source folders clean is respected.
        found["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix or str(folder / "cache" / "bytecode")
    return found


def marked_processes(folder: Path, member: str | None = None) -> Iterator[psutil.Process]:
    """All living processes of a cluster, or of one member, with the children that dropped their environment."""
    seen: set[int] = set()
    for process in psutil.process_iter():
        # Other people's processes do not show their environment, and some end while we look.
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            marks = process.environ()
            if marks.get(FOLDER_VARIABLE) != str(folder) or member not in {None, marks.get(MEMBER_VARIABLE)}:
                continue
            for found in (process, *process.children(recursive=True)):
                if found.pid not in seen:
                    seen.add(found.pid)
                    yield found


def end_leftovers(folder: Path, *, grace_seconds: float) -> list[int]:
    """End what a launcher that was killed left running. Returns the process ids."""
    left = list(marked_processes(folder))
    end(left, grace_seconds=grace_seconds)
    return [process.pid for process in left]


def _die_with_the_launcher() -> None:
    """Runs between fork and exec, where nothing may be loaded any more."""
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
