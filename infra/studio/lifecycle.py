"""Starting, following and stopping a studio from outside: what the command line and the tests use."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from infra.studio.config import StudioConfig, studio_environment
from infra.studio.logs import last_lines
from infra.studio.part import Part
from infra.studio.processes import (
    PART_VARIABLE,
    describe,
    end,
    find,
    mark_of,
    processes_of_part,
    studio_processes,
    wait_gone,
)
from infra.studio.state import StudioState, is_running, read_state
from infra.studio.supervisor import ALREADY_RUNNING, make_parts
from tasks.errors import StudioError, StudioUnavailable

_LOOK_EVERY_SECONDS = 0.1
_HEALTH_SECONDS = 15


class AlreadyRunning(StudioError):
    """Another supervisor runs the studio of this home folder."""


@dataclass(frozen=True)
class Stopped:
    """What stopping found."""

    was_running: bool
    orphans: list[str]
    """Processes left behind by a supervisor that had been killed, now ended."""
    forced: bool
    """Whether the supervisor did not stop in time and was killed."""


def launch(config: StudioConfig, *, leash: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor in a session and process group of its own.

    Args:
        config: which studio, on which ports.
        leash: the studio stops when the caller ends, however that happens; else it runs until ``stop``.
    """
    config.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "infra.studio.supervisor", *(["--leash"] if leash else [])]
    (config.logs / "supervisor.out").touch(mode=0o600)
    with (config.logs / "supervisor.out").open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - own fixed command
            command,
            cwd=config.root,
            env=studio_environment(config) | {PART_VARIABLE: "supervisor"},
            stdin=subprocess.PIPE if leash else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_ready(
    config: StudioConfig, supervisor: subprocess.Popen[bytes], on_change: Callable[[StudioState], None]
) -> StudioState:
    """Follow a start until every part is ready.

    Raises:
        AlreadyRunning: another start won.
        StudioUnavailable: a part failed; everything is stopped again.
    """
    deadline = time.monotonic() + 2 * config.start_seconds
    while time.monotonic() < deadline:
        ended = supervisor.poll()
        state = read_state(config.state_file)
        if ended == ALREADY_RUNNING:
            raise AlreadyRunning(f"a studio already runs in {config.root}.")
        if state and state.supervisor.pid == supervisor.pid:
            on_change(state)
            if state.phase == "failed" and ended is not None:
                raise StudioUnavailable(state.error, fix=state.fix)
            if state.phase == "ready":
                return state
        if ended is not None:
            told = "\n".join(last_lines(config.logs / "supervisor.out"))
            raise StudioUnavailable(
                f"the studio ended while starting, exit code {ended}.\n{told}".rstrip(),
                fix=f"More is in {config.logs / 'supervisor.log'}.",
            )
        time.sleep(_LOOK_EVERY_SECONDS)
    stop(config)
    raise StudioUnavailable(
        f"the studio was not ready after {2 * config.start_seconds:g} s and was stopped.",
        fix="Raise STUDIO_START_SECONDS on a slow machine.",
    )


def wait_until_taken_over(config: StudioConfig, on_change: Callable[[StudioState], None]) -> StudioState:
    """Follow a studio that somebody else is starting until it is ready.

    Raises:
        StudioUnavailable: it failed, stopped, or took too long.
    """
    deadline = time.monotonic() + 2 * config.start_seconds
    while time.monotonic() < deadline:
        state = read_state(config.state_file)
        if state and state.phase == "ready":
            return state
        if state:
            on_change(state)
        if not is_running(config.lock_file):
            break
        time.sleep(_LOOK_EVERY_SECONDS)
    raise StudioUnavailable(f"the studio in {config.root} did not become ready.", fix="Run `studio doctor`.")


def require_sandbox(config: StudioConfig, state: StudioState) -> None:
    """Make sure that a running studio has a sandbox if one is wanted.

    Raises:
        StudioUnavailable: it runs without, so a render would go to the real provider.
    """
    if config.sandbox and not state.sandbox:
        raise StudioUnavailable(
            f"the studio in {config.root} runs without the sandbox, with your real accounts.",
            fix="Stop it with `studio down`, then start it with `studio up --sandbox`.",
        )


def current_state(config: StudioConfig) -> StudioState | None:
    """State of the running studio; None when none runs, whatever an old state file says."""
    return read_state(config.state_file) if is_running(config.lock_file) else None


async def probe_parts(config: StudioConfig, state: StudioState | None) -> dict[str, str]:
    """Use every part for real, at once. Returns per part name why it does not answer, empty when it does."""

    async def reason(part: Part) -> str:
        row = state.parts.get(part.name) if state else None
        since = row.process.created if row and row.process else 0.0
        try:
            async with asyncio.timeout(_HEALTH_SECONDS):
                await part.probe(since)
        except TimeoutError:
            return f"no answer within {_HEALTH_SECONDS} s."
        except StudioError as error:
            return error.message
        return ""

    parts = make_parts(config)
    return dict(zip((part.name for part in parts), await asyncio.gather(*map(reason, parts)), strict=True))


def stop(config: StudioConfig) -> Stopped:
    """Stop the studio of this home folder and make sure that none of its processes is left.

    Raises:
        StudioUnavailable: processes survived even SIGKILL.
    """
    was_running = is_running(config.lock_file)
    forced = _stop_supervisor(config) if was_running else False
    left = studio_processes(config.root)
    orphans = [describe(process) for process in left]
    end(left, grace_seconds=config.stop_seconds)
    survivors = studio_processes(config.root)
    if survivors:
        raise StudioUnavailable(
            f"these processes do not end: {', '.join(map(describe, survivors))}.",
            fix="They wait for the disk or the kernel; look at the machine.",
        )
    return Stopped(was_running=was_running, orphans=orphans, forced=forced)


def _stop_supervisor(config: StudioConfig) -> bool:
    """SIGTERM, a deadline, SIGKILL. Returns whether it had to be killed."""
    supervisors = processes_of_part(config.root, "supervisor")
    patience = 4 * config.stop_seconds
    forced = False
    for process in supervisors:
        with contextlib.suppress(psutil.NoSuchProcess):
            mark = mark_of(process.pid)
            process.terminate()
            if not wait_gone(mark, seconds=patience) and (stubborn := find(mark)):
                stubborn.kill()
                forced = True
    return forced
