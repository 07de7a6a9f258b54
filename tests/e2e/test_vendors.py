"""One video per paid provider, from the form to the archive, in a studio whose sandbox plays the providers."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.demo_request import write_demo_clip
from infra.studio.blocks import SANDBOX_ACCOUNT
from tasks.manifest import Manifest
from tests.e2e.api import StudioApi
from tests.e2e.staged import stage_media
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in

REQUESTS: dict[str, dict[str, Any]] = {
    "topview": {
        "title": "From TopView",
        "provider": "topview",
        "avatar": {"kind": "portrait", "image": "s3://staging/good/presenter.png"},
        "speech": {"kind": "script", "text": "Hello from the sandbox.", "voice": "v-en-ada"},
    },
    "mingyan": {
        "title": "From mingyan",
        "provider": "mingyan",
        "avatar": {"kind": "clip", "video": "s3://staging/good/presenter.mp4"},
        "speech": {"kind": "recording", "audio": "s3://staging/good/speech.m4a"},
    },
}
UNITS = {"topview": "credits", "mingyan": "CNY"}


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio with the sandbox, media staged."""
    folder = tmp_path_factory.mktemp("vendors")
    with studio_in(folder / "home", sandbox=True) as studio:
        api = StudioApi(studio)
        clip = write_demo_clip(folder / "presenter.mp4")
        asyncio.run(stage_media(api.store(), folder))
        asyncio.run(api.store().put_bytes("staging", "good/presenter.mp4", clip.read_bytes()))
        yield api


@pytest.fixture(scope="module", params=sorted(REQUESTS))
def provider(request: pytest.FixtureRequest) -> str:
    """Each paid provider."""
    return request.param


@pytest.fixture(scope="module")
def rendered(vendors: StudioApi, provider: str) -> dict[str, Any]:
    """The ended run of one request to this provider."""
    return vendors.wait(vendors.start(REQUESTS[provider]))


def truth(api: StudioApi, provider: str) -> dict[str, Any]:
    """What the sandbox knows about calls to one provider."""
    return SandboxControl(api.studio.config.sandbox_address).truth()[provider]


def row(api: StudioApi, run: dict[str, Any]) -> dict[str, Any]:
    """What the ledger holds about the video of a run."""
    key = api.facts(run["id"])["render key"]
    with sqlite3.connect(api.studio.home / "ledger.db") as database:
        database.row_factory = sqlite3.Row
        (found,) = database.execute("select * from submissions where render_key = ?", (key,)).fetchall()
    return dict(found)


def test_blocks_of_the_sandbox_can_be_seen(vendors: StudioApi) -> None:
    """A person finds all accounts under Blocks, named after the sandbox, without their secrets."""
    blocks = {block["name"]: block for block in vendors.call("/block_documents/filter", {})}
    kept = json.loads(vendors.studio.config.sandbox_keys_file.read_text())

    accounts = {"topview-sandbox", "mingyan-sandbox", "zego-sandbox"}
    assert accounts | {"studio-archive"} <= blocks.keys()
    for name in accounts:
        assert blocks[name]["data"]["account"] == SANDBOX_ACCOUNT
        assert blocks[name]["data"]["base_url"].startswith(vendors.studio.config.sandbox_address)
    told = json.dumps(blocks)
    assert [secret for secret in kept.values() if secret in told] == []


def test_video_is_in_the_archive(vendors: StudioApi, provider: str, rendered: dict[str, Any]) -> None:
    """The run is completed, the link opens the video, and the manifest names the provider."""
    assert rendered["state"]["type"] == "COMPLETED", (rendered["state"], vendors.logs(rendered["id"]))
    facts = vendors.facts(rendered["id"])
    bucket, _, key = facts["manifest"].removeprefix("s3://").partition("/")
    manifest = Manifest.model_validate_json(asyncio.run(vendors.store().get_bytes(bucket, key, limit=1_000_000)))

    assert manifest.provider == provider
    video = httpx.get(facts["link"], timeout=60).raise_for_status().content
    assert video[4:8] == b"ftyp"


def test_it_was_submitted_once_and_the_ledger_knows(
    vendors: StudioApi, provider: str, rendered: dict[str, Any]
) -> None:
    """One paid submission in the provider's own count, under the job id and the account of the ledger's row."""
    entry = row(vendors, rendered)
    seen = truth(vendors, provider)

    assert (entry["state"], entry["account"]) == ("archived", SANDBOX_ACCOUNT)
    assert [job["job_id"] for job in seen["submissions"]].count(entry["job_id"]) == 1
    assert sum(len(truth(vendors, name)["submissions"]) for name in REQUESTS) == len(vendors.submissions())
    assert seen["refusals"] == []


def test_costs_are_recorded(vendors: StudioApi, provider: str, rendered: dict[str, Any]) -> None:
    """The estimate was written down before anything left, so that `studio costs` shows what the render took."""
    entry = row(vendors, rendered)

    assert entry["estimate"] > 0
    assert entry["unit"] == UNITS[provider]
    assert vendors.facts(rendered["id"])["estimated cost"].endswith(UNITS[provider])


def test_the_same_again_costs_nothing(vendors: StudioApi, provider: str, rendered: dict[str, Any]) -> None:
    """Asking for the same video gives the archived one, and the provider hears nothing."""
    before = truth(vendors, provider)["submissions"]
    again = vendors.wait(vendors.start(REQUESTS[provider]))

    assert again["state"]["type"] == "COMPLETED", again["state"]
    assert vendors.facts(again["id"])["video"] == vendors.facts(rendered["id"])["video"]
    assert before == truth(vendors, provider)["submissions"]


def test_topview_told_the_studio(vendors: StudioApi) -> None:
    """The notice was answered as its contract says, and others can react to it in Prefect."""
    run = vendors.wait(vendors.start(REQUESTS["topview"]))
    assert run["state"]["type"] == "COMPLETED", (run["state"], vendors.logs(run["id"]))
    entry = row(vendors, run)
    key = entry["render_key"]
    (notice,) = [told for told in truth(vendors, "topview")["notices"] if told["job_id"] == entry["job_id"]]
    event = vendors.wait_for_event("studio.notice.topview", f"studio.render.{key}")

    assert (notice["accepted"], notice["attempts"]) == (True, 1)
    assert event["payload"] == {"order_id": f"{key[:24]}-1", "status": "success"}


def test_demo_uses_the_running_sandbox(vendors: StudioApi, provider: str, rendered: dict[str, Any]) -> None:
    """`studio demo --provider X` renders in a sandbox that runs already, copies the video out and leaves it running."""
    command = [sys.executable, "-m", "deployments.cli.app", "demo", "--provider", provider, "--json"]
    done = subprocess.run(
        command, env=vendors.studio.environment, capture_output=True, text=True, timeout=240, check=False
    )
    told = json.loads(done.stdout)

    assert done.returncode == 0, told
    assert told["sandbox"] is True
    for name in told["copies"].values():
        assert Path(name).name.startswith(f"demo-{provider}.")
        assert Path(name).stat().st_size > 0
    assert vendors.call("/health") is True
