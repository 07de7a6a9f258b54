"""One video through everything: the form's request, the deployment, the steps, the archive, the run's page."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import av
import cv2
import httpx
import numpy as np
import pytest

from tasks.audio import decode_mono
from tasks.manifest import Manifest
from tests.e2e.api import StudioApi

# As the run form of the Prefect UI sends it, with every default spelled out.
FORM: dict[str, Any] = {
    "title": "Welcome",
    "provider": "auto",
    "output": {"resolution": "512p", "fps": 25},
    "labels": {"visible": True, "text": "AI-generated", "seconds": 0},
    "avatar": {"kind": "portrait", "image": "s3://staging/good/presenter.png"},
    "speech": {"kind": "recording", "audio": "s3://staging/good/speech.m4a"},
}


@pytest.fixture(scope="module")
def rendered(api: StudioApi) -> dict[str, Any]:
    """The ended run of the form's request."""
    return api.wait(api.start(FORM))


@pytest.fixture(scope="module")
def video(api: StudioApi, rendered: dict[str, Any]) -> bytes:
    """The finished file, fetched by its link as a person would."""
    return httpx.get(api.facts(rendered["id"])["link"], timeout=60).raise_for_status().content


@pytest.fixture(scope="module")
def manifest(api: StudioApi, rendered: dict[str, Any]) -> Manifest:
    """The manifest of the video."""
    bucket, _, key = api.facts(rendered["id"])["manifest"].removeprefix("s3://").partition("/")
    return Manifest.model_validate_json(asyncio.run(api.store().get_bytes(bucket, key, limit=1_000_000)))


def test_run_completes_and_says_where_the_video_is(api: StudioApi, rendered: dict[str, Any]) -> None:
    """The last state of the run is one sentence with the address, and the run has the title as its name."""
    assert rendered["state"]["type"] == "COMPLETED", rendered["state"]
    assert rendered["state"]["message"] == f"archived: {api.facts(rendered['id'])['video']}"
    assert rendered["name"] == "Welcome"


def test_file_is_an_mp4_that_plays_everywhere(video: bytes, manifest: Manifest) -> None:
    """H.264 and AAC, playable before it is fully loaded, as long as the speech within 0.1 s."""
    assert video.index(b"moov") < video.index(b"mdat")
    with av.open(io.BytesIO(video)) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        assert (picture.codec_context.name, sound.codec_context.name) == ("h264", "aac")
        assert picture.codec_context.pix_fmt == "yuv420p"
        frames = list(container.decode(picture))
    assert (frames[0].width, frames[0].height) == (512, 512) == (manifest.width, manifest.height)
    seconds = len(frames) / 25
    assert abs(seconds - manifest.seconds) < 0.05


def test_video_is_as_long_as_the_speech(manifest: Manifest, tmp_path: Path) -> None:
    """Within 0.1 s of the recording as somebody else decodes it."""
    from infra.presenter import RECORDING

    heard = len(decode_mono(RECORDING, 24_000)) / 24_000
    assert abs(manifest.seconds - heard) < 0.1


def test_mouth_moves_with_the_speech(manifest: Manifest) -> None:
    """The sync report sees lips within 80 ms of the sound, and far more movement than in a still."""
    sync = manifest.inspection.sync
    assert sync is not None
    assert abs(sync.lag_ms or 999) <= 80
    assert sync.movement is not None
    assert sync.movement > 0.008


def test_label_is_in_the_picture_and_not_in_the_original(api: StudioApi, manifest: Manifest, video: bytes) -> None:
    """The delivered file carries the label; the untouched original lies beside it."""
    bucket, _, key = manifest.original.uri.removeprefix("s3://").partition("/")
    original = asyncio.run(api.store().get_bytes(bucket, key, limit=50_000_000))

    def corner(body: bytes) -> np.ndarray:
        with av.open(io.BytesIO(body)) as container:
            return next(container.decode(video=0)).to_ndarray(format="gray")[450:, :240].astype(int)

    assert np.abs(corner(video) - corner(original)).max() > 100


def test_manifest_tells_the_whole_story(manifest: Manifest) -> None:
    """Who rendered, from what, at what cost, with which findings."""
    assert manifest.provider == "local"
    assert {item.role for item in manifest.media} == {"avatar", "speech"}
    assert manifest.estimate == "0 credits"
    assert manifest.inspection.failures == []


def test_page_of_the_run_shows_link_poster_table_and_report(api: StudioApi, rendered: dict[str, Any]) -> None:
    """Four artifacts for people, one of them a picture that loads, and the steps' own words in the log."""
    artifacts = api.artifacts(rendered["id"])
    assert {"video-link", "poster", "archived-video", "inspection", "render-progress"} <= artifacts.keys()
    poster = httpx.get(artifacts["poster"]["data"], timeout=30).raise_for_status().content
    assert cv2.imdecode(np.frombuffer(poster, np.uint8), cv2.IMREAD_COLOR).shape == (512, 512, 3)
    assert "complete" in artifacts["inspection"]["data"]
    assert "planned provider=local" in api.logs(rendered["id"])


def test_others_can_react_to_the_finished_video(api: StudioApi, rendered: dict[str, Any], manifest: Manifest) -> None:
    """The event names the render and the address of the video."""
    event = api.wait_for_event("studio.video.archived", f"studio.render.{manifest.render_key}")

    assert event["payload"]["video"] == manifest.video.uri


def test_same_request_again_costs_nothing(api: StudioApi, rendered: dict[str, Any], manifest: Manifest) -> None:
    """Another title for the same render: the archived video, no new job, no new row, its own name on the page."""
    jobs, rows = api.jobs(), api.submissions()

    again = api.wait(api.start({**FORM, "title": "Welcome back", "tags": ["second"]}))

    facts = api.facts(again["id"])
    assert again["state"]["type"] == "COMPLETED"
    assert again["name"] == "Welcome back"
    assert facts["video"] == manifest.video.uri
    assert facts["archived before"] == "yes"
    assert (api.jobs(), api.submissions()) == (jobs, rows)


def test_another_label_makes_another_file_but_no_render(api: StudioApi, rendered: dict[str, Any]) -> None:
    """Labels are put on the archived original."""
    jobs = api.jobs()

    run = api.wait(api.start({**FORM, "labels": {"text": "人工智能生成", "visible": True}}))

    assert run["state"]["type"] == "COMPLETED"
    assert api.facts(run["id"])["video"] != api.facts(rendered["id"])["video"]
    assert api.jobs() == jobs


def test_ten_identical_requests_make_one_render(api: StudioApi) -> None:
    """Runs in different processes at the same time settle it in the ledger: one job, one video, ten answers."""
    jobs = api.jobs()
    request = {**FORM, "speech": {"kind": "script", "text": "Ten people ask for this at once.", "language": "en"}}

    runs = [api.wait(run_id, 400) for run_id in [api.start(request) for _ in range(10)]]

    assert {run["state"]["type"] for run in runs} == {"COMPLETED"}
    assert len({api.facts(run["id"])["video"] for run in runs}) == 1
    assert len(api.jobs() - jobs) == 1


def test_no_secret_is_left_anywhere(api: StudioApi, rendered: dict[str, Any]) -> None:
    """The keys of the object store are in no parameter, log, artifact, event or job variable."""
    from infra.studio.parts.object_store import ObjectStorePart

    secret = ObjectStorePart(api.studio.config).credentials().secret_key
    left = json.dumps([rendered, api.artifacts(rendered["id"]), api.deployment(), api.steps(rendered["id"])])

    assert secret not in left + api.logs(rendered["id"])
    for log in (api.studio.home / "logs").iterdir():
        assert secret not in log.read_text(errors="replace"), log.name
