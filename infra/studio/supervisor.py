"""The process that starts the parts of the studio, restarts one that dies, and stops them all.

Run by ``studio up`` as ``python -m infra.studio.supervisor``. It tells how things are in the state file and in
``logs/supervisor.log``; it stops on SIGTERM, and with ``--leash`` also when whoever started it is gone.
"""

import asyncio
import logging
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from logging.handlers import RotatingFileHandler
from typing import Any

import psutil

from infra.studio.board import Board, installed_version
from infra.studio.config import StudioConfig, load_config
from infra.studio.logs import MAX_BYTES, cap_size
from infra.studio.part import Part, RunningPart
from infra.studio.parts.object_store import ObjectStorePart
from infra.studio.parts.prefect_server import PrefectServerPart
from infra.studio.parts.renderer import RendererPart
from infra.studio.parts.sandbox import SandboxPart
from infra.studio.parts.webhooks import WebhooksPart
from infra.studio.parts.worker import WorkerPart
from infra.studio.ports import needed_ports, require_free
from infra.studio.processes import ProcessMark, end, mark_of, studio_processes
from infra.studio.restarts import RestartBudget
from infra.studio.secret_files import make_webhook_secret
from infra.studio.setting_up import SETUP, set_up
from infra.studio.state import PartState, StudioState, held_lock, read_state
from infra.studio.stopping import stop_parts
from tasks.errors import StudioError, StudioUnavailable

ALREADY_RUNNING = 3
"""Exit code when another supervisor holds the lock."""
LOG_CHECK_SECONDS = 30

log = logging.getLogger("studio.supervisor")


def make_parts(config: StudioConfig) -> list[Part]:
    """All parts, in the order in which people read them."""
    always: list[Part] = [
        ObjectStorePart(config),
        PrefectServerPart(config),
        RendererPart(config),
        WebhooksPart(config),
        WorkerPart(config),
    ]
    return [*always, SandboxPart(config)] if config.sandbox else always


def titles(config: StudioConfig) -> dict[str, str]:
    """Names of the parts as people read them, by their short names."""
    return {part.name: part.title for part in make_parts(config)}


class Supervisor:
    """Starts, watches and stops the parts.

    Args:
        config: which studio.
    """

    def __init__(self, config: StudioConfig) -> None:
        self.config = config
        self.parts = make_parts(config)
        self._running: dict[str, RunningPart] = {}
        self._ready = {name: asyncio.Event() for name in [*(part.name for part in self.parts), "work-pool"]}
        self._first: dict[str, asyncio.Future[None]] = {}
        self._stop = asyncio.Event()
        earlier = read_state(config.state_file)
        self._earlier_ports = earlier.ports if earlier else {}
        rows = {part.name: PartState(address=part.address) for part in self.parts}
        state = StudioState(
            version=installed_version(),
            home=config.root,
            supervisor=mark_of(os.getpid()),
            ports=config.ports,
            sandbox=config.sandbox,
            parts=rows | {SETUP: PartState()},
        )
        self.board = Board(config, state)

    def stop(self) -> None:
        """Ask for the end; returns at once."""
        self._stop.set()

    async def run(self) -> int:
        """Run the studio until it is stopped. Returns the exit code."""
        self._first = {part.name: asyncio.get_running_loop().create_future() for part in self.parts}
        jobs: list[asyncio.Task[None]] = []
        error: StudioError | None = None
        try:
            self._make_room()
            make_webhook_secret(self.config.webhook_secret_file)
            jobs = [asyncio.create_task(self._keep(part)) for part in self.parts]
            jobs.append(asyncio.create_task(self._cap_logs()))
            await self._start_up()
            if not self._stop.is_set():
                self.board.phase("ready")
                log.info("studio ready seconds=%.1f", self.board.state.seconds)
            await self._until_stopped(jobs)
        except StudioError as caught:
            error = caught
            log.error("studio failed error=%s", caught)  # noqa: TRY400 - message says all
        except Exception as caught:
            log.exception("supervisor failed")
            error = StudioUnavailable(
                f"the supervisor failed: {caught!r}.", fix=f"The details are in {self.config.logs / 'supervisor.log'}."
            )
        finally:
            self.board.phase("stopping")
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            await stop_parts(self.config, self._running)
        self._note_the_end(error)
        return 1 if error else 0

    def _make_room(self) -> None:
        """End what an earlier, killed supervisor left behind, then check the ports."""
        orphans = studio_processes(self.config.root)
        if orphans:
            log.warning("ending processes of an earlier studio pids=%s", [process.pid for process in orphans])
            end(orphans, grace_seconds=self.config.stop_seconds)
        require_free(needed_ports(self.config))

    async def _start_up(self) -> None:
        """Wait until every part is ready and set up, or the first one fails, or a stop is asked for."""
        setting_up = asyncio.create_task(self._set_up())
        stopped: asyncio.Future[Any] = asyncio.create_task(self._stop.wait())
        all_ready: asyncio.Future[Any] = asyncio.gather(*self._first.values(), setting_up)
        try:
            await asyncio.wait([all_ready, stopped], return_when=asyncio.FIRST_COMPLETED)
            if all_ready.done():
                all_ready.result()
        finally:
            for waiting in (all_ready, stopped, setting_up):
                waiting.cancel()
            await asyncio.gather(all_ready, stopped, setting_up, return_exceptions=True)

    async def _until_stopped(self, jobs: list[asyncio.Task[None]]) -> None:
        """A job that ends with an error is a defect of the supervisor: better to stop than to run unwatched."""
        stopped: asyncio.Future[Any] = asyncio.create_task(self._stop.wait())
        crashed: asyncio.Future[Any] = asyncio.gather(*jobs)
        await asyncio.wait([stopped, crashed], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if crashed.done():
            crashed.result()
        else:
            crashed.cancel()
            await asyncio.gather(crashed, return_exceptions=True)

    async def _keep(self, part: Part) -> None:
        """Keep one part running, however often it dies."""
        budget = RestartBudget()
        first = self._first[part.name]
        while True:
            for need in part.needs:
                await self._ready[need].wait()
            try:
                told = await self._run_once(part, first)
            except StudioError as failure:
                if not first.done():
                    self.board.part(part.name, phase="failed", detail=failure.message)
                    first.set_exception(failure)
                    return
                told = failure.message
            pause = budget.next_pause()
            restarts = self.board.state.parts[part.name].restarts + 1
            log.error("part died part=%s restart=%d pause=%.1f\n%s", part.name, restarts, pause, told)
            self.board.part(part.name, phase="restarting", restarts=restarts, detail=told, process=None)
            await asyncio.sleep(pause)

    async def _run_once(self, part: Part, first: asyncio.Future[None]) -> str:
        """Start a part, wait until it is ready and until it ends. Returns how it ended."""
        running = await RunningPart.start(part)
        self._running[part.name] = running
        self.board.part(part.name, phase="starting", process=_mark(running.process), detail="")
        try:
            seconds = await running.until_ready()
        except StudioUnavailable:
            if running.process.returncode is None:
                running.process.kill()
                await running.process.wait()
            raise
        log.info("part ready part=%s pid=%d seconds=%.1f", part.name, running.process.pid, seconds)
        self.board.part(part.name, phase="ready", seconds=seconds, detail="")
        self._ready[part.name].set()
        if not first.done():
            first.set_result(None)
        await running.process.wait()
        self._ready[part.name].clear()
        return running.obituary()

    async def _set_up(self) -> None:
        began = time.monotonic()
        self.board.part(SETUP, phase="starting")
        try:
            await set_up(self.config, self._note_step)
        except StudioError as failure:
            self.board.part(SETUP, phase="failed", detail=failure.message)
            raise
        self.board.part(SETUP, phase="ready", seconds=time.monotonic() - began, detail="")

    def _note_step(self, step: str) -> None:
        self.board.part(SETUP, detail=step)
        if step in self._ready:
            self._ready[step].set()

    async def _cap_logs(self) -> None:
        while True:
            for part in self.parts:
                cap_size(part.log)
            await asyncio.sleep(LOG_CHECK_SECONDS)

    def _note_the_end(self, error: StudioError | None) -> None:
        for name in self.board.state.parts:
            if self.board.state.parts[name].phase != "failed":
                self.board.part(name, phase="stopped", process=None, detail="")
        if error:
            if self.board.state.seconds is None:
                # Ports that never worked must not become the defaults of the next start.
                self.board.state.ports = self._earlier_ports
            self.board.phase("failed", error=error.message, fix=error.fix)
        else:
            self.board.phase("stopped")
            log.info("studio stopped")


def _mark(process: Process) -> ProcessMark | None:
    """The process may already be gone; then there is nothing to find again."""
    try:
        return mark_of(process.pid)
    except psutil.NoSuchProcess:
        return None


def _log_to_file(config: StudioConfig) -> None:
    handler = RotatingFileHandler(config.logs / "supervisor.log", maxBytes=MAX_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("studio.storage").setLevel(logging.WARNING)


async def _supervise(config: StudioConfig, *, leash: bool) -> int:
    loop = asyncio.get_running_loop()
    supervisor = Supervisor(config)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    if leash:

        def let_go() -> None:
            loop.remove_reader(sys.stdin.fileno())
            supervisor.stop()

        # Standard input is a pipe held by the command line; it closes however that ends.
        loop.add_reader(sys.stdin.fileno(), let_go)
    return await supervisor.run()


def main() -> int:
    """Run the studio of this environment."""
    os.umask(0o077)
    config = load_config()
    config.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    _log_to_file(config)
    with held_lock(config.lock_file) as was_free:
        if not was_free:
            return ALREADY_RUNNING
        try:
            return asyncio.run(_supervise(config, leash="--leash" in sys.argv))
        except Exception:
            log.exception("supervisor crashed")
            raise


if __name__ == "__main__":
    sys.exit(main())
