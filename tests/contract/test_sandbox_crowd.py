"""The sandbox with thousands of jobs: ready clips, times that follow the speech, and what it counts on the way."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

import httpx
import pytest
from pydantic import ValidationError

from infra.sandbox.knobs import Knobs
from infra.sandbox.timing import lasting
from tasks.inspect import examine_video
from tests.contract.sandbox_calls import Mingyan, TopView, serving_folder, wait_for
from tests.media_files import write_clip, write_sound
from tests.servers.sandbox import SandboxServer

STOCK = {"avatarSourceFrom": "1", "aiAvatarId": "3327", "audioSourceFrom": "1"}
JOBS = [f"job-{number}" for number in range(500)]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """A sandbox that hands out ready clips."""
    with SandboxServer(tmp_path_factory.mktemp("crowded"), renderer="clip") as server:
        yield server


@pytest.fixture
def clips(crowded: SandboxServer) -> SandboxServer:
    """The same, with nothing left of the test before."""
    crowded.reset()
    crowded.settings(render_seconds=0)
    return crowded


def test_ready_clips_are_whole_videos_and_priced_by_the_script(clips: SandboxServer, tmp_path: Path):
    """A script of 20 s costs 20 s; the clip is short, decodes, has a moving face and sound, and is no copy on disk."""
    topview = TopView(clips)
    tasks = [topview.submit(STOCK | {"ttsText": "a" * 300})["result"]["taskId"] for _ in range(12)]
    links = [topview.finish(task)["outputVideoUrl"] for task in tasks]
    videos = {httpx.get(link).content for link in links}
    (tmp_path / "out.mp4").write_bytes(videos.copy().pop())
    seen = examine_video(tmp_path / "out.mp4", 2.0)

    assert [finding for finding in seen.findings if finding.level != "ok" and finding.what != "lip sync"] == []
    assert 1 < len(videos) <= 4
    assert {job["charged"] for job in clips.submissions("topview")} == {"2.0"}
    results = (clips.folder / "state" / "results" / "topview").iterdir()
    assert min(path.stat().st_nlink for path in results) > 1


def test_a_clip_is_handed_out_again_after_a_sigkill(clips: SandboxServer):
    """A job that was accepted before a power cut ends with a video, and the account's balance is what it was."""
    clips.settings(render_seconds=1.0, credits="50")
    topview = TopView(clips)
    task = topview.submit(STOCK | {"ttsText": "a" * 300})["result"]["taskId"]
    topview.query(task)
    # Counts are written a moment later than jobs.
    time.sleep(0.5)
    clips.kill()
    clips.restart()
    again = TopView(clips)

    assert again.get("/user/credit/detail")["result"]["remainCredit"] == pytest.approx(48)
    assert again.finish(task)["status"] == "success"
    (seen,) = clips.polls("topview")
    assert seen["queries"] >= 2
    assert clips.truth()["topview"]["calls"]["query"] == seen["queries"]


def test_polls_tell_when_the_end_was_seen(clips: SandboxServer):
    """How often a video was asked for, and how long after its end that was noticed, can be read for each."""
    clips.settings(render_seconds=0.3)
    topview = TopView(clips)
    task = topview.submit(STOCK | {"ttsText": "Good day."})["result"]["taskId"]
    topview.query(task)
    wait_for(lambda: clips.polls("topview")[0]["ended"], "the end")
    before = clips.polls("topview")[0]
    topview.query(task)
    topview.query(task)
    after = clips.polls("topview")[0]

    assert (before["queries"], before["seen_ended_at"]) == (1, None)
    assert after["queries"] == 3
    assert after["at"] + 0.3 <= after["ended"] <= after["seen_ended_at"]


@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_times_follow_the_speech(spread: float):
    """Ten seconds of speech take ten times the factor, within the spread and on both sides of it."""
    knobs = Knobs(render_seconds=5, render_seconds_per_speech_second=2, render_seconds_spread=spread)
    times = [lasting(knobs, job, 10) for job in JOBS]

    assert mean(times) == pytest.approx(25, rel=0.02)
    assert min(times) >= 25 * (1 - spread)
    assert max(times) <= 25 * (1 + spread)
    assert max(times) - min(times) >= 25 * 2 * spread * 0.95


def test_times_without_a_pattern():
    """Between two bounds any time is as likely, whatever the speech; the same job takes the same time again."""
    knobs = Knobs(render_seconds_low=20, render_seconds_high=60, render_seconds_per_speech_second=3)
    times = [lasting(knobs, job, 7) for job in JOBS]

    assert times == [lasting(knobs, job, 70) for job in JOBS]
    assert (min(times), max(times)) == (pytest.approx(20, abs=1), pytest.approx(60, abs=1))
    assert sum(time < 40 for time in times) == pytest.approx(250, abs=40)


@pytest.mark.parametrize("wrong", [{"render_seconds_low": 3}, {"render_seconds_low": 3, "render_seconds_high": 2}])
def test_bounds_of_times_go_together(wrong: dict[str, float]):
    """Half a range, or one that ends before it begins, is refused."""
    with pytest.raises(ValidationError, match="go together"):
        Knobs.model_validate(wrong)


def test_a_fetched_recording_sets_the_time(clips: SandboxServer, tmp_path: Path):
    """How long a recording is shows when it is fetched; a job whose time follows the speech is timed from then on."""
    write_sound(tmp_path / "speech.wav", 2.0)
    write_clip(tmp_path / "person.mp4", 1.0)
    clips.settings(render_seconds_per_speech_second=0.5)
    with serving_folder(tmp_path) as url:
        body = {"model": "kyy_digitalHuman", "audioUrl": f"{url}/speech.wav", "videoUrl": f"{url}/person.mp4"}
        customer = Mingyan(clips)
        assert customer.finish(customer.create(body).json()["id"])["status"] == "completed"
    (seen,) = clips.polls("mingyan")

    assert seen["ended"] - seen["at"] >= 1.0
    assert clips.submissions("mingyan")[0]["charged"] == "0.10"
