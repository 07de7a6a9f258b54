"""How long a run waits for its process: when it is started, and after that process was killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.bench.lab import PICTURE, Lab
from tests.bench.rows import Limit, Row
from tests.e2e.api import StudioApi

# The flow's first lines refuse a request without an avatar and say so.
REFUSED: dict[str, Any] = {"title": "Bench"}
REFUSED_BY = "studio.run"

PATIENCE_SECONDS = 90
LOOK_SECONDS = 0.2
IMPORT = "importing the flow in a new Python"


def run(lab: Lab) -> list[Row]:
    """Start runs that end at once, then kill one that renders, again and again."""
    api = lab.api
    started, start_imports = [], []
    for _ in lab.rounds(5):
        start_imports.append(_import_seconds(api))
        started.append(_start_seconds(api))
    return [
        Row(
            "from the API call to the first line of the flow",
            started,
            baseline=IMPORT,
            baseline_samples=start_imports,
            wanted=Limit(5),
        ),
        _killed(lab),
    ]


def _killed(lab: Lab) -> Row:
    """One long render that goes on meanwhile, as in life; its run is killed as often as the studio restarts it."""
    api = lab.api
    request = {
        "title": "Bench",
        "avatar": {"kind": "portrait", "image": PICTURE},
        "speech": {"kind": "recording", "audio": lab.stage_new_speech(30 if lab.quick else 180)},
    }
    run_id = api.start(request)
    waits, imports = [], []
    for _ in lab.rounds(4):
        api.wait_for_step(run_id, "wait for the render")
        imports.append(_import_seconds(api))
        waits.append(_restart_seconds(api, run_id))
    return Row(
        "from kill -9 of the flow's process to running again",
        waits,
        baseline=IMPORT,
        baseline_samples=imports,
        wanted=Limit(10),
        note="while the renderer works",
    )


def _start_seconds(api: StudioApi) -> float:
    began = time.time()
    run_id = api.start(REFUSED)
    body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}

    def lines() -> list[str]:
        return [line["timestamp"] for line in api.call("/logs/filter", body) if line["name"] == REFUSED_BY]

    return _first_after(began, lines) - began


def _restart_seconds(api: StudioApi, run_id: str) -> float:
    processes = api.flow_processes(run_id)
    if not processes:
        raise RuntimeError(f"no process executes run {run_id}")
    killed = time.time()
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)

    def starts() -> list[str]:
        states = api.call(f"/flow_run_states/?flow_run_id={run_id}")
        return [state["timestamp"] for state in states if state["type"] == "RUNNING"]

    return _first_after(killed, starts) - killed


def _first_after(moment: float, look: Callable[[], list[str]]) -> float:
    """The first time stamp after a moment, as soon as there is one; the run's own process wrote it down."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        later = [found for stamp in look() if (found := datetime.fromisoformat(stamp).timestamp()) > moment]
        if later:
            return min(later)
        time.sleep(LOOK_SECONDS)
    raise RuntimeError(f"the run did not get there within {PATIENCE_SECONDS} s")


def _import_seconds(api: StudioApi) -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", "import prefect.engine, flows.render_video"],
        cwd=api.studio.environment["STUDIO_SOURCE"],
        env=api.studio.environment,
        timeout=120,
        check=True,
    )
    return time.monotonic() - began
