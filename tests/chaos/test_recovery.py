"""Parts are killed for real in the middle of a render: the video arrives, once, whole, from one submission."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from infra.studio.processes import processes_of_part
from tasks.archive import ArchivedRender, find_in_store
from tests.e2e.api import StudioApi

pytestmark = pytest.mark.chaos


def _request() -> dict[str, Any]:
    """A render of its own for every test, long enough to be caught in the middle."""
    words = " ".join(["This is said while something else is being destroyed, which nobody will notice."] * 3)
    return {
        "title": "Chaos",
        "avatar": {"kind": "portrait", "image": "s3://staging/good/face.png"},
        "speech": {"kind": "script", "text": f"{words} {uuid4().hex[:6]}"},
        "output": {"resolution": "512p"},
    }


def _kill(processes: list[psutil.Process]) -> None:
    assert processes
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)


def _part(api: StudioApi, name: str) -> list[psutil.Process]:
    """The processes of a part itself, without the runs that a worker executes."""
    found = processes_of_part(api.studio.home, name)
    return [process for process in found if "prefect.engine" not in " ".join(process.cmdline())]


def _answers(api: StudioApi) -> bool:
    try:
        return bool(api.call("/health"))
    except httpx.HTTPError:
        return False


def _archived(api: StudioApi, run_id: str) -> ArchivedRender | None:
    return asyncio.run(find_in_store(api.store(), api.facts(run_id)["render key"]))


def _wait_until_accepted(api: StudioApi, rows: list[tuple[str, int, str]]) -> None:
    """The ledger knows at once that a render is waited for; a busy Prefect server tells when it is over."""
    end = time.monotonic() + 120
    while not any(row[2] == "submitted" for row in api.submissions() if row not in rows):
        assert time.monotonic() < end, api.submissions()
        time.sleep(0.1)


def _interrupted(api: StudioApi, disturb: Callable[[str], None]) -> str:
    """Render, and disturb something while the render is waited for; checks that all is well and returns the run."""
    jobs, rows = api.jobs(), api.submissions()
    run_id = api.start(_request())
    _wait_until_accepted(api, rows)
    disturb(run_id)
    run = api.wait(run_id, 300)

    assert run["state"]["type"] == "COMPLETED", run["state"]
    record = _archived(api, run_id)
    assert record is not None, "the archive has no whole video"
    assert len(api.jobs() - jobs) == 1, "the provider was given more than one job"
    new = [row for row in api.submissions() if row not in rows]
    assert [(row[1], row[2]) for row in new] == [(1, "archived")]
    return run_id


def test_killed_flow_process_is_started_again_and_resumes(api: StudioApi) -> None:
    """SIGKILL of the process that waits for the render: back within seconds, same job, no second submission."""
    killed_at = 0.0

    def kill(run_id: str) -> None:
        nonlocal killed_at
        _kill(api.flow_processes(run_id))
        killed_at = time.monotonic()
        api.wait_for(run_id, lambda run: run["run_count"] >= 2, 60)

    run_id = _interrupted(api, kill)

    assert "AwaitingRestart" in api.states(run_id)
    assert api.run(run_id)["run_count"] == 2


def test_killed_worker_does_not_take_the_run_with_it(api: StudioApi) -> None:
    """SIGKILL of the worker: the run goes on, and the next run finds a new worker."""
    _interrupted(api, lambda _run: _kill(_part(api, "worker")))

    assert api.wait(api.start(_request()))["state"]["type"] == "COMPLETED"


def test_killed_renderer_starts_over_with_the_same_job(api: StudioApi) -> None:
    """SIGKILL of the renderer and its pool: the job is queued again by itself."""
    _interrupted(api, lambda _run: _kill(_part(api, "renderer")))


def test_store_killed_in_mid_upload_gets_the_whole_video(api: StudioApi) -> None:
    """The store hangs while the video is uploaded and is then killed: nothing half, nothing lost, one job."""

    def freeze_then_kill(run_id: str) -> None:
        stores = _part(api, "object-store")
        for process in stores:
            os.kill(process.pid, signal.SIGSTOP)
        api.wait_for_step(run_id, "archive")
        time.sleep(2)
        _kill(stores)

    _interrupted(api, freeze_then_kill)


def test_killed_prefect_server_comes_back_and_the_run_ends_well(api: StudioApi) -> None:
    """SIGKILL of the Prefect server in the middle of a render: the supervisor starts it again, the run goes on."""

    def kill(_run_id: str) -> None:
        _kill(_part(api, "prefect-server"))
        end = time.monotonic() + 60
        while not _answers(api):
            assert time.monotonic() < end, "the server did not come back"
            time.sleep(0.5)

    _interrupted(api, kill)


def test_run_that_keeps_dying_ends_with_its_count(api: StudioApi) -> None:
    """The cap holds: after five restarts the run is failed and says so, instead of dying for ever."""
    run_id = api.start(_request() | {"speech": {"kind": "script", "text": "A very long speech. " * 200}})
    deadline = time.monotonic() + 240
    while (run := api.run(run_id))["state"]["type"] != "FAILED":
        assert time.monotonic() < deadline, api.states(run_id)
        for process in api.flow_processes(run_id):
            process.kill()
        time.sleep(0.3)

    assert "died 6 times" in run["state"]["message"]
    assert api.states(run_id).count("AwaitingRestart") == 6


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_run_whose_machine_went_away_is_noticed_by_its_silence(api: StudioApi) -> None:
    """Worker and flow process are killed together: no heartbeat for 90 s, then the run is started again and ends."""

    def kill(run_id: str) -> None:
        _kill(_part(api, "worker"))
        _kill(api.flow_processes(run_id))
        api.wait_for(run_id, lambda run: run["run_count"] >= 2, 300)

    _interrupted(api, kill)
