"""The local renderer's spool and the provider in front of it, without any renderer running."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import ProviderRejected, ResultExpired
from tasks.models import RenderRequest
from tasks.providers.base import MediaSet, ProbedMedia, Provider, SubmitOrder
from tasks.providers.local.job_process import ProgressFile
from tasks.providers.local.models import RenderReport
from tasks.providers.local.pool import pool_is_alive
from tasks.providers.local.provider import LocalProvider
from tasks.providers.local.speech import SHORTEST_SECONDS
from tasks.providers.local.spool import MediaFacts, Outcome, Spool, Status, Ticket, write_whole

_ROOT = Path(__file__).parents[2]
_OTHER_FILE_SYSTEM = Path("/dev/shm")
KEY = "ab" * 32
JOB = f"{KEY[:24]}-1"


def a_request(**more: Any) -> RenderRequest:
    fields = {
        "avatar": {"kind": "portrait", "image": "https://example.org/a.png"},
        "speech": {"kind": "script", "text": "Hello there."},
    }
    return RenderRequest.model_validate(fields | more)


RECORDING = {"kind": "recording", "audio": "https://example.org/a.wav"}


def a_file(folder: Path, content: bytes = b"picture", **more: Any) -> ProbedMedia:
    path = folder / "file.bin"
    path.write_bytes(content)
    facts = {
        "role": "avatar",
        "reference": "https://example.org/a.png",
        "path": path,
        "sha256": "c" * 64,
        "size": len(content),
        "kind": "image",
        "extension": "png",
    }
    return ProbedMedia.model_validate(facts | more)


def a_ticket(**more: Any) -> Ticket:
    facts = {
        "render_key": KEY,
        "submitted_ns": 1,
        "avatar_kind": "portrait",
        "avatar": f"{'c' * 64}.png",
        "recording": None,
        "script": "hello",
        "voice": None,
        "speed": 1.0,
        "fps": 25,
        "short_side": 720,
    }
    return Ticket.model_validate(facts | more)


def an_outcome(size: int) -> Outcome:
    report = RenderReport(frames=1, seconds=1, speech_seconds=0.9, width=2, height=2, fps=25, notes=["a note"])
    return Outcome(report=report, size=size, md5="0" * 32)


def finish(spool: Spool, job_id: str, video: bytes = b"video") -> None:
    folder = spool.job_folder(job_id)
    (folder / "result.mp4").write_bytes(video)
    write_whole(folder / "report.json", an_outcome(len(video)).model_dump_json().encode())
    spool.set_status(job_id, Status(phase="succeeded"))


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.prepare()
    return made


@pytest.fixture
def provider(spool: Spool) -> LocalProvider:
    return LocalProvider(spool.root)


async def an_order(provider: LocalProvider, tmp_path: Path, **request: Any) -> SubmitOrder:
    media = a_file(tmp_path)
    inputs = {"avatar": await provider.upload(media)}
    return SubmitOrder(
        render_key=KEY, attempt=1, payload=provider.payload(a_request(**request), {"avatar": media}), inputs=inputs
    )


def test_it_is_a_provider(provider: LocalProvider) -> None:
    """The type checker holds the class against the seam, and the endpoint tells no path."""
    seam: Provider = provider
    assert seam.endpoint.startswith("file:")
    assert str(provider._spool.root) not in seam.endpoint
    assert LocalProvider(provider._spool.root).endpoint == seam.endpoint


def test_racing_processes_agree_on_the_spool_and_the_job(spool: Spool) -> None:
    """Several processes that submit one order at once make one job, in a spool of one identity."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tasks.providers.local.spool import Spool, Ticket\n"
        "spool = Spool(Path(sys.argv[1])); ticket = Ticket.model_validate_json(sys.argv[2])\n"
        "made = sum(spool.create_job(f'{number:024x}-1', ticket) for number in range(40))\n"
        "print(made, spool.identity())"
    )
    command = [sys.executable, "-c", code, str(spool.root), a_ticket().model_dump_json()]
    workers = [subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]

    assert sum(int(made) for made, _ in said) == 40
    assert {identity for _, identity in said} == {spool.identity()}
    assert len(list(spool.job_ids())) == 40
    assert not list(spool.jobs.glob(".new-*"))


async def test_submitting_twice_is_one_job(provider: LocalProvider, tmp_path: Path) -> None:
    """The same order again gives the same job id and leaves the first as it is; look-up is exact."""
    order = await an_order(provider, tmp_path)
    assert (await provider.look_up(order, [])).seen == "absent"
    job_id = await provider.submit(order)
    provider._spool.set_status(job_id, Status(phase="running"))
    assert await provider.submit(order) == job_id == order.order_id
    assert (await provider.query(job_id)).phase == "running"
    sighting = await provider.look_up(order, [])
    assert (sighting.seen, sighting.job_id) == ("accepted", job_id)


async def test_another_order_under_the_same_id_is_refused(provider: LocalProvider, tmp_path: Path) -> None:
    """Ids are cut keys: a second, different order must not silently get the first one's video."""
    await provider.submit(await an_order(provider, tmp_path))
    other = await an_order(provider, tmp_path, speech={"kind": "script", "text": "Something else."})
    with pytest.raises(ProviderRejected, match="another job"):
        await provider.submit(other)


async def test_missing_media_and_unreadable_orders_are_refused(provider: LocalProvider, tmp_path: Path) -> None:
    """An order whose media were pruned, or that another version wrote, is refused with the way out."""
    order = await an_order(provider, tmp_path)
    for name in (f"{'d' * 64}.png", "../../etc/passwd"):
        gone = order.model_copy(update={"inputs": {"avatar": name}})
        with pytest.raises(ProviderRejected, match="uploads the file again"):
            await provider.submit(gone)
    for payload in ({}, order.payload | {"fps": 26}, {**order.payload, "avatar": {"kind": "stock"}}):
        with pytest.raises(ProviderRejected, match="planned anew"):
            await provider.submit(order.model_copy(update={"payload": payload}))


async def test_unsupported_requests_name_field_and_fix(provider: LocalProvider, tmp_path: Path) -> None:
    """Avatars it does not have, languages it cannot speak, speech too long, clips too short: all before any upload."""
    stock = a_request(avatar={"kind": "stock", "avatar_id": "anna"}, speech={**RECORDING})
    assert [problem.field for problem in provider.supports(stock)] == ["avatar.kind"]
    german = a_request(speech={"kind": "script", "text": "Guten Tag.", "language": "de"})
    assert [problem.field for problem in provider.supports(german)] == ["speech.language"]
    long = a_file(tmp_path, role="speech", kind="audio", extension="wav", seconds=1801.0)
    blink = a_file(tmp_path, kind="video", extension="mp4", seconds=0.08, fps=25.0)
    media: MediaSet = {"avatar": blink, "speech": long}
    clip = a_request(avatar={"kind": "clip", "video": "https://example.org/a.mp4"}, speech={**RECORDING})
    problems = await provider.check(clip, media)
    assert [problem.field for problem in problems] == ["speech.audio", "avatar.video"]
    assert all(problem.fix for problem in problems)
    click = long.model_copy(update={"seconds": SHORTEST_SECONDS - 0.01})
    assert [problem.field for problem in await provider.check(clip, {"speech": click})] == ["speech.audio"]
    word = long.model_copy(update={"seconds": SHORTEST_SECONDS})
    assert await provider.check(clip, {"speech": word}) == []


def test_the_payload_is_what_decides_the_video(provider: LocalProvider, tmp_path: Path) -> None:
    """Names and labels leave the payload alone; avatar, words, speed, size and rate change it."""
    media: MediaSet = {"avatar": a_file(tmp_path)}
    plain = provider.payload(a_request(), media)
    same = a_request(title="T", tags=["x"], labels={"text": "Made by AI"})
    assert provider.payload(same, media) == plain
    others = [
        provider.payload(a_request(output={"fps": 30}), media),
        provider.payload(a_request(output={"resolution": "512p"}), media),
        provider.payload(a_request(speech={"kind": "script", "text": "Hello there.", "speed": 1.1}), media),
        provider.payload(a_request(), {"avatar": a_file(tmp_path, sha256="d" * 64)}),
    ]
    assert all(other != plain for other in others)


async def test_uploads_are_kept_by_content(provider: LocalProvider, tmp_path: Path) -> None:
    """A repeat is one file; a short one, left by a full disk, is replaced; the source may go away."""
    media = a_file(tmp_path)
    name = await provider.upload(media)
    stored = provider._spool.media / name
    stored.unlink()
    stored.write_bytes(b"pic")
    assert await provider.upload(media) == name
    media.path.unlink()
    assert stored.read_bytes() == b"picture"


def test_uploads_cross_file_systems(spool: Spool, tmp_path: Path) -> None:
    """Where no hard link is possible the file is copied."""
    source = _OTHER_FILE_SYSTEM / f"studio-test-{os.getpid()}"
    source.write_bytes(b"far away")
    try:
        name = spool.add_media(source, f"{'e' * 64}.png", MediaFacts(size=8, seconds=None))
    finally:
        source.unlink()
    assert (spool.media / name).read_bytes() == b"far away"
    assert tmp_path.stat().st_dev != _OTHER_FILE_SYSTEM.stat().st_dev


async def test_status_progress_and_result_are_told(provider: LocalProvider, spool: Spool) -> None:
    """A job goes from queued over running with progress to a result that can be read from any byte."""
    spool.create_job(JOB, a_ticket())
    queued = await provider.query(JOB)
    assert (queued.phase, queued.word) == ("queued", "queued, and no renderer is running")
    spool.set_status(JOB, Status(phase="running"))
    write_progress = ProgressFile(spool.job_folder(JOB) / "progress.json")
    for done in (0.25, 0.5):
        write_progress(done)
    assert (await provider.query(JOB)).progress == 0.25
    video = bytes(range(256)) * 8192
    finish(spool, JOB, video)
    status = await provider.query(JOB)
    assert (status.phase, status.progress) == ("succeeded", 1.0)
    assert status.result is not None
    assert (status.result.size, status.result.speech_seconds, status.result.notes) == (len(video), 0.9, ["a note"])
    chunks = [chunk async for chunk in provider.read_result(status.result, offset=100)]
    assert b"".join(chunks) == video[100:]
    assert max(map(len, chunks)) <= 1024 * 1024
    spool.prune(older_than=-60)
    assert (await provider.query(JOB)).phase == "failed"
    with pytest.raises(ResultExpired):
        _ = [chunk async for chunk in provider.read_result(status.result)]


async def test_damaged_records_have_a_defined_meaning(provider: LocalProvider, spool: Spool) -> None:
    """Half a file never counts as a whole one, and never breaks the reader."""
    spool.create_job(JOB, a_ticket())
    folder = spool.job_folder(JOB)
    for damaged in ("", "0.", "[", '{"a": 1}', "null"):
        (folder / "progress.json").write_text(damaged)
        assert spool.progress(JOB) is None
    finish(spool, JOB)
    (folder / "result.mp4").write_bytes(b"vid")
    assert (await provider.query(JOB)).phase == "failed"
    (folder / "report.json").write_bytes(b'{"report": {')
    assert spool.outcome(JOB) is None
    (folder / "status.json").write_bytes(b"")
    status = await provider.query(JOB)
    assert (status.phase, status.charged) == ("failed", False)
    assert "damaged" in status.reason
    (folder / "job.json").write_bytes(b"\xff")
    assert spool.ticket(JOB) is None


@pytest.mark.parametrize("job_id", ["", "..", "../x-1", "abc", f"{KEY}-1/../x", ".new-1"])
async def test_foreign_job_ids_lead_nowhere(provider: LocalProvider, job_id: str) -> None:
    """An id that no submission can have is an unknown job, whatever path it spells."""
    assert (await provider.query(job_id)).word == "unknown"
    with pytest.raises(ValueError, match="not the id"):
        provider._spool.job_folder(job_id)


def test_pruning_takes_only_what_is_finished_and_old(spool: Spool, tmp_path: Path) -> None:
    """Young jobs, open jobs and the media that open jobs need stay; the rest goes."""
    names = [
        spool.add_media(a_file(tmp_path, bytes([65 + n])).path, f"{str(n) * 64}.png", MediaFacts(size=1, seconds=None))
        for n in range(3)
    ]
    ids = [f"{n:024x}-1" for n in range(3)]
    for job_id, name in zip(ids, names, strict=True):
        spool.create_job(job_id, a_ticket(avatar=name))
    finish(spool, ids[0])
    spool.set_status(ids[1], Status(phase="running"))
    (spool.jobs / ".new-left").mkdir()
    assert spool.prune(older_than=60) == 0
    assert len(list(spool.job_ids())) == 3
    assert spool.prune(older_than=-60) == 1
    assert set(spool.job_ids()) == set(ids[1:])
    assert [spool.media_facts(name) is not None for name in names] == [False, True, True]
    assert {path.name for path in spool.jobs.iterdir()} == set(ids[1:])


def test_pruning_beside_submissions_breaks_neither(spool: Spool) -> None:
    """Drafts that get their final name while the pruner looks at them are no errors, and no open job is lost."""
    ids = [f"{number:024x}-1" for number in range(100)]
    with ThreadPoolExecutor(1) as submitter:
        submitting = submitter.map(lambda job_id: spool.create_job(job_id, a_ticket()), ids)
        while len(list(spool.job_ids())) < len(ids):
            spool.prune(older_than=60)
        assert all(submitting)


def test_no_pool_no_life(spool: Spool) -> None:
    """Without a pool, or with the record of one that died, the spool is not served."""
    assert not pool_is_alive(spool.root)
    (spool.root / "pool.json").write_text('{"pid": 1, "started": 12.0}')
    assert not pool_is_alive(spool.root)
