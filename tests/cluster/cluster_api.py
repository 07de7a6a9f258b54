"""A cluster as programs see it: Prefect's API, the ledger, the sandbox's own books."""

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
from dotenv import dotenv_values
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from infra.cluster.client import Cluster
from infra.cluster.member_process import marked_processes
from tasks.storage import ObjectStore

FINAL = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
PATIENCE_SECONDS = 90


@dataclass
class ClusterApi:
    """A running cluster with the sandbox."""

    cluster: Cluster
    started: list[str] = field(default_factory=list)
    """Ids of all runs that were asked for here."""

    # Prefect

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET without a body, POST with one; patient while a server or its database is away."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with httpx.Client(auth=self.cluster.api_login, timeout=30, trust_env=False) as client:
                    url = f"{self.cluster.api_url}{path}"
                    answer = client.get(url) if body is None else client.post(url, json=body)
                if answer.status_code < 500:
                    return answer.raise_for_status().json()
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"no answer to {path}"
            time.sleep(0.5)

    def start(self, script: str) -> str:
        """Ask for one video with this script, as the UI's form does; returns the run's id."""
        request = {
            "title": "From the cluster",
            "provider": "topview",
            "avatar": {"kind": "portrait", "image": "s3://staging/good/presenter.png"},
            "speech": {"kind": "script", "text": script, "voice": "v-en-ada"},
        }
        return self.start_flow("render-video", script, {"request": request})

    def start_flow(self, flow: str, name: str, parameters: dict[str, Any]) -> str:
        """Start a run of a flow's deployment; returns its id."""
        deployment = self.call(f"/deployments/name/{flow}/studio")
        body = {
            "name": name,
            "parameters": parameters,
            "state": {"type": "SCHEDULED", "message": "", "state_details": {}},
            "enforce_parameter_schema": deployment["enforce_parameter_schema"],
        }
        run_id = self.call(f"/deployments/{deployment['id']}/create_flow_run", body)["id"]
        self.started.append(run_id)
        return run_id

    def wait(self, run_id: str, seconds: float = 300) -> dict[str, Any]:
        """The run once it has ended for good."""
        return self.wait_for(run_id, FINAL - {"CRASHED"}, seconds)

    def wait_for(self, run_id: str, types: set[str], seconds: float = 120) -> dict[str, Any]:
        """The run once its state is of one of these types."""
        deadline = time.monotonic() + seconds
        while (run := self.call(f"/flow_runs/{run_id}"))["state"]["type"] not in types:
            assert time.monotonic() < deadline, f"still {run['state']} after {self.states(run_id)}"
            time.sleep(0.5)
        return run

    def states(self, run_id: str) -> list[str]:
        """Names of all states that a run has been in."""
        return [state["name"] for state in self.call(f"/flow_run_states/?flow_run_id={run_id}")]

    def task_runs(self, run_id: str) -> list[dict[str, Any]]:
        """The task runs of a run."""
        return self.call("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})

    def logs(self, run_id: str) -> str:
        """What the run logged."""
        found = self.call("/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"})
        return "\n".join(line["message"] for line in found)

    # Workers

    def workers(self) -> dict[str, int]:
        """Which runs are executed now, by which worker."""
        found = {}
        for index in range(len(self.cluster.pids["worker"])):
            for process in marked_processes(self.cluster.folder, f"worker-{index}"):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found[process.environ().get("PREFECT__FLOW_RUN_ID", "")] = index
        return found

    def wait_for_workers(self, runs: list[str], seconds: float = 180) -> dict[str, int]:
        """The workers of runs, once each has had one."""
        deadline, found = time.monotonic() + seconds, {}
        while set(runs) - found.keys():
            found |= self.workers()
            assert time.monotonic() < deadline, f"not all of {runs} were taken: {found}"
            time.sleep(0.2)
        return {run_id: found[run_id] for run_id in runs}

    # Books

    def sandbox(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of the sandbox's control side."""
        with httpx.Client(timeout=30, trust_env=False) as client:
            url = f"{self.cluster.sandbox_url}/control/{path}"
            return client.request(method, url, json=body).raise_for_status().json()

    def jobs(self) -> list[str]:
        """Ids of the jobs that the sandbox accepted as TopView."""
        return [job["job_id"] for job in self.sandbox("GET", "truth")["topview"]["submissions"]]

    def wait_for_jobs(self, number: int, seconds: float = 120) -> None:
        """Wait until the sandbox has accepted so many jobs in all."""
        deadline = time.monotonic() + seconds
        while len(self.jobs()) < number:
            assert time.monotonic() < deadline, f"{len(self.jobs())} of {number} jobs"
            time.sleep(0.3)

    def ledger_rows(self) -> list[dict[str, Any]]:
        """Render key, attempt, state and job id of every row."""
        return asyncio.run(_rows(self.cluster.ledger_url))

    # Store

    def store(self) -> ObjectStore:
        """The cluster's object store."""
        keys = dotenv_values(self.cluster.folder / "cluster.env", interpolate=False)
        return ObjectStore(
            endpoint=self.cluster.s3_endpoint,
            access_key=keys["S3_ACCESS_KEY"],
            secret_key=keys["S3_SECRET_KEY"],
            secure=False,
        )


async def _rows(url: str) -> list[dict[str, Any]]:
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            found = await connection.execute(text("SELECT render_key, attempt, state, job_id FROM submissions"))
            return [dict(row) for row in found.mappings()]
    finally:
        await engine.dispose()
