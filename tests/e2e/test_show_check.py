"""Rundowns as people bring them: a file on the command line, and Prefect's run form in a real browser."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.bad_rundowns import GOOD, HELLO
from tests.e2e.api import StudioApi
from tests.e2e.test_ui import PATIENCE, page  # noqa: F401 - a fixture
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in

SAMPLE = Path(__file__).parents[2] / "deployments" / "sample_rundown.yaml"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio with the vendors' sandbox."""
    with studio_in(tmp_path_factory.mktemp("studio") / "home", sandbox=True) as running:
        yield StudioApi(running)


def check(studio: StudioApi, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What `studio show check` ends with."""
    command = [sys.executable, "-m", "deployments.cli.app", "show", "check", str(file), *options]
    environment = studio.studio.environment | {"COLUMNS": "200"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def streams(studio: StudioApi) -> list[dict[str, Any]]:
    """The stream tasks that the sandbox was ever asked for."""
    found: list[dict[str, Any]] = SandboxControl(studio.studio.config.sandbox_address).truth()["zego"]["streams"]
    return found


def test_check_tells_length_and_cost(studio: StudioApi) -> None:
    """The sample beside a local recording is good; a person sees what it takes and the most it can cost, for free."""
    shown = check(studio, SAMPLE)
    told = json.loads(check(studio, SAMPLE, "--json").stdout)

    assert shown.returncode == 0, shown.stderr
    assert "Next: studio show start" in shown.stdout
    assert "Presenter: " in shown.stdout
    assert told["ttl"] == 5 * 60 + 120
    assert told["cost"] == {"most": "4.20", "unit": "CNY"}
    assert [cue["number"] for cue in told["cues"]] == ["1", "2", "3", "4", "5", "6.1", "6.2", "7"]
    assert streams(studio) == []


def test_check_names_what_is_wrong(studio: StudioApi, tmp_path: Path) -> None:
    """A file with mistakes ends with exit code 1 and all of them; no stream is opened for it."""
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(GOOD | {"avatar": "dh-nobody", "cues": [HELLO, {"action": "fly"}]}))
    missing = tmp_path / "missing.yaml"
    missing.write_text(yaml.safe_dump(GOOD | {"cues": [HELLO, {"audio": "jingle.mp3"}]}))

    bad, gone = check(studio, file), check(studio, missing)

    assert (bad.returncode, gone.returncode) == (1, 1)
    assert "- avatar: zego has no digital human 'dh-nobody'." in bad.stderr
    assert "- cues.2.audio: " in gone.stderr
    assert "does not exist" in gone.stderr
    assert streams(studio) == []


@pytest.mark.parametrize(
    ("show", "words"),
    [
        ({}, "rundown: neither a rundown nor a file is given. Give one of them."),
        ({"rundown": GOOD | {"cues": [HELLO, {"pause": -1}]}}, "cues.2.pause: input should be greater than 0."),
        ({"rundown": GOOD | {"timbre": "v-nobody", "cues": [HELLO]}}, "timbre: zego has no timbre 'v-nobody'"),
        ({"file": "s3://staging/shows/none.yaml"}, "file: s3://staging/shows/none.yaml does not exist."),
    ],
)
def test_run_with_a_bad_rundown_is_refused(studio: StudioApi, show: dict[str, Any], words: str) -> None:
    """Whatever comes through the API ends as Refused, in words on the run's page, before a stream is created."""
    run = studio.wait(studio.start_flow("broadcast-show", {"show": show}))

    assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", "Refused")
    assert words in run["state"]["message"]
    assert streams(studio) == []


def test_a_person_writes_a_show_into_the_form(studio: StudioApi, page: Page) -> None:  # noqa: F811 - the fixture
    """A cue is filled in by fields, not as JSON; what was left empty is not sent, and the show goes on air."""
    page.goto(f"{studio.studio.config.ui_url}/deployments/deployment/{studio.deployment('broadcast-show')['id']}/run")
    page.get_by_role("button", name="Rundown", exact=True).click(timeout=PATIENCE)
    _fill(page, "Avatar", "dh-anna")
    _fill(page, "Room", "form-room")
    page.get_by_text("Add item").first.click()
    expect(page.get_by_text("Audio file: Channel (Optional)")).to_be_visible(timeout=PATIENCE)
    _fill(page, "Text (Optional)", "Hello from the form.")
    _fill(page, "Text: Timbre (Optional)", "tb-en-calm")
    with page.expect_response(lambda response: "create_flow_run" in response.url) as started:
        page.get_by_role("button", name="Submit").last.click()
    run = studio.wait(started.value.json()["id"])

    assert run["parameters"]["show"]["rundown"]["cues"] == [{"text": "Hello from the form.", "timbre": "tb-en-calm"}]
    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["name"] == "dh-anna in form-room"
    assert [stream["how_ended"] for stream in streams(studio)] == ["stopped"]


def _fill(page: Page, label: str, text: str) -> None:  # noqa: F811 - the fixture's value
    page.locator(f"xpath=//*[normalize-space(.)='{label}']/following::textarea[1]").first.fill(text)
