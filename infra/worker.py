"""The studio's process worker: Prefect's own, with a cap on restarts, and one report of a crash instead of two.

Prefect's process worker (3.8.8) proposes Crashed twice when a flow run's process is killed: once inside ``run``, and
once more, about a second later, for its exit code. By then the automation `studio-restart-crashed` has scheduled the
run again, and the late second report crashes the healthy restart.
"""

import argparse
import asyncio
import os
from typing import TYPE_CHECKING

import anyio.abc
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Failed
from prefect.utilities.processutils import setup_signal_handlers_worker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from infra.studio.interrupted import AWAITING_RESTART, interrupted_runs, settle_interrupted
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun


class StudioWorker(ProcessWorker):
    """Runs flow runs as processes on this machine."""

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Run one flow run to its end; a process that died has been reported as crashed when this returns."""
        if await self._is_hopeless(flow_run):
            if task_status is not None:
                task_status.started(0)
            return ProcessWorkerResult(status_code=0, identifier="not started")
        result = await super().run(flow_run, configuration, task_status)
        return ProcessWorkerResult(status_code=0, identifier=result.identifier)

    async def _is_hopeless(self, flow_run: "FlowRun") -> bool:
        """End a run whose process died more often than the cap allows; the count is in the ledger.

        Counted here and not in the flow, since a process may die before it reaches the flow's first line.
        """
        waited = [state for state in await self.client.read_flow_run_states(flow_run.id) if state.is_scheduled()]
        if not waited or max(waited, key=lambda state: state.timestamp).name != AWAITING_RESTART:
            return False
        async with open_ledger() as ledger:
            restarts = await ledger.count_restart(str(flow_run.id))
        if restarts <= get_settings().restart_cap:
            return False
        message = (
            f"the process of this run died {restarts} times. See its log; what was submitted is in the ledger, "
            "and running the request again resumes it."
        )
        await self.client.set_flow_run_state(flow_run.id, Failed(message=message), force=True)
        return True


async def work(pool: str, name: str | None, *, alone: bool, limit: int | None = None) -> None:
    """Serve a work pool until the process is told to stop.

    Args:
        pool: the work pool.
        name: of this worker in the UI.
        alone: no other worker serves the pool, so a run that is about to start is one that a dead worker left.
        limit: most runs at once; without it the first worker that looks takes all, and others stay idle.
    """
    if alone:
        async with get_client() as client:
            await settle_interrupted(client, await interrupted_runs(client, pool, [StateType.PENDING]))
    worker = StudioWorker(work_pool_name=pool, name=name, create_pool_if_not_found=False, limit=limit)
    await worker.start(with_healthcheck=False)


def main() -> None:
    """Serve the work pool named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pool", default="studio", help="work pool to serve")
    parser.add_argument("--name", default=None, help="name of this worker in the UI")
    parser.add_argument("--alone", action="store_true", help="no other worker serves this pool")
    parser.add_argument("--limit", type=int, default=None, help="most runs at once")
    arguments = parser.parse_args()
    # The first signal ends the worker politely, a second one at once.
    setup_signal_handlers_worker(os.getpid(), "the studio's worker", print)
    asyncio.run(work(arguments.pool, arguments.name, alone=arguments.alone, limit=arguments.limit))


if __name__ == "__main__":
    main()
