"""The Prefect worker that runs flows as processes on this machine."""

import asyncio
import sys
from datetime import datetime
from typing import Any

from infra.studio.config import WORK_POOL
from infra.studio.part import Part
from infra.studio.prefect_api import call
from tasks.errors import StudioUnavailable

WORKER_NAME = "studio-worker"


class WorkerPart(Part):
    """Starts the worker; ready when the server has seen this very process."""

    name = "worker"
    title = "worker"
    needs = ("prefect-server", "work-pool")
    waits_for_children = True

    def command(self) -> list[str]:
        """The same name at every start, so that the server knows one worker."""
        return [sys.executable, "-m", "infra.worker", "--pool", WORK_POOL, "--name", WORKER_NAME, "--alone"]

    async def probe(self, since: float) -> None:
        """Ask the server for the worker's heartbeat."""
        workers: list[dict[str, Any]] = await asyncio.to_thread(
            call, self.config, f"/work_pools/{WORK_POOL}/workers/filter", {}
        )
        seen = [worker for worker in workers if worker["name"] == WORKER_NAME and worker["status"] == "ONLINE"]
        if not seen:
            raise StudioUnavailable(f"the server knows no worker of pool {WORK_POOL!r} that is online.")
        if datetime.fromisoformat(seen[0]["last_heartbeat_time"]).timestamp() < since:
            raise StudioUnavailable("the worker has not reported since its start.")
