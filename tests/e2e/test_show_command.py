"""`studio show` as a person and a program use it: a rundown with a recording beside it goes on air and is spoken to."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.presenter import RECORDING
from tests.e2e.api import StudioApi
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in

RUNDOWN: dict[str, Any] = {
    "title": "Evening show",
    "avatar": "dh-anna",
    "room": "evening",
    "timbre": "tb-en-calm",
    "most_minutes": 10,
    "cues": [
        {"name": "opening", "text": "Good evening."},
        {"name": "jingle", "recording": "jingle.m4a"},
        {"name": "quiet", "pause": 500},
        {"name": "closing", "text": "Good night."},
    ],
}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio with the sandbox."""
    with studio_in(tmp_path_factory.mktemp("show-command") / "home", sandbox=True, sandbox_renderer="clip") as running:
        yield StudioApi(running)


@pytest.fixture(scope="module")
def rundown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rundown file with its recording beside it."""
    path = tmp_path_factory.mktemp("rundown") / "evening.yaml"
    (path.parent / "jingle.m4a").write_bytes(RECORDING.read_bytes())
    path.write_text(yaml.safe_dump(RUNDOWN))
    return path


def ask(studio: StudioApi, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and its one JSON object."""
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli.app", "show", *arguments, "--json"],
        env=studio.studio.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def cues(studio: StudioApi, run_id: str) -> list[dict[str, str]]:
    """The record of a show so far, from its page."""
    table = studio.artifacts(run_id).get("show-cues")
    return json.loads(table["data"]) if table else []


def wait_until(reached: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.3)


def outcome(studio: StudioApi, run_id: str, kind: str) -> str:
    return next((line["outcome"] for line in cues(studio, run_id) if line.get("kind") == kind), "")


@pytest.fixture(scope="module")
def on_air(studio: StudioApi, rundown: Path) -> str:
    """The run of a show that is in its long pause, until ``test_commands_act``, the last that takes it, stops it.

    There is one for the module, as its start takes long, and the tests that take it run in their order: each leaves the
    show on air for the next one.
    """
    code, answer = ask(studio, "start", str(rundown), "--detach")
    assert code == 0, answer
    wait_until(lambda: outcome(studio, answer["run_id"], "pause") == "on air")
    return answer["run_id"]


def test_what_is_on_air_can_be_seen(studio: StudioApi, on_air: str) -> None:
    """List and status name the show, its stream, what it costs at most, where it is watched, and its cues."""
    code, listed = ask(studio, "list")
    assert code == 0
    (show,) = listed["shows"]
    assert (show["run_id"], show["stream"]["state"], show["stream"]["room"]) == (on_air, "submitted", "evening")
    assert listed["left"] == []

    code, one = ask(studio, "status", on_air[:6])
    assert (code, one["run_id"], one["state"]) == (0, on_air, "Running")
    assert [line["outcome"] for line in one["cues"]] == ["done", "done", "on air"]
    assert one["preview"].startswith(studio.studio.config.sandbox_address)
    assert 600 <= one["stream"]["ttl"] <= 900


def test_a_show_that_prefect_takes_for_dead_says_that_it_is_not(studio: StudioApi, on_air: str) -> None:
    """After an outage of Prefect a run counts as crashed; one that is on air is running again, and can be spoken to."""
    state = {"type": "CRASHED", "message": "No heartbeat for 90 s."}
    studio.call(f"/flow_runs/{on_air}/set_state", {"state": state, "force": True})
    wait_until(lambda: studio.run(on_air)["state"]["type"] == "RUNNING", 60)

    code, _ = ask(studio, "say", "Still here.", "--queue", on_air[:6])
    assert code == 0


def test_callbacks_reach_the_show_and_prefect(studio: StudioApi, on_air: str) -> None:
    """The end of each drive was told by the vendor, and an automation may react to the stream."""
    assert [line["end told by"] for line in cues(studio, on_air)[:2]] == ["callback", "callback"]
    _, one = ask(studio, "status")
    studio.wait_for_event("studio.stream.streaming", f"studio.stream.{one['stream']['task_id']}")


def test_commands_act(studio: StudioApi, on_air: str) -> None:
    """Words that are not in the rundown are said; skip goes on, pause holds and says so, stop closes the stream."""
    code, answer = ask(studio, "say", "Breaking news")
    assert (code, answer["run_id"], answer["do"]) == (0, on_air, "say")
    wait_until(lambda: any(line["what"] == "Breaking news" for line in cues(studio, on_air)))
    assert ask(studio, "pause")[0] == 0
    wait_until(lambda: "held by a person" in ask(studio, "status")[1]["told"])
    assert ask(studio, "skip", on_air[:8])[0] == 0
    wait_until(lambda: outcome(studio, on_air, "pause") == "skipped")
    spoken = SandboxControl(studio.studio.config.sandbox_address).truth()["zego"]["drives"]
    assert "Good night." not in [drive.get("text") for drive in spoken]
    assert ask(studio, "stop")[0] == 0

    run = studio.wait(on_air)

    assert run["state"]["type"] == "COMPLETED"
    (stream,) = SandboxControl(studio.studio.config.sandbox_address).truth()["zego"]["streams"]
    assert stream["how_ended"] == "stopped"
    code, answer = ask(studio, "say", "too late")
    assert (code, answer["error"]) == (1, "no show is under way.")
    code, answer = ask(studio, "pause", on_air)
    assert code == 1
    assert "is over" in answer["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "ffffffff"], "there is no show that begins with ffffffff."),
        (["status", "../x"], "is no id of a show"),
        (["say", "  "], "say takes either text or script."),
        (["start", "no-such.yaml"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_told(studio: StudioApi, arguments: list[str], told: str) -> None:
    """One JSON object with the reason and the way out, and exit code 1."""
    code, answer = ask(studio, *arguments)

    assert code == 1
    assert told in answer["error"]


def test_a_bad_rundown_uploads_nothing(studio: StudioApi, tmp_path: Path) -> None:
    """All that is wrong with fields and local files is told before anything is uploaded or started."""
    cue = {"loop": [{"audio": "gone.mp3"}, {"recording": "."}]}
    (tmp_path / "bad.json").write_text(json.dumps(RUNDOWN | {"cues": [cue]}))
    before = len(studio.call("/flow_runs/filter", {"flows": {"name": {"any_": ["broadcast-show"]}}}))

    code, answer = ask(studio, "start", str(tmp_path / "bad.json"))

    assert code == 1
    assert "cues.1.loop.1.audio" in answer["error"]
    assert "cues.1.loop.2.recording" in answer["error"]
    assert "run_id" not in answer
    assert before == len(studio.call("/flow_runs/filter", {"flows": {"name": {"any_": ["broadcast-show"]}}}))
