"""The life of a job: waiting, rendering, done or failed. Each runs as an asyncio task, again after a crash."""

import asyncio
import hashlib
import logging
import time
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from infra.sandbox.material import JobFailed, Material, Renderer
from infra.sandbox.records import Job, Vendor
from infra.sandbox.truth import Truth

_QUEUED_SHARE = 0.2
"""Part of a job's shortest time that it shows as waiting."""

_RENDERS_AT_ONCE = 2

log = logging.getLogger("studio.sandbox")


class VendorJobs(Protocol):
    """What is different about the jobs of a vendor."""

    async def gather(self, job: Job) -> Material | None:
        """Bring the inputs together; None for a job that makes no video.

        Raises:
            JobFailed: an input is missing or unusable.
        """
        ...

    def price(self, job: Job, seconds: float) -> Decimal:
        """What a video of so many seconds costs."""
        ...

    def complete(self, job: Job) -> None:
        """Do what else follows from success, at once."""
        ...

    async def report(self, job: Job) -> None:
        """Tell the customer about the end, as far as that is not done yet."""
        ...


class Workshop:
    """Brings jobs to their end.

    Args:
        truth: where jobs are kept.
        results: folder of the finished videos.
        renderer: makes them.
        vendors: whose jobs there are.
    """

    def __init__(self, truth: Truth, results: Path, renderer: Renderer, vendors: dict[Vendor, VendorJobs]) -> None:
        self._truth, self._results, self._renderer, self._vendors = truth, results, renderer, vendors
        self._slots = asyncio.Semaphore(_RENDERS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job: Job) -> None:
        """Work on a job in the background."""
        task = asyncio.create_task(self._run(job), name=job.id)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def resume(self) -> None:
        """Go on with everything that a former process left unfinished."""
        for job in list(self._truth.jobs.values()):
            if not job.is_over or (job.notice and not job.notice.is_over):
                self.start(job)

    async def stop(self) -> None:
        """Drop what is being done; the jobs stay as they are."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("job left unfinished job=%s", task.get_name(), exc_info=task.exception())

    async def _run(self, job: Job) -> None:
        vendor = self._vendors[job.vendor]
        if not job.is_over:
            await _sleep_until(job.at + _QUEUED_SHARE * (job.due - job.at))
            job.state = "rendering"
            self._truth.save_job(job)
            if job.fate == "stuck":
                return
            await self._bring_to_an_end(job, vendor)
        await vendor.report(job)

    async def _bring_to_an_end(self, job: Job, vendor: VendorJobs) -> None:
        try:
            price = await self._render(job, vendor)
            await _sleep_until(job.due)
            vendor.complete(job)
            job.state, job.charged = "done", price
        except JobFailed as failed:
            await _sleep_until(job.due)
            job.state, job.reason = "failed", str(failed)
            job.charged = job.reserved if self._truth.knobs.charge_failures else Decimal(0)
        job.reserved, job.ended = Decimal(0), time.time()
        self._truth.save_job(job)

    async def _render(self, job: Job, vendor: VendorJobs) -> Decimal:
        """Make the video and note its facts; returns the price. Raises ``JobFailed``, also when it was told to."""
        if job.fate == "fail":
            raise JobFailed(job.reason)
        material = await vendor.gather(job)
        if material is None:
            return Decimal(0)
        target = self._results / job.vendor / f"{job.id}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        async with self._slots:
            seconds = await self._renderer.render(material, target, job.id)
        job.md5 = await asyncio.to_thread(_md5, target)
        job.result, job.size = target.name, target.stat().st_size
        return vendor.price(job, seconds)


async def _sleep_until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.time()))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
