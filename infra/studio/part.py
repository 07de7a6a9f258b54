"""What every part of the studio has: a command, an environment, a log, and a real call that proves it ready."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from asyncio.subprocess import DEVNULL, STDOUT, Process
from pathlib import Path
from typing import ClassVar

from infra.studio.config import StudioConfig, studio_environment
from infra.studio.logs import last_lines
from infra.studio.processes import PART_VARIABLE
from tasks.errors import StudioError, StudioUnavailable

_PROBE_EVERY_SECONDS = 0.1
_PROBE_SECONDS = 4
"""A probe that hangs is given up and made anew."""


class Part(ABC):
    """One long-running program of the studio."""

    name: ClassVar[str]
    """Short and fixed: used in state, log and environment."""
    title: ClassVar[str]
    """For people."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Names of what must be ready before this starts."""
    waits_for_children: ClassVar[bool] = False
    """Whether the program, asked to stop, first waits for the work that it started."""

    def __init__(self, config: StudioConfig) -> None:
        self.config = config

    @property
    def address(self) -> str:
        """Where it can be reached, for people; empty when it does not listen."""
        return ""

    @property
    def folder(self) -> Path:
        """Working folder of the process."""
        return self.config.root

    @property
    def log(self) -> Path:
        """File that takes everything the part prints."""
        return self.config.logs / f"{self.name}.log"

    @abstractmethod
    def command(self) -> list[str]:
        """Program and arguments."""

    def environment(self) -> dict[str, str]:
        """Variables that only this part gets."""
        return {}

    def prepare(self) -> None:
        """Make the files that the program expects."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @abstractmethod
    async def probe(self, since: float) -> None:
        """Use the part for real.

        Args:
            since: Unix time of the start; older signs of life do not count.

        Raises:
            StudioError: not ready, and why.
        """


class RunningPart:
    """A started process of a part."""

    def __init__(self, part: Part, process: Process, log_start: int) -> None:
        self.part = part
        self.process = process
        self.started = time.time()
        self._log_start = log_start

    @classmethod
    async def start(cls, part: Part) -> "RunningPart":
        """Start the program; it inherits the process group of the caller."""
        part.prepare()
        environment = studio_environment(part.config) | part.environment() | {PART_VARIABLE: part.name}
        with part.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *part.command(), cwd=part.folder, env=environment, stdin=DEVNULL, stdout=log, stderr=STDOUT
            )
            return cls(part, process, os.fstat(log.fileno()).st_size)

    async def until_ready(self) -> float:
        """Wait until the part answers a real call. Returns the seconds since its start.

        Raises:
            StudioUnavailable: it ended or did not become ready in time; tells the last lines of its log.
        """
        deadline = self.started + self.part.config.start_seconds
        while True:
            reason = await self._try()
            if self.process.returncode is not None:
                raise StudioUnavailable(self.obituary())
            if not reason:
                return time.time() - self.started
            if time.time() > deadline:
                raise StudioUnavailable(
                    f"the {self.part.title} was not ready after {self.part.config.start_seconds:g} s: {reason}\n"
                    + self._told(),
                    fix="Raise STUDIO_START_SECONDS on a slow machine.",
                )
            await asyncio.sleep(_PROBE_EVERY_SECONDS)

    async def _try(self) -> str:
        """Why the part is not ready; empty when it is."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self.part.probe(self.started)
        except TimeoutError:
            return f"no answer within {_PROBE_SECONDS} s."
        except StudioError as error:
            return error.message
        return ""

    def obituary(self) -> str:
        """How the process ended, with the last lines of its log."""
        code = self.process.returncode
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return f"the {self.part.title} {how}.\n{self._told()}"

    def _told(self) -> str:
        lines = last_lines(self.part.log, since=self._log_start)
        shown = "\n".join(f"  {line}" for line in lines) or "  (nothing)"
        return f"Its last lines in {self.part.log}:\n{shown}"
