"""The media of a request, from a real object store and a real web server, to probed files on this machine."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.testing.utilities import prefect_test_harness

from tasks.errors import MediaRefused, StorageError
from tasks.media import fetch_media
from tasks.models import RenderRequest
from tasks.providers.base import MediaRole, ProbedMedia
from tasks.settings import get_settings
from tasks.staging import split_reference, stage_file
from tasks.storage import ObjectStore
from tests.media_files import write_clip, write_picture, write_sound
from tests.servers.seaweedfs import SeaweedServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    with prefect_test_harness(server_startup_timeout=120):
        running.block(retry_seconds=2).save("studio-archive")
        running.block(endpoint="127.0.0.1:9", retry_seconds=0.2).save("dead-store")
        yield running
    running.stop()


@pytest.fixture
async def store(server: SeaweedServer) -> ObjectStore:
    made = server.store()
    for bucket in ("staging", "secrets"):
        await made.ensure_bucket(bucket)
    return made


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Path]:
    """A folder whose files are served on an address that the settings list; its port is in ``address.txt``."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        (folder / "address.txt").write_text(f"127.0.0.1:{running.server_port}")
        yield folder
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Fresh settings for each test; set variables through what is yielded, before the first use."""
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def address(web: Path, settings: pytest.MonkeyPatch) -> str:
    found = (web / "address.txt").read_text()
    settings.setenv("STUDIO_PRIVATE_MEDIA_HOSTS", f'["{found}"]')
    get_settings.cache_clear()
    return f"http://{found}"


def request_for(avatar: str, speech: str | None = None, *, kind: str = "portrait") -> RenderRequest:
    name = "image" if kind == "portrait" else "video"
    said = {"kind": "recording", "audio": speech} if speech else {"kind": "script", "text": "Hello"}
    return RenderRequest.model_validate({"avatar": {"kind": kind, name: avatar}, "speech": said})


async def fetch(request: RenderRequest, folder: Path) -> dict[MediaRole, ProbedMedia]:
    return await fetch_media.fn(request, folder)


async def test_portrait_and_recording_from_the_store(store: ObjectStore, tmp_path: Path) -> None:
    """What a person staged arrives probed, with the digest of its bytes."""
    picture, sound = write_picture(tmp_path / "a.png"), write_sound(tmp_path / "b.wav", 0.5)
    request = request_for(await stage_file(store, picture), await stage_file(store, sound))

    found = await fetch(request, tmp_path)

    assert set(found) == {"avatar", "speech"}
    assert found["avatar"].sha256 == hashlib.sha256(picture.read_bytes()).hexdigest()
    assert (found["avatar"].kind, found["speech"].kind) == ("image", "audio")
    assert found["speech"].path.read_bytes() == sound.read_bytes()


async def test_clip_from_a_link(web: Path, settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A clip comes over HTTP from a listed host; the store is not needed for that."""
    write_clip(web / "clip.mp4")
    settings.setenv("STUDIO_STORAGE_BLOCK", "no-such-block")

    found = await fetch(request_for(f"{address(web, settings)}/clip.mp4", kind="clip"), tmp_path)

    assert (found["avatar"].kind, found["avatar"].width) == ("video", 160)


async def test_nothing_to_fetch(tmp_path: Path) -> None:
    """A stock avatar with a script needs no file and no store."""
    request = RenderRequest.model_validate(
        {"avatar": {"kind": "stock", "avatar_id": "anna"}, "speech": {"kind": "script", "text": "Hello"}}
    )

    assert await fetch(request, tmp_path) == {}


async def test_all_problems_are_named_at_once(store: ObjectStore, tmp_path: Path) -> None:
    """Two bad files give two messages, each with its field, what is wrong, and a way out."""
    await store.put_bytes("staging", "page.png", b"<html>not logged in</html>")

    with pytest.raises(MediaRefused) as refused:
        await fetch(request_for("s3://staging/page.png", "https://127.0.0.1/speech.wav?token=secret"), tmp_path)

    first, second = refused.value.problems
    assert (first.field, second.field) == ("avatar.image", "speech.audio")
    assert "web page" in first.wrong
    assert "loopback" in second.wrong
    assert all(problem.fix for problem in (first, second))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("s3://staging/none.png", "does not exist"),
        ("s3://no-such-bucket/a.png", "may not be read"),
        ("s3://secrets/a.png", "may not be read"),
        ("s3://staging/large.png", "limit is 2048"),
    ],
)
async def test_refused_objects(
    store: ObjectStore, settings: pytest.MonkeyPatch, tmp_path: Path, reference: str, said: str
) -> None:
    """Objects that are missing, too large, or in a bucket that requests may not read are refused by name."""
    await store.put_bytes("staging", "large.png", b"x" * 2049)
    await store.put_bytes("secrets", "a.png", write_picture(tmp_path / "a.png").read_bytes())
    settings.setenv("STUDIO_MAX_IMAGE_BYTES", "2048")

    with pytest.raises(MediaRefused, match=said):
        await fetch(request_for(reference), tmp_path)


async def test_links_that_do_not_work(web: Path, settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dead link and an oversized file are refused in the words of the field."""
    (web / "large.png").write_bytes(b"x" * 2049)
    settings.setenv("STUDIO_MAX_IMAGE_BYTES", "2048")
    url = address(web, settings)

    with pytest.raises(MediaRefused, match=r"avatar\.image: .*HTTP 404"):
        await fetch(request_for(f"{url}/none.png"), tmp_path)
    with pytest.raises(MediaRefused, match=r"avatar\.image: .*limit is 2048"):
        await fetch(request_for(f"{url}/large.png"), tmp_path)


async def test_a_dead_store_is_not_the_requests_fault(
    server: SeaweedServer, settings: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """When the store is away the message is about the store, not about the file."""
    assert server.port
    settings.setenv("STUDIO_STORAGE_BLOCK", "dead-store")

    with pytest.raises(StorageError, match="studio doctor"):
        await fetch(request_for("s3://staging/a.png"), tmp_path)


async def test_staged_files_are_sent_once(store: ObjectStore, tmp_path: Path) -> None:
    """The same bytes under two names are one object, under an ASCII key, until their expiry comes near."""
    first = write_picture(tmp_path / "主持人.png")
    second = first.rename(tmp_path / "other.jpeg")

    reference = await stage_file(store, second)
    bucket, key = split_reference(reference)
    before = await store.head(bucket, key)
    again = await stage_file(store, second)
    after = await store.head(bucket, key)
    store.staging_days = 0
    await store.put_bytes(bucket, key, b"old")
    await stage_file(store, second)
    renewed = await store.head(bucket, key)

    assert reference == again == f"s3://staging/uploads/{hashlib.sha256(second.read_bytes()).hexdigest()}.png"
    assert before == after
    assert renewed is not None
    assert renewed.size == second.stat().st_size
    assert timedelta(days=store.staging_days) == timedelta(0)
