"""Running the provisioning process from the supervisor and following its steps."""

import asyncio
import json
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from typing import Any

from infra.studio.config import StudioConfig, studio_environment
from infra.studio.logs import last_lines
from infra.studio.processes import PART_VARIABLE
from tasks.errors import StudioUnavailable

SETUP = "setup"

log = logging.getLogger("studio.setup")


async def set_up(config: StudioConfig, on_step: Callable[[str], None]) -> None:
    """Provision the studio, telling each finished step.

    Raises:
        StudioUnavailable: it failed; says why, or tells the last lines of its log.
    """
    path = config.logs / f"{SETUP}.log"
    with path.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "infra.studio.provision"),
            cwd=config.root,
            env=studio_environment(config) | {PART_VARIABLE: SETUP},
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=errors,
        )
    failure: dict[str, Any] = {}
    async for facts in _reports(process):
        if "step" in facts:
            log.info("set up step=%s", facts["step"])
            on_step(facts["step"])
        else:
            failure = facts
    if await process.wait():
        lines = "\n".join(f"  {line}" for line in last_lines(path))
        told = failure.get("error") or f"its process ended. The last lines of {path}:\n{lines}"
        raise StudioUnavailable(f"setting up the studio failed: {told}", fix=failure.get("fix", ""))


async def _reports(process: Process) -> AsyncIterator[dict[str, Any]]:
    if process.stdout is None:
        raise RuntimeError("the provisioning process has no output pipe")
    async for line in process.stdout:
        try:
            facts = json.loads(line)
        except ValueError:
            facts = None
        if isinstance(facts, dict):
            yield facts
        else:
            log.info("setup printed %s", line.decode(errors="replace").rstrip())
