"""The pool of local renderers as a real process, with a renderer that does what it is told."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
import pytest
import skimage

from tasks.models import RenderRequest
from tasks.providers.base import JobStatus, MediaSet, ProbedMedia, SubmitOrder
from tasks.providers.local.job_process import DEFAULT_RENDERER
from tasks.providers.local.pool import Pool, pool_is_alive
from tasks.providers.local.provider import LocalProvider
from tasks.providers.local.spool import Spool, Status

_ROOT = Path(__file__).parents[2]
_WAIT_SECONDS = 60
FAKE = "tests.integration.fake_renderer:render"

StartPool = Callable[..., subprocess.Popen[str]]


def wait_until(happened: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not happened():
        assert time.monotonic() < end, f"no {what} after {_WAIT_SECONDS} s"
        time.sleep(0.05)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "home" / "local-renderer")


@pytest.fixture
def provider(spool: Spool) -> LocalProvider:
    return LocalProvider(spool.root)


@pytest.fixture
def start_pool(tmp_path: Path, spool: Spool) -> Iterator[StartPool]:
    pools: list[subprocess.Popen[str]] = []

    def start(*, size: int = 1, ready: bool = True, renderer: str = FAKE) -> subprocess.Popen[str]:
        environment = os.environ | {"STUDIO_HOME": str(tmp_path / "home"), "STUDIO_LOCAL_POOL_SIZE": str(size)}
        command = [sys.executable, "-m", "tasks.providers.local.pool", "--renderer", renderer]
        pool = subprocess.Popen(command, cwd=_ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        pools.append(pool)
        if ready:
            wait_until(lambda: pool_is_alive(spool.root), "living pool")
        return pool

    yield start
    for pool in pools:
        pool.kill()
        pool.communicate(timeout=10)
    wait_until(lambda: not renderers(spool), "end of all renderers")


def renderers(spool: Spool) -> list[psutil.Process]:
    """The living renderers of this spool."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if any(str(spool.jobs) in word for word in line) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def probed(path: Path, **facts: Any) -> ProbedMedia:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return ProbedMedia(reference="r", path=path, sha256=digest, size=len(content), **facts)


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


async def submit(provider: LocalProvider, tmp_path: Path, script: str, number: int = 1) -> str:
    picture = tmp_path / "a.png"
    picture.write_bytes(b"picture")
    media = probed(picture, role="avatar", kind="image", extension="png")
    speech = {"kind": "script", "text": script, "voice": None, "speed": 1.0}
    order = SubmitOrder(
        render_key=f"{number:064x}"[::-1],
        attempt=1,
        payload={"renderer": 1, "avatar": {"kind": "portrait", "sha256": media.sha256}, "speech": speech, "fps": 25}
        | {"short_side": 256},
        inputs={"avatar": await provider.upload(media)},
    )
    return await provider.submit(order)


async def ended(provider: LocalProvider, job_id: str) -> JobStatus:
    end = time.monotonic() + _WAIT_SECONDS
    while (status := await provider.query(job_id)).phase not in {"succeeded", "failed"}:
        assert time.monotonic() < end, f"{job_id} is still {status}"
        await asyncio.sleep(0.05)
    return status


def runs(spool: Spool, job_id: str) -> list[str]:
    path = spool.job_folder(job_id) / "runs.txt"
    return path.read_text().split() if path.exists() else []


def has_progress(spool: Spool, job_id: str) -> Callable[[], bool]:
    return lambda: (spool.progress(job_id) or 0) > 0


async def test_a_job_is_rendered(provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path) -> None:
    """From submit over progress to a result whose size and md5 are those of the file; nothing half is left over."""
    start_pool()
    job_id = await submit(provider, tmp_path, "slow")
    wait_until(has_progress(spool, job_id), "progress")
    assert (await provider.query(job_id)).phase == "running"
    status = await ended(provider, job_id)
    assert status.result is not None
    video = b"".join([chunk async for chunk in provider.read_result(status.result)])
    assert video.endswith(b"picture")
    assert (status.result.size, status.result.speech_seconds) == (len(video), 0.98)
    assert not (spool.job_folder(job_id) / "part.mp4").exists()
    assert runs(spool, job_id) == ["start", "end"]


async def test_fifty_jobs_all_complete(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """Every job of a burst is rendered exactly once, the first submitted among the first started."""
    ids = [await submit(provider, tmp_path, "quick", number) for number in range(1, 51)]
    start_pool(size=4)
    statuses = await asyncio.gather(*(ended(provider, job_id) for job_id in ids))

    assert {status.phase for status in statuses} == {"succeeded"}
    assert all(runs(spool, job_id) == ["start", "end"] for job_id in ids)
    born = {job_id: (spool.job_folder(job_id) / "log.txt").stat().st_ctime for job_id in ids}
    assert max(born[job_id] for job_id in ids[:10]) < min(born[job_id] for job_id in ids[-10:])


async def test_a_killed_pool_is_followed_by_the_next(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """Kill -9 in mid-render takes the renderer along; the next pool renders the job again, to one whole result."""
    pool = start_pool()
    job_id = await submit(provider, tmp_path, "slow")
    waiting = await submit(provider, tmp_path, "quick", 2)
    wait_until(has_progress(spool, job_id), "progress")
    pool.kill()
    pool.wait(10)
    wait_until(lambda: not renderers(spool), "end of the orphaned renderer")
    assert not pool_is_alive(spool.root)
    assert (await provider.query(job_id)).phase == "running"
    start_pool()
    assert (await ended(provider, job_id)).phase == "succeeded"
    assert (await ended(provider, waiting)).phase == "succeeded"
    assert runs(spool, job_id) == ["start", "start", "end"]


async def test_a_result_that_was_complete_is_not_rendered_again(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """A pool that died between the renderer's end and its own note finds the video and keeps it."""
    pool = start_pool()
    job_id = await submit(provider, tmp_path, "quick")
    await ended(provider, job_id)
    pool.kill()
    pool.wait(10)
    spool.set_status(job_id, Status(phase="running", pid=pool.pid, pid_started=1.0))
    start_pool()
    assert (await ended(provider, job_id)).phase == "succeeded"
    assert runs(spool, job_id) == ["start", "end"]


async def test_a_renderer_of_a_dead_pool_is_ended_first(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """A renderer that outlived its pool is killed before its job starts again; a stranger with its number is not."""
    job_ids = [await submit(provider, tmp_path, "quick", number) for number in (1, 2)]
    survivors = [sleeper() for _ in job_ids]
    started = [psutil.Process(survivor.pid).create_time() for survivor in survivors]
    spool.set_status(job_ids[0], Status(phase="running", pid=survivors[0].pid, pid_started=started[0]))
    spool.set_status(job_ids[1], Status(phase="running", pid=survivors[1].pid, pid_started=started[1] - 3600))
    try:
        start_pool()
        for job_id in job_ids:
            assert (await ended(provider, job_id)).phase == "succeeded"
        assert survivors[0].wait(10) == -signal.SIGKILL
        assert survivors[1].poll() is None
    finally:
        for survivor in survivors:
            survivor.kill()
            survivor.wait(10)


async def test_a_killed_renderer_is_tried_again(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """A renderer that dies once is started again; one that always dies fails its job with signal and last words."""
    start_pool()
    once = await submit(provider, tmp_path, "slow")
    wait_until(has_progress(spool, once), "progress")
    renderers(spool)[0].kill()
    always = await submit(provider, tmp_path, "die", 2)
    assert (await ended(provider, once)).phase == "succeeded"
    assert runs(spool, once) == ["start", "start", "end"]
    failed = await ended(provider, always)
    assert failed.phase == "failed"
    assert failed.charged is False
    assert "died 2 times, last by SIGKILL" in failed.reason
    assert "about to die" in failed.reason
    assert runs(spool, always) == ["start", "start"]


async def test_a_bad_job_fails_alone_and_at_once(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """A refusal, a programming error and greed fail their jobs with the reason, without a second try; the next runs."""
    start_pool()
    refused = await submit(provider, tmp_path, "refuse", 1)
    broken = await submit(provider, tmp_path, "break", 2)
    greedy = await submit(provider, tmp_path, "greed", 5)
    damaged = await submit(provider, tmp_path, "quick", 3)
    (spool.job_folder(damaged) / "job.json").write_bytes(b"{")
    fine = await submit(provider, tmp_path, "quick", 4)
    assert (await ended(provider, refused)).reason == "there is no face in the picture. Show a face."
    assert "ZeroDivisionError: one over nothing" in (await ended(provider, broken)).reason
    assert "MemoryError" in (await ended(provider, greedy)).reason
    assert (await ended(provider, damaged)).phase == "failed"
    assert (await ended(provider, fine)).phase == "succeeded"
    assert [runs(spool, job_id) for job_id in (refused, broken)] == [["start"], ["start"]]


async def test_a_second_pool_refuses(spool: Spool, start_pool: StartPool) -> None:
    """Two pools on one spool would render everything twice: the second says so and ends."""
    first = start_pool()
    second = start_pool(ready=False)
    _, said = second.communicate(timeout=_WAIT_SECONDS)
    assert second.returncode == 1
    assert f"another pool already serves {spool.root}" in said
    assert first.poll() is None
    assert pool_is_alive(spool.root)


async def test_a_stopped_pool_leaves_jobs_resumable(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """SIGTERM ends the renderers and queues their jobs; it is no death of theirs, and no process stays."""
    for _ in range(2):
        pool = start_pool()
        job_id = await submit(provider, tmp_path, "slow")
        wait_until(has_progress(spool, job_id), "progress")
        (spool.job_folder(job_id) / "progress.json").unlink()
        pool.send_signal(signal.SIGTERM)
        assert pool.wait(_WAIT_SECONDS) == 0
        assert not renderers(spool)
        assert not pool_is_alive(spool.root)
        assert spool.status(job_id) == spool.status(job_id).model_copy(update={"phase": "queued", "deaths": 0})
    start_pool()
    assert (await ended(provider, job_id)).phase == "succeeded"


async def test_a_renderer_that_hangs_is_stopped(provider: LocalProvider, spool: Spool, tmp_path: Path) -> None:
    """A job that takes far longer than its speech explains fails, says so, and leaves the slot to the next."""
    stop = asyncio.Event()
    # A script of one character gets some three seconds, so the patience is what is over.
    pool = Pool(spool, size=1, attempts=2, renderer=FAKE, patience=-1)
    hangs = await submit(provider, tmp_path, "h", 1)
    fine = await submit(provider, tmp_path, "quick", 2)
    serving = asyncio.create_task(pool.run(stop))
    status = await ended(provider, hangs)
    assert status.phase == "failed"
    assert "was stopped" in status.reason
    assert (await ended(provider, fine)).phase == "succeeded"
    stop.set()
    await serving
    assert not renderers(spool)


async def test_the_real_renderer_makes_a_real_video(
    provider: LocalProvider, spool: Spool, start_pool: StartPool, tmp_path: Path
) -> None:
    """Half a second of sound and a photograph become an MP4 that decodes to as many frames as its report says."""
    picture, sound = tmp_path / "astronaut.png", tmp_path / "sound.wav"
    cv2.imwrite(str(picture), cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR))
    times = np.arange(8000) / 16000
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes((9000 * np.sin(1200 * times) * np.sin(12 * times) ** 2).astype("<i2").tobytes())
    request = RenderRequest.model_validate(
        {
            "avatar": {"kind": "portrait", "image": "https://example.org/a.png"},
            "speech": {"kind": "recording", "audio": "https://example.org/a.wav"},
        }
    )
    media: MediaSet = {
        "avatar": probed(picture, role="avatar", kind="image", extension="png"),
        "speech": probed(sound, role="speech", kind="audio", extension="wav", seconds=0.5),
    }
    assert await provider.check(request, media) == []
    order = SubmitOrder(
        render_key="e" * 64,
        attempt=1,
        payload=provider.payload(request, media) | {"short_side": 256},
        inputs={role: await provider.upload(item) for role, item in media.items()},
    )
    start_pool(renderer=DEFAULT_RENDERER)
    status = await ended(provider, await provider.submit(order))

    assert status.result is not None, status.reason
    assert status.result.speech_seconds == pytest.approx(0.5, abs=0.01)
    outcome = spool.outcome(order.order_id)
    assert outcome is not None
    with av.open(status.result.location) as video:
        assert sum(1 for _ in video.decode(video=0)) == outcome.report.frames == 13
    nobody = tmp_path / "nobody.png"
    cv2.imwrite(str(nobody), np.full((256, 256, 3), 90, np.uint8))
    media = {**media, "avatar": probed(nobody, role="avatar", kind="image", extension="png")}
    assert [problem.field for problem in await provider.check(request, media)] == ["avatar.image"]
