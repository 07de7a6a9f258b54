"""Batches in a real studio whose sandbox plays the providers: whole, again, cancelled, killed, in shards."""

import asyncio
import csv
import io
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deployments.demo_request import write_demo_clip
from tests.e2e.api import StudioApi
from tests.e2e.staged import stage_media
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in

DEFAULTS = {
    "provider": "topview",
    "avatar": {"image": "s3://staging/good/presenter.png"},
    "speech": {"voice": "v-en-ada", "text": "Hello {{name}}, this is your own video."},
    "title": "For {{name}}",
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio with the sandbox, whose renders are clips that were made before; media staged."""
    folder = tmp_path_factory.mktemp("batches")
    with studio_in(folder / "home", sandbox=True, sandbox_renderer="clip") as running:
        api = StudioApi(running)
        clip = write_demo_clip(folder / "presenter.mp4")
        asyncio.run(stage_media(api.store(), folder))
        asyncio.run(api.store().put_bytes("staging", "good/presenter.mp4", clip.read_bytes()))
        yield api


@pytest.fixture
def sandbox(studio: StudioApi) -> Iterator[SandboxControl]:
    """The sandbox's control; its settings are put back."""
    control = SandboxControl(studio.studio.config.sandbox_address)
    yield control
    control.clear()
    control.settings(render_seconds=0.5)


def rows(prefix: str, count: int) -> list[dict[str, str]]:
    """Rows for so many people."""
    return [{"name": f"{prefix} {number}"} for number in range(1, count + 1)]


def paid(sandbox: SandboxControl, prefix: str) -> Counter[str]:
    """Paid submissions by script, in the sandbox's own count, of the people with this prefix."""
    scripts = [str(job["body"].get("ttsText") or job["body"]) for job in sandbox.truth()["topview"]["submissions"]]
    return Counter(script for script in scripts if f"Hello {prefix} " in script)


def outcomes(studio: StudioApi, run_id: str) -> list[dict[str, str]]:
    """The table of outcomes in the archive."""
    table = json.loads(studio.artifacts(run_id)["batch-outcomes"]["data"])
    assert table
    key = next(
        found.key for found in _objects(studio, "batches/") if found.key.endswith(f"/runs/{run_id}/outcomes.csv")
    )
    body = asyncio.run(studio.store().get_bytes("archive", key, limit=10_000_000))
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"))))


def _objects(studio: StudioApi, prefix: str) -> list[Any]:
    async def collect() -> list[Any]:
        return [found async for found in studio.store().list_objects("archive", prefix)]

    return asyncio.run(collect())


def states(studio: StudioApi, run_id: str) -> Counter[str]:
    """Rows by outcome."""
    return Counter(row["outcome"] for row in outcomes(studio, run_id))


def test_every_row_becomes_a_video_and_running_it_again_costs_nothing(
    studio: StudioApi, sandbox: SandboxControl
) -> None:
    """One submission per row, a duplicate shares its video, the report opens, and the second run submits nothing."""
    batch = {"name": "Greetings", "rows": [*rows("Ann", 12), {"name": "Ann 3", "title": "The same once more"}]}

    first = studio.wait(studio.start_batch({**batch, "defaults": DEFAULTS}))

    assert first["state"]["type"] == "COMPLETED", (first["state"], studio.logs(first["id"]))
    assert states(studio, first["id"]) == {"done": 12, "already there": 1}
    assert list(paid(sandbox, "Ann").values()) == [1] * 12
    found = outcomes(studio, first["id"])
    assert {row["title"] for row in found} == {f"For Ann {n}" for n in range(1, 13)} | {"The same once more"}
    assert found[2]["video"] == found[12]["video"]
    page = httpx.get(_report_link(studio, first["id"]), timeout=30).raise_for_status().text
    assert "For Ann 12" in page
    steps = studio.steps(first["id"])
    assert Counter(step["state"]["type"] for step in steps) == {"COMPLETED": len(steps)}
    assert {f"row {n}" for n in range(1, 14)} <= {step["name"] for step in steps}

    again = studio.wait(studio.start_batch({**batch, "defaults": DEFAULTS}))

    assert again["state"]["type"] == "COMPLETED"
    assert states(studio, again["id"]) == {"already there": 13}
    assert list(paid(sandbox, "Ann").values()) == [1] * 12


def _report_link(studio: StudioApi, run_id: str) -> str:
    told = studio.artifacts(run_id)["batch-report"]["data"]
    return told.partition("](")[2].rpartition(")")[0]


def test_a_wrong_row_refuses_the_batch_before_anything_is_spent(studio: StudioApi, sandbox: SandboxControl) -> None:
    """The run names row and column; asked to skip it, the others are rendered and the row says why it is not."""
    wrong = {"name": "Bob 3", "speed": "fast"}
    batch = {"name": "One is wrong", "rows": [*rows("Bob", 2), wrong], "defaults": DEFAULTS}

    refused = studio.wait(studio.start_batch(batch))

    assert (refused["state"]["type"], refused["state"]["name"]) == ("FAILED", "Refused")
    assert "row 3, speech.speed" in refused["state"]["message"]
    assert paid(sandbox, "Bob") == {}

    skipped = studio.wait(studio.start_batch({**batch, "bad_rows": "skip"}))

    assert skipped["state"]["name"] == "Partly done"
    assert states(studio, skipped["id"]) == {"done": 2, "failed": 1}
    assert len(paid(sandbox, "Bob")) == 2


def test_each_row_says_why_it_has_no_video(studio: StudioApi, sandbox: SandboxControl) -> None:
    """Media that are missing or broken, and a job that fails at the provider, beside rows that are good."""
    sandbox.arm("topview", "submit", "fail", 1)
    batch = {
        "name": "Mixed",
        "task_runs": 0,
        "rows": [
            *rows("Cid", 3),
            {"name": "Cid 4", "image": "s3://staging/good/nowhere.png"},
            {"name": "Cid 5", "image": "s3://staging/bad/half.png"},
        ],
        "defaults": DEFAULTS,
    }

    run = studio.wait(studio.start_batch(batch))

    assert run["state"]["name"] == "Partly done"
    assert states(studio, run["id"]) == {"done": 2, "failed": 3}
    reasons = {row["number"]: row["reason"] for row in outcomes(studio, run["id"])}
    assert "does not exist" in reasons["4"]
    assert "avatar.image" in reasons["5"]
    assert any("could not render it" in reason for reason in reasons.values())


def test_cancelling_stops_submissions_and_archives_what_was_accepted(
    studio: StudioApi, sandbox: SandboxControl
) -> None:
    """Nothing more is submitted, another run archives the accepted ones, and the same batch again does the rest."""
    sandbox.settings(render_seconds=15)
    batch = {"name": "Cancelled", "rows": rows("Dan", 30), "defaults": DEFAULTS, "in_flight": 6}
    run_id = studio.start_batch(batch)
    _until(lambda: len(paid(sandbox, "Dan")) >= 6)

    studio.cancel(run_id)
    cancelled = studio.wait(run_id)
    submitted = paid(sandbox, "Dan")

    assert cancelled["state"]["type"] == "CANCELLED"
    assert len(submitted) < 30
    follower = _until(lambda: _follower(studio, run_id))
    finished = studio.wait(follower["id"])
    assert finished["state"]["type"] == "COMPLETED", (finished["state"], studio.logs(follower["id"]))
    assert paid(sandbox, "Dan") == submitted
    sandbox.settings(render_seconds=0.5)
    again = studio.wait(studio.start_batch({**batch, "in_flight": 100}))
    assert states(studio, again["id"]) == {"already there": len(submitted), "done": 30 - len(submitted)}
    assert list(paid(sandbox, "Dan").values()) == [1] * 30


def test_a_killed_batch_is_started_again_and_pays_for_nothing_twice(studio: StudioApi, sandbox: SandboxControl) -> None:
    """SIGKILL in the middle: the automation brings the run back, and every row gets its one video."""
    sandbox.settings(render_seconds=4)
    run_id = studio.start_batch({"name": "Killed", "rows": rows("Eve", 25), "defaults": DEFAULTS, "in_flight": 10})
    _until(lambda: len(paid(sandbox, "Eve")) >= 10)

    for process in studio.flow_processes(run_id):
        os.kill(process.pid, signal.SIGKILL)
    _until(lambda: "AwaitingRestart" in studio.states(run_id))
    run = studio.wait(run_id)

    assert run["state"]["type"] == "COMPLETED", (run["state"], studio.logs(run_id))
    assert sum(states(studio, run_id).values()) == 25
    assert set(paid(sandbox, "Eve").values()) == {1}
    assert len(paid(sandbox, "Eve")) == 25


def test_a_large_batch_is_shared_by_runs_in_the_work_pool(studio: StudioApi, sandbox: SandboxControl) -> None:
    """Three shards, one report, one submission per row, and the parent tells the whole."""
    batch = {"name": "Shards", "rows": rows("Fay", 9), "defaults": DEFAULTS, "shard_size": 3}

    run = studio.wait(studio.start_batch(batch))

    assert run["state"]["type"] == "COMPLETED", (run["state"], studio.logs(run["id"]))
    assert states(studio, run["id"]) == {"done": 9}
    assert list(paid(sandbox, "Fay").values()) == [1] * 9
    shards = [found for found in _runs(studio, "render-shard") if "Shards" in found["name"]]
    assert [found["state"]["type"] for found in shards] == ["COMPLETED"] * 3


def _runs(studio: StudioApi, flow: str) -> list[dict[str, Any]]:
    return studio.call("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})


def _follower(studio: StudioApi, run_id: str) -> dict[str, Any] | None:
    runs = _runs(studio, "render-shard")
    return next((run for run in runs if run["parameters"]["shard"]["run_id"] == run_id), None)


def _until(reached: Any, seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)
    return found
