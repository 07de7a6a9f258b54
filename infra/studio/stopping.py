"""Stopping the parts: politely and in order, then by force, until nothing is left."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from infra.studio.config import StudioConfig
from infra.studio.part import RunningPart
from infra.studio.processes import end, processes_of_part, studio_processes

ORDER = (("worker",), ("sandbox", "webhooks"), ("renderer",), ("prefect-server", "object-store"))
"""A run that is stopped tells the server so: whoever works stops before what it works with."""

log = logging.getLogger("studio.stopping")


async def stop_parts(config: StudioConfig, running: Mapping[str, RunningPart]) -> None:
    """Stop all parts and everything they started."""
    for names in ORDER:
        await asyncio.gather(*(_stop_part(config, running[name]) for name in names if name in running))
    leftovers = studio_processes(config.root)
    if leftovers:
        log.warning("ending leftover processes pids=%s", [process.pid for process in leftovers])
        await asyncio.to_thread(end, leftovers, grace_seconds=config.stop_seconds)


async def _stop_part(config: StudioConfig, running: RunningPart) -> None:
    process, part = running.process, running.part
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    if part.waits_for_children:
        # Flow runs live in sessions of their own; told to stop, they report themselves crashed and are run again later.
        children = processes_of_part(config.root, part.name)
        children = [child for child in children if child.pid != process.pid]
        killed = await asyncio.to_thread(end, children, grace_seconds=config.stop_seconds)
        if killed:
            log.warning("killed what did not stop part=%s pids=%s", part.name, [child.pid for child in killed])
    if not await _ended(running, config.stop_seconds):
        log.warning("killed part that did not stop part=%s pid=%d", part.name, process.pid)
        process.kill()
        await process.wait()


async def _ended(running: RunningPart, seconds: float) -> bool:
    try:
        await asyncio.wait_for(running.process.wait(), seconds)
    except TimeoutError:
        return False
    return True
