"""`studio batch` as a person and a program use it: a spreadsheet with pictures beside it becomes finished videos."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.presenter import PRESENTER
from tests.e2e.api import StudioApi
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in

SHEET = "\ufeffName;Image;Tags\r\nAnna;faces/one.png;spring, vip\r\nBo;faces/one.png;\r\nAnna;faces/one.png;again\r\n"
SHARED = """
provider: topview
title: "For {{name}}"
speech: {voice: v-en-ada, text: "Hello {{name}}, this is a letter for you."}
"""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio with the sandbox, whose renders are clips that were made before."""
    home = tmp_path_factory.mktemp("batch-command") / "home"
    with studio_in(home, sandbox=True, sandbox_renderer="clip") as running:
        yield StudioApi(running)


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spreadsheet, its shared fields, and a picture beside it."""
    folder = tmp_path_factory.mktemp("sheet")
    (folder / "faces").mkdir()
    (folder / "faces" / "one.png").write_bytes(PRESENTER.read_bytes())
    (folder / "shared.yaml").write_text(SHARED)
    (folder / "letters.csv").write_text(SHEET, newline="")
    return folder / "letters.csv"


def command(studio: StudioApi, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "deployments.cli.app", "batch", *arguments]


def ask(studio: StudioApi, *arguments: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code and its one JSON object."""
    done = subprocess.run(
        command(studio, *arguments, "--json"),
        env=studio.studio.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


def show(studio: StudioApi, *arguments: str) -> tuple[int, str]:
    """A command's exit code and what a person sees."""
    environment = studio.studio.environment | {"COLUMNS": "200"}
    done = subprocess.run(
        command(studio, *arguments), env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def first_look(studio: StudioApi, sheet: Path) -> dict[str, Any]:
    """A check before anything was rendered."""
    code, answer = ask(studio, "check", str(sheet), "--defaults", str(sheet.with_name("shared.yaml")))
    assert code == 0, answer
    return answer


@pytest.fixture(scope="module")
def rendered(studio: StudioApi, sheet: Path, first_look: dict[str, Any]) -> dict[str, Any]:
    """The batch, run to its end."""
    arguments = ["run", str(sheet), "--defaults", str(sheet.with_name("shared.yaml")), "--name", "Letters"]
    code, answer = ask(studio, *arguments)
    assert code == 0, answer
    return answer


def test_check_spends_nothing_and_counts(studio: StudioApi, first_look: dict[str, Any]) -> None:
    """Three rows are two videos with one picture; the sandbox has accepted nothing."""
    assert {name: first_look[name] for name in ("rows", "videos", "archived", "to_render", "media", "bad_rows")} == {
        "rows": 3,
        "videos": 2,
        "archived": 0,
        "to_render": 2,
        "media": 1,
        "bad_rows": 0,
    }
    assert [line["provider"] for line in first_look["money"]] == ["topview"]


def test_run_renders_every_row(studio: StudioApi, rendered: dict[str, Any]) -> None:
    """Two renders are paid, three rows have a video, and the report opens."""
    truth = SandboxControl(studio.studio.config.sandbox_address).truth()

    assert len(truth["topview"]["submissions"]) == 2
    assert rendered["state"] == "Completed"
    assert sum(rendered["outcomes"].values()) == 3
    assert set(rendered["outcomes"]) <= {"done", "already there"}
    assert "For Anna" in httpx.get(rendered["report"], timeout=30).text


def test_check_finds_what_is_archived(studio: StudioApi, sheet: Path, rendered: dict[str, Any]) -> None:
    """After the run there is nothing left to render or to pay, and a person reads so."""
    code, words = show(studio, "check", str(sheet), "--defaults", str(sheet.with_name("shared.yaml")))

    assert code == 0
    assert "already archived  2" in words
    assert "nothing is to be rendered" in words
    assert "Next: studio batch run" in words


def test_status_and_report(studio: StudioApi, rendered: dict[str, Any]) -> None:
    """The batch is listed with its counts; by the first digits of its id its report is written anew."""
    code, listed = ask(studio, "status")
    assert code == 0
    (batch,) = [batch for batch in listed["batches"] if batch["name"] == "Letters"]
    assert batch["rows"] == 3

    code, one = ask(studio, "status", batch["id"][:6])
    assert (code, one["id"], one["problems"]) == (0, batch["id"], [])
    code, report = ask(studio, "report", batch["id"][:6])
    assert code == 0
    assert "For Bo" in httpx.get(report["report"], timeout=30).text
    code, words = show(studio, "status")
    assert "Letters" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text,image\n,one.png\n", "row 1 (line 2), avatar.image: 'one.png' does not exist."),
        ("text,image\n,https://127.0.0.1/a.png\n", "row 1 (line 2), speech.text: is empty. Fill it in."),
        ("text,image\n" + ",https://127.0.0.1/a.png\n" * 9, "The same in rows 2, 3, 4, 5, 6 and 3 more."),
        ("text,image\nHello,s3://staging/none.png\n", "s3://staging/none.png does not exist."),
    ],
)
def test_check_names_rows_with_mistakes(studio: StudioApi, tmp_path: Path, content: str, words: str) -> None:
    """Mistakes are shown with row and column, alike ones together; the exit code says that there are some."""
    (tmp_path / "bad.csv").write_text(content)

    code, told = show(studio, "check", str(tmp_path / "bad.csv"))

    assert code == 1
    assert words in told


def test_run_refuses_rows_with_mistakes(studio: StudioApi, tmp_path: Path) -> None:
    """Nothing is uploaded or started for a sheet with a wrong row; without a sheet neither."""
    (tmp_path / "bad.csv").write_text("text,image\n,s3://staging/a.png\nHello,s3://staging/a.png\n")

    code, answer = ask(studio, "run", str(tmp_path / "bad.csv"))
    gone, no_file = ask(studio, "run", str(tmp_path / "gone.csv"))

    assert (code, gone) == (1, 1)
    assert "row 1 (line 2), speech.text: is empty. Fill it in." in answer["error"]
    assert "run_id" not in answer
    assert "No such file" in no_file["error"]


def test_ctrl_c_leaves_the_batch_alone(studio: StudioApi, tmp_path: Path) -> None:
    """Who stops watching is told how to cancel; the run goes on to its end."""
    control = SandboxControl(studio.studio.config.sandbox_address)
    control.settings(render_seconds=10)
    (tmp_path / "one.jsonl").write_text(
        json.dumps({"provider": "topview", "avatar_id": "ada", "text": "Interrupted letter"}) + "\n"
    )
    watching = subprocess.Popen(
        command(studio, "run", str(tmp_path / "one.jsonl"), "--json"),
        env=studio.studio.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        before = {run["id"] for run in _runs(studio)}
        while not (new := [run for run in _runs(studio) if run["id"] not in before]):
            assert watching.poll() is None, watching.communicate()
        # By then the command follows the run.
        studio.wait_for(new[0]["id"], lambda run: run["state"]["type"] == "RUNNING", 120)
        watching.send_signal(signal.SIGINT)
        out, _ = watching.communicate(timeout=60)
    finally:
        watching.kill()
        control.settings(render_seconds=0.5)

    answer = json.loads(out)
    assert watching.returncode == 130, answer
    assert answer["run_id"] == new[0]["id"]
    assert f"prefect flow-run cancel {answer['run_id']}" in answer["fix"]
    assert studio.wait(answer["run_id"])["state"]["type"] in {"COMPLETED", "FAILED"}


def _runs(studio: StudioApi) -> list[dict[str, Any]]:
    return studio.call("/flow_runs/filter", {"flows": {"name": {"any_": ["render-batch"]}}, "limit": 50})
