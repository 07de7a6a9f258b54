"""Runs the spool's jobs, oldest first, each in a fresh process: ``python -m tasks.providers.local.pool``.

One pool serves a spool; it holds a lock for its life. Its renderers die with it, and what they were at is
queued again by the next pool.
"""

import argparse
import asyncio
import contextlib
import heapq
import logging
import os
import signal
import sys
import time

from tasks.errors import StudioError
from tasks.providers.local.job_process import DEFAULT_RENDERER
from tasks.providers.local.presence import kill_exactly, lock_spool, pool_is_alive, show_heartbeat, started_at
from tasks.providers.local.spool import Spool, Status, Ticket
from tasks.settings import get_settings

__all__ = ["RETENTION_SECONDS", "Pool", "pool_is_alive"]

logger = logging.getLogger("studio.pool")

RETENTION_SECONDS = 24 * 3600

_TICK_SECONDS = 0.1
_BEAT_SECONDS = 2.0
_PRUNE_SECONDS = 600.0
_STOP_SECONDS = 3.0
# A folder's time stamp is coarse: a change this close to the last look may have been missed.
_COARSE_NS = 50_000_000
# Generous: the renderer needs up to two seconds for a second of speech on a busy core.
_TIMEOUT_PER_SPEECH_SECOND = 20.0
_SPOKEN_CHARACTERS_PER_SECOND = 6.0
_LOG_TAIL_BYTES = 2000
# What a process that decodes foreign files may know; no credentials.
_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV")


class Pool:
    """Takes jobs from a spool until told to stop.

    Args:
        spool: where the jobs are.
        size: renderers at the same time.
        attempts: how often a job whose renderer died is tried.
        renderer: ``module:function`` that renders.
        patience: seconds that any job gets, on top of what the length of its speech gives it.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        size: int,
        attempts: int,
        renderer: str = DEFAULT_RENDERER,
        patience: float = 600,
    ) -> None:
        self._spool = spool
        self._size = size
        self._attempts = attempts
        self._renderer = renderer
        self._patience = patience
        self._queue: list[tuple[int, str]] = []
        self._known: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._seen_ns = 0
        self._settled = False

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the spool until ``stop`` is set; then end the renderers and leave their jobs queued.

        Raises:
            StudioUnavailable: another pool serves this spool.
        """
        self._spool.prepare()
        with lock_spool(self._spool.root), show_heartbeat(self._spool.root) as beat:
            next_beat = next_prune = 0.0
            try:
                while not stop.is_set():
                    now = time.monotonic()
                    if now >= next_beat:
                        os.utime(beat)
                        next_beat = now + _BEAT_SECONDS
                    if now >= next_prune:
                        await asyncio.to_thread(self._spool.prune, older_than=RETENTION_SECONDS)
                        next_prune = now + _PRUNE_SECONDS
                    self._look()
                    self._start_jobs()
                    await self._pause()
            finally:
                await self._end_jobs()

    def _look(self) -> None:
        """Queue what is new in the spool; cheap when nothing is."""
        changed_ns = self._spool.jobs.stat().st_mtime_ns
        if self._settled and changed_ns == self._seen_ns:
            return
        self._seen_ns = changed_ns
        self._settled = abs(time.time_ns() - changed_ns) > _COARSE_NS
        there = set(self._spool.job_ids())
        for job_id in there - self._known:
            self._take_in(job_id)
        self._known = there

    def _take_in(self, job_id: str) -> None:
        status = self._spool.status(job_id)
        if status.phase == "running":
            status = self._recover(job_id, status)
        if status.phase == "queued":
            ticket = self._spool.ticket(job_id)
            heapq.heappush(self._queue, (ticket.submitted_ns if ticket else 0, job_id))

    def _recover(self, job_id: str, status: Status) -> Status:
        """Settle what a pool that was killed left running."""
        if status.pid is not None and status.pid_started is not None:
            kill_exactly(status.pid, status.pid_started)
        done = self._spool.outcome(job_id) is not None
        recovered = Status(phase="succeeded" if done else "queued", deaths=status.deaths)
        self._spool.set_status(job_id, recovered)
        logger.info("job recovered job=%s phase=%s", job_id, recovered.phase)
        return recovered

    def _start_jobs(self) -> None:
        while self._queue and len(self._running) < self._size:
            _, job_id = heapq.heappop(self._queue)
            task = asyncio.create_task(self._run_job(job_id), name=job_id)
            self._running.add(task)

    async def _pause(self) -> None:
        if not self._running:
            await asyncio.sleep(_TICK_SECONDS)
            return
        done, self._running = await asyncio.wait(
            self._running, timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done:
            try:
                task.result()
            except OSError:
                # A full disk, say: the other jobs go on, and this one is taken in again at the next look.
                logger.exception("job could not be looked after job=%s", task.get_name())
                self._known.discard(task.get_name())
                self._settled = False

    async def _end_jobs(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _run_job(self, job_id: str) -> None:
        ticket = self._spool.ticket(job_id)
        status = self._spool.status(job_id)
        if ticket is None:
            if self._spool.job_folder(job_id).exists():
                self._finish(job_id, Status(phase="failed", reason="the job's order on disk is damaged"))
            return
        process = await self._spawn(job_id, status)
        timeout = self._timeout(ticket)
        try:
            code = await asyncio.wait_for(process.wait(), timeout)
        except TimeoutError:
            await _end(process)
            reason = f"the renderer had not finished after {timeout:.0f} s and was stopped"
            self._finish(job_id, Status(phase="failed", deaths=status.deaths, reason=reason))
        except asyncio.CancelledError:
            await _end(process)
            done = self._spool.outcome(job_id) is not None
            self._finish(job_id, Status(phase="succeeded" if done else "queued", deaths=status.deaths))
            raise
        else:
            self._settle(job_id, status, code)

    async def _spawn(self, job_id: str, status: Status) -> asyncio.subprocess.Process:
        folder = self._spool.job_folder(job_id)
        command = [sys.executable, "-m", "tasks.providers.local.job_process", str(folder)]
        command += ["--parent", str(os.getpid()), "--renderer", self._renderer]
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        with (folder / "log.txt").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Rendering at the same time is the pool's business, not that of a matrix library.
                env=environment | {"OPENBLAS_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
                # A Ctrl-C for the whole group is for the pool, which then ends its renderers itself.
                start_new_session=True,
            )
        running = status.model_copy(
            update={
                "phase": "running",
                "pid": process.pid,
                "pid_started": started_at(process.pid),
                "changed_at": time.time(),
            }
        )
        self._spool.set_status(job_id, running)
        logger.info("job started job=%s pid=%d deaths=%d", job_id, process.pid, status.deaths)
        return process

    def _settle(self, job_id: str, status: Status, code: int) -> None:
        """Decide by how the renderer ended: with a video, with a reason, or killed."""
        if code == 0 and self._spool.outcome(job_id):
            self._finish(job_id, Status(phase="succeeded", deaths=status.deaths))
            return
        if code >= 0:
            failure = self._spool.failure(job_id)
            reason = failure.reason if failure else f"the renderer ended with code {code}. {self._log_tail(job_id)}"
            self._finish(job_id, Status(phase="failed", deaths=status.deaths, reason=reason))
            return
        deaths = status.deaths + 1
        if deaths < self._attempts:
            logger.warning("renderer died job=%s signal=%d deaths=%d", job_id, -code, deaths)
            self._finish(job_id, Status(phase="queued", deaths=deaths))
            self._take_in(job_id)
            return
        reason = f"the renderer died {deaths} times, last by {signal.Signals(-code).name}. {self._log_tail(job_id)}"
        self._finish(job_id, Status(phase="failed", deaths=deaths, reason=reason))

    def _finish(self, job_id: str, status: Status) -> None:
        self._spool.set_status(job_id, status)
        logger.info("job ended job=%s phase=%s reason=%s", job_id, status.phase, status.reason)

    def _timeout(self, ticket: Ticket) -> float:
        facts = self._spool.media_facts(ticket.recording) if ticket.recording else None
        if facts and facts.seconds:
            seconds = facts.seconds
        else:
            seconds = len(ticket.script or "") / _SPOKEN_CHARACTERS_PER_SECOND / ticket.speed
        return self._patience + _TIMEOUT_PER_SPEECH_SECOND * seconds

    def _log_tail(self, job_id: str) -> str:
        log = (self._spool.job_folder(job_id) / "log.txt").read_bytes()[-_LOG_TAIL_BYTES:]
        return f"Its last words: {log.decode(errors='replace').strip() or 'none'}"


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def serve(pool: Pool) -> None:
    """Run a pool until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await pool.run(stop)


def main() -> None:
    """Serve the spool that the settings name."""
    parser = argparse.ArgumentParser(description="Run the local renderer's jobs.")
    parser.add_argument("--renderer", default=DEFAULT_RENDERER, help="module:function that renders")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    settings = get_settings()
    pool = Pool(
        Spool(settings.spool),
        size=settings.local_pool_size,
        attempts=settings.local_job_attempts,
        renderer=arguments.renderer,
    )
    try:
        asyncio.run(serve(pool))
    except StudioError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
