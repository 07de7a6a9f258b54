"""How long a run waits for its first line of code: when it is started, and after its process was killed."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from typing import Any

import psutil

from tests.bench.lab import PICTURE, Lab
from tests.bench.rows import Limit, Row
from tests.e2e.api import StudioApi

# The first lines of the flow answer both: a request without an avatar, and a run that was there before.
REFUSED: dict[str, Any] = {"title": "Bench"}
SAID_BY = "studio.run"

LOG_SECONDS = 60
IMPORT = "importing the flow in a new Python"


def run(lab: Lab) -> list[Row]:
    """Start runs that end at once, then kill one that renders, again and again."""
    api = lab.api
    started, start_imports = [], []
    for _ in lab.rounds(5, 2):
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
        "from kill -9 of the flow's process to its first line again",
        waits,
        baseline=IMPORT,
        baseline_samples=imports,
        wanted=Limit(10),
        note="while the renderer works",
    )


def _start_seconds(api: StudioApi) -> float:
    began = time.time()
    run_id = api.start(REFUSED)
    return _first_line(api, run_id, began) - began


def _restart_seconds(api: StudioApi, run_id: str) -> float:
    processes = _flow_processes(run_id)
    if not processes:
        raise RuntimeError(f"no process executes run {run_id}")
    killed = time.time()
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    return _first_line(api, run_id, killed) - killed


def _first_line(api: StudioApi, run_id: str, since: float) -> float:
    """When the flow's own code first logged after a moment, as written down by its process."""
    body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}
    end = time.monotonic() + LOG_SECONDS
    while time.monotonic() < end:
        lines = [line for line in api.call("/logs/filter", body) if line["name"] == SAID_BY]
        later = [moment for line in lines if (moment := _seconds(line["timestamp"])) > since]
        if later:
            return later[0]
        time.sleep(0.2)
    raise RuntimeError(f"run {run_id} said nothing within {LOG_SECONDS} s: {api.run(run_id)['state']}")


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _flow_processes(run_id: str) -> list[psutil.Process]:
    """The processes that execute a run now."""
    found = []
    for process in psutil.process_iter():
        try:
            environment, command = process.environ(), " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if environment.get("PREFECT__FLOW_RUN_ID") == run_id and "prefect.engine" in command:
            found.append(process)
    return found


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
