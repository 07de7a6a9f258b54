"""The studio as the Prefect UI and other programs see it: plain calls to the REST API."""

import json
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psutil

from infra.studio.parts.object_store import ObjectStorePart
from tasks.storage import ObjectStore
from tests.studio_fixture import RunningStudio

FINAL = {"COMPLETED", "FAILED", "CANCELLED"}


@dataclass
class StudioApi:
    """A running studio."""

    studio: RunningStudio

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """GET without a body, POST with one; errors are raised."""
        url = f"{self.studio.api_url}{path}"
        response = httpx.get(url, timeout=60) if body is None else httpx.post(url, json=body, timeout=60)
        response.raise_for_status()
        return response.json()

    def deployment(self, flow: str = "render-video") -> dict[str, Any]:
        """The deployment of a flow."""
        return self.call(f"/deployments/name/{flow}/studio")

    def start(self, request: dict[str, Any]) -> str:
        """Start the render of one video as the UI's form does and return the run's id."""
        return self.start_flow("render-video", {"request": request})

    def start_batch(self, batch: dict[str, Any]) -> str:
        """Start a batch as the UI's form does and return the run's id."""
        return self.start_flow("render-batch", {"batch": batch})

    def start_flow(self, flow: str, parameters: dict[str, Any]) -> str:
        """Start a run of a flow's deployment as the UI's form does and return its id."""
        deployment = self.deployment(flow)
        body = {
            "name": "from-the-form",
            "parameters": parameters,
            "state": {"type": "SCHEDULED", "message": "", "state_details": {}},
            "enforce_parameter_schema": deployment["enforce_parameter_schema"],
            "job_variables": {},
        }
        return self.call(f"/deployments/{deployment['id']}/create_flow_run", body)["id"]

    def cancel(self, run_id: str) -> None:
        """Cancel a run as the UI's button does."""
        self.call(f"/flow_runs/{run_id}/set_state", {"state": {"type": "CANCELLING"}, "force": False})

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as it is now."""
        return self.call(f"/flow_runs/{run_id}")

    def wait(self, run_id: str, seconds: float = 240) -> dict[str, Any]:
        """The run once it has ended."""
        return self.wait_for(run_id, lambda run: run["state"]["type"] in FINAL, seconds)

    def wait_for_step(self, run_id: str, step: str, seconds: float = 120) -> None:
        """Wait until a step of the run is running."""

        def running(_run: dict[str, Any]) -> bool:
            return any(found["name"] == step and found["state"]["type"] == "RUNNING" for found in self.steps(run_id))

        self.wait_for(run_id, running, seconds)

    def wait_for(self, run_id: str, reached: Any, seconds: float) -> dict[str, Any]:
        """The run once ``reached(run)`` is true."""
        end = time.monotonic() + seconds
        while not reached(run := self.run(run_id)):
            assert time.monotonic() < end, f"run is still {run['state']}, steps {self.steps(run_id)}"
            assert run["state"]["type"] not in FINAL or reached(run), run["state"]
            time.sleep(0.1)
        return run

    def steps(self, run_id: str) -> list[dict[str, Any]]:
        """The task runs of a run."""
        body = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "EXPECTED_START_TIME_DESC"}
        return self.call("/task_runs/filter", body)

    def states(self, run_id: str) -> list[str]:
        """Names of all states that a run has been in."""
        return [state["name"] for state in self.call(f"/flow_run_states/?flow_run_id={run_id}")]

    def flow_processes(self, run_id: str) -> list[psutil.Process]:
        """The processes that execute a run now."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            if environment.get("PREFECT__FLOW_RUN_ID") == run_id and "prefect.engine" in " ".join(process.cmdline()):
                found.append(process)
        return found

    def artifacts(self, run_id: str) -> dict[str, dict[str, Any]]:
        """The artifacts of a run by key."""
        found = self.call("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
        return {artifact["key"]: artifact for artifact in found}

    def facts(self, run_id: str) -> dict[str, str]:
        """The facts of a run's video, from its table."""
        return {row["fact"]: row["value"] for row in json.loads(self.artifacts(run_id)["archived-video"]["data"])}

    def logs(self, run_id: str) -> str:
        """What the run logged."""
        found = self.call("/logs/filter", {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"})
        return "\n".join(line["message"] for line in found)

    def wait_for_event(self, name: str, resource: str, seconds: float = 60) -> dict[str, Any]:
        """An event, once the server shows it."""
        wanted = {"filter": {"event": {"name": [name]}, "resource": {"id": [resource]}}}
        end = time.monotonic() + seconds
        while not (found := self.call("/events/filter", wanted)["events"]):
            assert time.monotonic() < end, f"no event {name} of {resource}"
            time.sleep(0.2)
        return found[0]

    def wait_for_all_events(self) -> None:
        """Wait until the server shows all events that it has taken in: it writes them later, in their order."""
        last = f"tests.last.{uuid4().hex}"
        event = {
            "id": str(uuid4()),
            "event": "tests.last",
            "resource": {"prefect.resource.id": last},
            "occurred": datetime.now(UTC).isoformat(),
        }
        httpx.post(f"{self.studio.api_url}/events", json=[event], timeout=60).raise_for_status()
        self.wait_for_event("tests.last", last)

    def store(self) -> ObjectStore:
        """The studio's object store."""
        keys = ObjectStorePart(self.studio.config).credentials()
        return ObjectStore(
            endpoint=self.studio.s3_endpoint,
            access_key=keys.access_key,
            secret_key=keys.secret_key,
            secure=False,
        )

    def submissions(self) -> list[tuple[str, int, str]]:
        """Render key, attempt and state of every row in the ledger."""
        with sqlite3.connect(self.studio.home / "ledger.db") as database:
            return database.execute("select render_key, attempt, state from submissions").fetchall()

    def jobs(self) -> set[str]:
        """Ids of all jobs that the local renderer was ever given: the provider's own count."""
        return {path.name for path in (self.studio.home / "local-renderer" / "jobs").glob("*") if path.is_dir()}
