"""The sandbox's videos are real: the studio's own inspection finds no fault with them, whoever draws them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tasks.inspect import examine_video
from tests.contract.sandbox_calls import TopView, wait_for
from tests.media_files import write_sound
from tests.servers.sandbox import PROJECT, SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures by name

STOCK = {"avatarSourceFrom": "1", "aiAvatarId": "3327", "audioSourceFrom": "1"}


def find_flaws(path: Path, seconds: float) -> list[str]:
    """What the studio's own inspection has against a video, lips aside."""
    found = examine_video(path, seconds).findings
    return [finding.what for finding in found if finding.level != "ok" and finding.what != "lip sync"]


def test_quick_renders_pass_the_inspection(sandbox: SandboxServer, tmp_path: Path):
    """Recordings and scripts in Latin and Chinese letters become videos that the studio finds no fault with."""
    topview = TopView(sandbox)
    upload = topview.upload(write_sound(tmp_path / "speech.wav", 2.0))
    speeches = [
        ({"audioSourceFrom": "0", "audioFileId": upload}, 2.0),
        ({"audioSourceFrom": "1", "ttsText": "Good day to you." * 3}, 3.2),
        ({"audioSourceFrom": "1", "ttsText": "你好欢迎" * 2}, 2.0),
    ]
    for speech, seconds in speeches:
        body = {"avatarSourceFrom": "1", "aiAvatarId": "3327", **speech}
        done = topview.finish(topview.submit(body)["result"]["taskId"])
        (tmp_path / "out.mp4").write_bytes(httpx.get(done["outputVideoUrl"]).content)
        assert find_flaws(tmp_path / "out.mp4", seconds) == []


@pytest.fixture
def renderer(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The studio's local renderer; gives the environment that finds it."""
    home = {"STUDIO_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "tasks.providers.local.pool"]
    with (tmp_path / "pool.log").open("wb") as log:
        pool = subprocess.Popen(command, cwd=PROJECT, env=os.environ | home, stderr=log)
    yield home
    pool.terminate()
    pool.wait(30)


def test_local_renders_survive_a_sigkill(renderer: dict[str, str], tmp_path: Path):
    """With the studio's renderer a stock avatar says a script, or hums one that nobody here can speak."""
    with SandboxServer(tmp_path / "sandbox", renderer="local", environment=renderer) as server:
        customer = TopView(server)
        tasks = [
            customer.submit(STOCK | {"ttsText": text})["result"]["taskId"] for text in ("Good morning.", "你好你好")
        ]
        wait_for(lambda: {customer.query(task)["status"] for task in tasks} == {"running"}, "both renders")
        server.kill()
        server.restart()
        for task in tasks:
            done = TopView(server).finish(task)
            assert done["status"] == "success", done
            (tmp_path / "out.mp4").write_bytes(httpx.get(done["outputVideoUrl"]).content)
            assert examine_video(tmp_path / "out.mp4").failures == []
