"""What the benches of batches do with a studio, be it embedded or a cluster: stage, start, follow, count."""

import asyncio
import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2

from infra.presenter import PRESENTER
from tasks.ledger import State
from tasks.ledger.store import Ledger
from tasks.storage import ObjectStore
from tests.bench.batch_rows import PORTRAIT
from tests.servers.sandbox_control import SandboxControl

PORTRAIT_SIDE = 384
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
QUERIES_PER_SECOND = 50.0
"""What the sandbox allows."""

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class BatchRun:
    """One run of a batch that has ended; seconds from the call of the API to its end."""

    run_id: str
    state: str
    seconds: float


class BatchHouse(Protocol):
    """A running studio whose paid providers are the sandbox."""

    ledger_url: str
    logs_folder: Path
    control: SandboxControl
    """The control side of its sandbox."""

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """A call of the Prefect API: GET without a body, POST with one."""
        ...

    def logs(self, run_id: str) -> str:
        """What a run logged."""
        ...

    def store(self) -> ObjectStore:
        """Its object store."""
        ...

    def furnish(self) -> None:
        """Credits enough, links that live long, and one small portrait for all rows: its size is not measured."""
        self.control.settings(credits="10000000", queries_per_second=QUERIES_PER_SECOND, link_seconds=7200)
        asyncio.run(self.store().put_bytes("staging", PORTRAIT.removeprefix("s3://staging/"), small_portrait()))

    def stage_manifest(self, name: str, rows: list[dict[str, Any]]) -> str:
        """Stage rows as JSON lines and return the manifest's reference."""
        body = "".join(json.dumps(row) + "\n" for row in rows).encode()
        asyncio.run(self.store().put_bytes("staging", f"bench/{name}.jsonl", body))
        return f"s3://staging/bench/{name}.jsonl"

    def run_batch(
        self,
        batch: dict[str, Any],
        *,
        expect: str,
        rows: int,
        within_seconds: float,
        while_it_runs: "Watch | None" = None,
    ) -> BatchRun:
        """Run a batch in which every row must end in the same way.

        Args:
            batch: its parameter.
            expect: the outcome that every row must have.
            rows: how many there are.
            within_seconds: longest time.
            while_it_runs: is told the run's id and entered until the run has ended.

        Raises:
            RuntimeError: it took too long or did something else; the message ends with its log.
        """
        run = self.follow_batch(batch, within_seconds=within_seconds, while_it_runs=while_it_runs)
        counts = self.outcomes(run.run_id)
        if run.state != "COMPLETED" or counts != {expect: rows}:
            raise RuntimeError(f"the batch is {run.state} with {counts}:\n{self.logs(run.run_id)[-3000:]}")
        return run

    def follow_batch(
        self, batch: dict[str, Any], *, within_seconds: float, while_it_runs: "Watch | None" = None
    ) -> BatchRun:
        """Start a run of ``render-batch/studio`` as a program does, and follow it to its end; see ``run_batch``."""
        began = time.monotonic()
        run_id = self.begin_run("render-batch", {"batch": batch})
        with while_it_runs(run_id) if while_it_runs else nullcontext():
            state = self.wait_end(run_id, within_seconds)
            seconds = time.monotonic() - began
        return BatchRun(run_id, state, seconds)

    def begin_run(self, flow: str, parameters: dict[str, Any]) -> str:
        """Start a run of a flow's deployment; returns its id."""
        deployment = self.call(f"/deployments/name/{flow}/studio")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED", "state_details": {}}}
        return str(self.call(f"/deployments/{deployment['id']}/create_flow_run", body)["id"])

    def wait_end(self, run_id: str, within_seconds: float) -> str:
        """Wait for the end of a run; returns the type of its last state. ``RuntimeError`` when it takes too long."""
        end = time.monotonic() + within_seconds
        while (state := self.call(f"/flow_runs/{run_id}")["state"])["type"] not in ENDED:
            if time.monotonic() > end:
                raise RuntimeError(f"{state} after {within_seconds:g} s:\n{self.logs(run_id)[-3000:]}")
            time.sleep(_LOOK_SECONDS)
        return str(state["type"])

    def outcomes(self, run_id: str) -> dict[str, int]:
        """How many rows of a batch run ended how, as the ledger has it."""

        async def count() -> dict[str, int]:
            async with await Ledger.open(self.ledger_url) as ledger:
                batch = next(batch for batch in await ledger.batches() if batch.run_id == run_id)
                counts = await ledger.count_rows(batch.id, run_id)
            return {str(state): number for state, number in counts.items() if number}

        return asyncio.run(count())

    def settle_doubts(self) -> None:
        """Settle every submission of unknown outcome by what the sandbox, as the vendor's console, has of its text."""
        jobs = {job["body"].get("ttsText"): job["job_id"] for job in self.control.submissions("topview")}

        async def settle() -> None:
            async with await Ledger.open(self.ledger_url) as ledger:
                for entry in await ledger.in_states({State.AMBIGUOUS}):
                    job_id = jobs.get(entry.payload["ttsText"])
                    to: Literal[State.SUBMITTED, State.RESERVED] = State.SUBMITTED if job_id else State.RESERVED
                    note = "seen in the console" if job_id else "not in the console"
                    await ledger.settle(entry.id, to, owner="a person", note=note, job_id=job_id)

        asyncio.run(settle())


class Watch(Protocol):
    """Something to do for as long as a run goes on."""

    def __call__(self, run_id: str) -> AbstractContextManager[Any]:
        """Begin when entered, end when left."""
        ...


def small_portrait() -> bytes:
    """The bundled presenter as a small JPEG."""
    picture = cv2.imread(str(PRESENTER))
    if picture is None:
        raise OSError(f"cannot read {PRESENTER}")
    small = cv2.resize(picture, (PORTRAIT_SIDE, PORTRAIT_SIDE), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small)[1].tobytes()
