"""`studio render`, `open` and `status` as a person and a program use them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.presenter import PRESENTER
from tests.e2e.api import StudioApi


def _studio(api: StudioApi, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli.app", *arguments, "--json"],
        env=api.studio.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.count("\n") == 1, done.stdout + done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def rendered(api: StudioApi, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A request file with a local picture, and a flag that wins over it."""
    folder: Path = tmp_path_factory.mktemp("request")
    (folder / "me.png").write_bytes(PRESENTER.read_bytes())
    request = {
        "title": "From a file",
        "avatar": {"kind": "portrait", "image": "me.png"},
        "speech": {"kind": "script", "text": "This comes from a file."},
        "output": {"resolution": "720p"},
    }
    (folder / "request.yaml").write_text(yaml.safe_dump(request))

    code, answer = _studio(api, "render", str(folder / "request.yaml"), "--resolution", "512p", "--tag", "cli")

    assert code == 0, answer
    return answer


def test_render_says_where_the_video_is(rendered: dict[str, Any]) -> None:
    """One JSON object with the run and the facts of the video; the flag won."""
    assert rendered["state"] == "Completed"
    assert rendered["video"]["video"].startswith("s3://archive/renders/")
    assert rendered["video"]["picture"].startswith("512x512")


def test_open_knows_the_links(api: StudioApi, rendered: dict[str, Any]) -> None:
    """The links of a run by its id."""
    code, links = _studio(api, "open", rendered["run_id"])

    assert code == 0
    assert links["run"] == rendered["run"]
    assert links["video"].startswith("http://")


def test_uploaded_media_can_be_named_in_a_request(api: StudioApi) -> None:
    """`upload` prints the address under which the form and the API find the file."""
    code, answer = _studio(api, "upload", str(PRESENTER))

    assert code == 0
    assert answer["files"][str(PRESENTER)].startswith("s3://staging/uploads/")


def test_status_lists_the_run(api: StudioApi, rendered: dict[str, Any]) -> None:
    """The last runs are there with their names."""
    code, status = _studio(api, "status")

    assert code == 0
    assert rendered["run_id"] in [run["id"] for run in status["runs"]]


def test_detached_render_only_starts(api: StudioApi) -> None:
    """`--detach` answers with the id and does not wait."""
    code, answer = _studio(api, "render", "--image", str(PRESENTER), "--script", "Later.", "--detach")

    assert code == 0
    assert api.wait(answer["run_id"])["state"]["type"] == "COMPLETED"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--image", "no-such.png", "--script", "Hi."], "avatar.image"),
        (["--image", str(PRESENTER)], "speech"),
        (["--image", str(PRESENTER), "--script", "Hi.", "--fps", "7"], "24, 25 or 30"),
        (["no-such.yaml"], "no-such.yaml"),
    ],
)
def test_wrong_requests_are_told_at_once(api: StudioApi, arguments: list[str], words: str) -> None:
    """Nothing is started; the answer names field and fix."""
    code, answer = _studio(api, "render", *arguments)

    assert code == 1
    assert words in answer["error"]
    assert "run_id" not in answer
