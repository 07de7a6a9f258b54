"""A cluster on PostgreSQL with a sandbox for thousands of renders, and what its processes cost."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from infra.cluster.client import running_cluster
from infra.cluster.compose import COMPOSE_FILE
from infra.cluster.member_process import marked_processes
from tests.bench.batch_house import BatchHouse
from tests.cluster.cluster_api import ClusterApi
from tests.servers.sandbox_control import SandboxControl


class BatchCluster(ClusterApi, BatchHouse):
    """A running cluster whose paid providers are the sandbox."""

    @cached_property
    def control(self) -> SandboxControl:
        """The control side of its sandbox."""
        return SandboxControl(self.cluster.sandbox_url)

    @property
    def ledger_url(self) -> str:
        """Where its ledger is."""
        return self.cluster.ledger_url

    @property
    def logs_folder(self) -> Path:
        """What its containers printed."""
        return self.cluster.folder / "logs"

    def shards_of(self, run_id: str) -> list[dict[str, Any]]:
        """The runs that work on parts of a batch run."""
        wanted = {"deployments": {"name": {"any_": ["studio"]}}, "flows": {"name": {"any_": ["render-shard"]}}}
        found = self.call("/flow_runs/filter", {**wanted, "limit": 200})
        return [run for run in found if run["parameters"]["shard"]["run_id"] == run_id]


@contextmanager
def batch_cluster(workers: int) -> Iterator[BatchCluster]:
    """A furnished cluster with a sandbox of ready clips, as long as the block."""
    # Not below the lab's folder: PostgreSQL's user must reach it, and the paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp"))
    try:
        file = folder / "compose.yaml"
        told = COMPOSE_FILE.read_text(encoding="utf-8")
        if "--renderer, quick" not in told:
            raise RuntimeError("the compose file does not say any more how the sandbox renders")
        file.write_text(told.replace("--renderer, quick", "--renderer, clip"), encoding="utf-8")
        with running_cluster(folder, workers=workers, sandbox=True, file=file) as cluster:
            found = BatchCluster(cluster)
            found.furnish()
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Cost:
    """Processor seconds since the machine or the processes began."""

    at: float
    workers: float
    """Of the workers and all flow runs that they started."""
    servers: float
    """Of Prefect's servers and services, PostgreSQL and Redis."""
    vendor: float
    """Of sandbox and object store, which stand for others' machines."""
    busy: float
    """Of the whole machine."""

    def until(self, later: "Cost") -> "Cost":
        """What was spent from this moment to a later one."""
        return Cost(
            later.at - self.at,
            later.workers - self.workers,
            later.servers - self.servers,
            later.vendor - self.vendor,
            later.busy - self.busy,
        )


def cost_of(cluster: BatchCluster) -> Cost:
    """What everything has cost so far; flow runs that have ended count with their workers."""
    spent = {"workers": 0.0, "servers": 0.0, "vendor": 0.0}
    for member in cluster.cluster.state.members:
        service = member.rpartition("-")[0]
        kind = {"worker": "workers", "sandbox": "vendor", "seaweedfs": "vendor"}.get(service, "servers")
        for process in marked_processes(cluster.cluster.folder, member):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent[kind] += times.user + times.system + times.children_user + times.children_system
    machine = psutil.cpu_times()
    return Cost(time.monotonic(), busy=sum(machine) - machine.idle - machine.iowait, **spent)
