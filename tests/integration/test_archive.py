"""A finished render on its way into a real archive, and what of it counts."""

import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from tasks.archive import ArchivedRender, JobFacts, archive_video, find_in_store, record_key, video_key
from tasks.errors import DownloadBroken, ResultExpired, StorageError
from tasks.providers.base import Provider, ResultFile
from tasks.settings import StudioSettings
from tasks.storage import ObjectStore
from tests.media_files import write_clip
from tests.servers.seaweedfs import SeaweedServer

FACTS = JobFacts(provider="test", account="lab", job_id="job-7")


class FileProvider:
    """Reads results from files, breaking the connection once at each position it is told."""

    def __init__(self, *cuts: int) -> None:
        self.cuts = list(cuts)
        self.offsets: list[int] = []

    async def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        """Stream the file."""
        self.offsets.append(offset)
        path = Path(result.location)
        if not path.exists():  # noqa: ASYNC240 - a test double
            raise ResultExpired("the result is gone", provider="test", job_id="job-7")
        body = path.read_bytes()  # noqa: ASYNC240 - a test double
        end = self.cuts.pop(0) if self.cuts else len(body)
        for start in range(offset, end, 65_536):
            yield body[start : min(start + 65_536, end)]
        if end < len(body):
            raise ConnectionResetError("cut by the test")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def store(server: SeaweedServer) -> ObjectStore:
    made = server.store()
    await made.ensure_bucket("archive", versioned=True)
    return made


@pytest.fixture
def video(tmp_path: Path) -> Path:
    folder = tmp_path / "provider"
    folder.mkdir()
    return write_clip(folder / "result.mp4", seconds=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def render_key(request: pytest.FixtureRequest) -> str:
    """Another key for each test."""
    return hashlib.sha256(request.node.name.encode()).hexdigest()


def result_of(path: Path, **changes: object) -> ResultFile:
    body = path.read_bytes()
    facts = {"location": str(path), "md5": hashlib.md5(body, usedforsecurity=False).hexdigest(), "size": len(body)}
    return ResultFile.model_validate(facts | {"speech_seconds": 2.0, "notes": ["draft quality"]} | changes)


async def archive(
    store: ObjectStore, render_key: str, folder: Path, result: ResultFile, provider: FileProvider | None = None
) -> ArchivedRender:
    return await archive_video(
        cast(Provider, provider or FileProvider()),
        result,
        render_key=render_key,
        store=store,
        folder=folder,
        facts=FACTS,
        settings=StudioSettings(),
    )


async def test_a_whole_video_is_archived_and_found(
    store: ObjectStore, render_key: str, folder: Path, video: Path
) -> None:
    """The archive holds the very bytes of the provider, and the record tells what they are."""
    provider = FileProvider(50_000, 70_000)

    record = await archive(store, render_key, folder, result_of(video), provider)

    assert provider.offsets == [0, 50_000, 70_000]
    assert record.uri == f"s3://archive/renders/{render_key[:2]}/{render_key}/original.mp4"
    body = await store.get_bytes("archive", record.key, limit=10**7)
    assert body == video.read_bytes()  # noqa: ASYNC240 - a small file
    assert record.sha256 == hashlib.sha256(body).hexdigest()
    assert (record.provider, record.account, record.job_id, record.notes) == ("test", "lab", "job-7", ["draft quality"])
    assert record.seconds == pytest.approx(2, abs=0.06)
    assert record == await find_in_store(store, render_key)


async def test_archiving_again_changes_nothing(store: ObjectStore, render_key: str, folder: Path, video: Path) -> None:
    """A run that was restarted after the archive step neither downloads nor writes again."""
    first = await archive(store, render_key, folder, result_of(video))
    provider = FileProvider()

    assert await archive(store, render_key, folder, result_of(video), provider) == first
    assert provider.offsets == []


async def test_half_an_archive_is_not_a_hit(store: ObjectStore, render_key: str, folder: Path, video: Path) -> None:
    """Only a record with its very video counts; doing the step again mends what is missing."""
    assert await find_in_store(store, render_key) is None
    await store.put_file("archive", video_key(render_key), video)
    assert await find_in_store(store, render_key) is None
    record = await archive(store, render_key, folder, result_of(video))
    await store.delete("archive", record.key)
    assert await find_in_store(store, render_key) is None
    await store.put_bytes("archive", record.key, b"other bytes")
    assert await find_in_store(store, render_key) is None

    mended = await archive(store, render_key, folder, result_of(video))

    assert await find_in_store(store, render_key) == mended
    await store.put_bytes("archive", record_key(render_key), b"{}")
    assert await find_in_store(store, render_key) is None


async def test_a_dead_store_is_not_an_empty_archive(server: SeaweedServer, render_key: str) -> None:
    """When the store cannot be asked, nobody concludes that the video has to be paid again."""
    dead = server.store(endpoint="127.0.0.1:9", retry_seconds=0.2)

    with pytest.raises(StorageError, match="no usable answer"):
        await find_in_store(dead, render_key)


def truncated(video: Path) -> Path:
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) * 2 // 3])
    return video


def playlist(video: Path) -> Path:
    video.write_text(f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:2,\nfile://{video.parent / 'secret.mp4'}\n#EXT-X-ENDLIST\n")
    return video


def web_page(video: Path) -> Path:
    video.write_text("<html>please log in</html>")
    return video


def nothing(video: Path) -> Path:
    video.write_bytes(b"")
    return video


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(truncated, "cut short"), (playlist, "HLS playlist"), (web_page, "web page"), (nothing, "empty")],
)
async def test_broken_results_leave_no_trace(
    store: ObjectStore, render_key: str, folder: Path, video: Path, *, spoil: Callable[[Path], Path], said: str
) -> None:
    """A result that does not decode to its end is refused although its size and MD5 are as announced."""
    spoil(video)

    with pytest.raises(DownloadBroken, match=said):
        await archive(store, render_key, folder, result_of(video))
    assert [entry async for entry in store.list_objects("archive", f"renders/{render_key[:2]}/{render_key}")] == []


@pytest.mark.parametrize(("change", "said"), [({"md5": "0" * 32}, "MD5"), ({"size": 12}, "size")])
async def test_results_that_are_not_as_announced(
    store: ObjectStore, render_key: str, folder: Path, video: Path, *, change: dict[str, object], said: str
) -> None:
    """A result with another MD5 or size than the provider says is not archived, and no file stays on the disk."""
    with pytest.raises(DownloadBroken, match=said):
        await archive(store, render_key, folder, result_of(video, **change))
    assert await find_in_store(store, render_key) is None
    assert list(folder.iterdir()) == []  # noqa: ASYNC240 - a test folder


async def test_an_expired_link_goes_to_the_caller(
    store: ObjectStore, render_key: str, folder: Path, video: Path
) -> None:
    """The caller has to query again for a fresh link, so the error stays what it is."""
    result = result_of(video, location=str(video.with_name("none.mp4")))

    with pytest.raises(ResultExpired):
        await archive(store, render_key, folder, result)


@pytest.mark.chaos
async def test_archive_survives_a_killed_store(render_key: str, tmp_path: Path, folder: Path, video: Path) -> None:
    """A store that is killed and restarted under the archive step costs time, not the video."""
    own = SeaweedServer(tmp_path / "own")
    own.start()
    try:
        store = own.store()
        await store.ensure_bucket("archive", versioned=True)
        own.kill()
        own.launch()
        record = await archive(store, render_key, folder, result_of(video))
        assert await find_in_store(store, render_key) == record
    finally:
        own.destroy()
