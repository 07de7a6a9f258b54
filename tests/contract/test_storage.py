"""One contract, two real servers: SeaweedFS, and MinIO's own S3 front end as JuiceFS ships it."""

import asyncio
import hashlib
import os
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email.message import Message
from pathlib import Path

import pytest
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from prefect.testing.utilities import prefect_test_harness
from pydantic import SecretStr, ValidationError
from urllib3.exceptions import ProtocolError
from urllib3.response import HTTPResponse

from tasks.blocks import S3Storage, load_store
from tasks.errors import StorageError, StudioUnavailable
from tasks.storage import ObjectChanged, ObjectMissing, ObjectStore
from tasks.storage.client import S3Client
from tasks.storage.upload import PART_BYTES, part_size
from tests.servers.juicefs import JuiceServer
from tests.servers.objectserver import ObjectServer
from tests.servers.seaweedfs import SeaweedServer

MIB = 1024 * 1024
SERVERS: list[type[ObjectServer]] = [SeaweedServer, JuiceServer]


@pytest.fixture(scope="module", params=SERVERS, ids=["seaweedfs", "minio-gateway"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectServer]:
    running = request.param(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectServer]:
    """A server that the test may kill."""
    running = request.param(tmp_path / "server")
    running.start()
    yield running
    running.destroy()


only_seaweed = pytest.mark.parametrize("server", [SeaweedServer], ids=["seaweedfs"], indirect=True)
own_of_each = pytest.mark.parametrize("own_server", SERVERS, ids=["seaweedfs", "minio-gateway"], indirect=True)
own_seaweed = pytest.mark.parametrize("own_server", [SeaweedServer], ids=["seaweedfs"], indirect=True)


@pytest.fixture
async def store(server: ObjectServer) -> ObjectStore:
    made = server.store()
    await made.ensure_bucket("archive", versioned=True)
    await made.ensure_bucket("staging", expire_days=7)
    return made


def file_of(path: Path, size: int) -> Path:
    """A file whose every MiB differs."""
    with path.open("wb") as file:
        for number in range(-(-size // MIB)):
            block = number.to_bytes(8, "big") * (MIB // 8)
            file.write(block[: min(MIB, size - number * MIB)])
    return path


def browse(link: str) -> tuple[bytes, Message]:
    """Open a link as a browser would, without keys."""
    with urllib.request.urlopen(link, timeout=10) as answer:  # noqa: S310 - signed link
        return answer.read(), answer.headers


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def multipart_etag(path: Path, step: int) -> str:
    data = path.read_bytes()
    digests = [hashlib.md5(data[at : at + step], usedforsecurity=False).digest() for at in range(0, len(data), step)]
    return hashlib.md5(b"".join(digests), usedforsecurity=False).hexdigest() + f"-{len(digests)}"


async def keys(listing: AsyncIterator[object]) -> list[str]:
    return [entry.key async for entry in listing]  # type: ignore[attr-defined]


async def test_ensure_bucket_can_be_repeated(store: ObjectStore) -> None:
    """Setting a studio up twice changes nothing, also when two workers do it at once."""
    await asyncio.gather(*(store.ensure_bucket("twice", versioned=True, expire_days=3) for _ in range(4)))

    await store.put_bytes("twice", "a", b"x")

    assert await keys(store.list_objects("twice")) == ["a"]


@only_seaweed
async def test_seaweed_keeps_versions_and_expiry(server: ObjectServer, store: ObjectStore) -> None:
    """An overwritten archive object keeps its old version, and staging has its two lifecycle rules."""
    first = await store.put_bytes("archive", "versions", b"1")
    second = await store.put_bytes("archive", "versions", b"2")
    client = S3Client(server.endpoint, server.access_key, server.secret_key, secure=False, region="us-east-1")

    assert first.version_id
    assert first.version_id != second.version_id
    assert client.get_object("archive", "versions", version_id=first.version_id).read() == b"1"
    rules = client.get_bucket_lifecycle("staging").rules  # type: ignore[union-attr]
    assert {rule.rule_id for rule in rules} == {"expire", "abort-unfinished"}


async def test_what_is_written_is_what_head_says(store: ObjectStore) -> None:
    """Size, MD5, content type and metadata in any language survive the store."""
    metadata = {"sha256": "ab" * 32, "title": "主持人 100% Ünï", "plain": "a b+c=d"}

    written = await store.put_bytes("archive", "facts/a.mp4", b"video", content_type="video/mp4", metadata=metadata)
    facts = await store.head("archive", "facts/a.mp4")

    assert facts is not None
    assert facts.modified is not None
    assert written == facts.model_copy(update={"modified": None, "version_id": written.version_id})
    assert facts.etag == hashlib.md5(b"video", usedforsecurity=False).hexdigest()
    assert facts.metadata == metadata


async def test_metadata_names_are_checked(store: ObjectStore) -> None:
    """A metadata name that headers cannot carry is a programming error, not a broken signature."""
    with pytest.raises(ValueError, match="must be of a-z"):
        await store.put_bytes("archive", "facts/bad", b"", metadata={"tïtle": "x"})


@pytest.mark.parametrize("key", ["k/sp ace+plus.txt", "k/日本.mp4", "k/100%#?&=.txt", "k/q'\"(1).txt"])
async def test_odd_keys(store: ObjectStore, key: str) -> None:
    """A key with signs that URLs use for themselves names the same object in every call."""
    await store.put_bytes("archive", key, b"z")

    assert await store.get_bytes("archive", key, limit=1) == b"z"
    assert key in await keys(store.list_objects("archive", "k/"))
    body, _ = await asyncio.to_thread(browse, store.presign_get("archive", key, expires=timedelta(minutes=1)))
    assert body == b"z"


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 12345])
async def test_files_of_every_size_survive(store: ObjectStore, tmp_path: Path, size: int) -> None:
    """Around the borders of a part a file arrives whole, with the ETag that S3 prescribes."""
    source = file_of(tmp_path / "source", size)
    expected = (
        multipart_etag(source, PART_BYTES)
        if size > PART_BYTES
        else hashlib.md5(source.read_bytes(), usedforsecurity=False).hexdigest()
    )

    written = await store.put_file("archive", "files/f.bin", source, content_type="video/mp4", metadata={"a": "b"})
    facts = await store.head("archive", "files/f.bin")
    fetched = await store.get_file("archive", "files/f.bin", tmp_path / "copy", limit=size)

    assert expected == written.etag == fetched.etag
    assert facts is not None
    assert (facts.size, facts.etag, facts.metadata, facts.content_type) == (size, expected, {"a": "b"}, "video/mp4")
    assert fetched.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert fetched.path.read_bytes() == source.read_bytes()
    assert names(tmp_path) == ["copy", "source"]


def test_part_size_grows_with_the_file() -> None:
    """The largest file that S3 takes fits into its 10,000 parts."""
    largest = 5 * 1024 * 1024 * MIB

    assert part_size(1) == PART_BYTES
    assert -(-largest // part_size(largest)) <= 10_000


async def test_changed_bytes_are_refused_by_the_server(server: ObjectServer, store: ObjectStore) -> None:
    """Each part carries its MD5, so bytes that change on the wire never become an object."""
    assert await store.head("archive", "wrong") is None
    client = S3Client(server.endpoint, server.access_key, server.secret_key, secure=False, region="us-east-1")
    wrong = {"Content-MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}

    with pytest.raises(Exception, match="BadDigest"):
        client.put("archive", "wrong", b"not empty", dict(wrong))

    assert await store.head("archive", "wrong") is None


async def test_a_copy_is_the_same_object_under_another_name(store: ObjectStore) -> None:
    """Bytes and content type are the source's, metadata the copy's own; odd keys are copied like others."""
    key = "copies/sp ace+主 100%?.csv"
    source = await store.put_bytes("archive", key, b"rows", content_type="text/csv", metadata={"old": "x"})

    for _ in range(2):
        await store.copy("archive", key, f"copied/{key}", etag=source.etag, metadata={"drop": "Ünï"})
    copy = await store.head("archive", f"copied/{key}")

    assert copy is not None
    assert (copy.size, copy.content_type, copy.metadata) == (4, "text/csv", {"drop": "Ünï"})
    assert await store.get_bytes("archive", f"copied/{key}", limit=4) == b"rows"
    assert await store.get_bytes("archive", key, limit=4) == b"rows"


async def test_an_object_that_has_changed_is_not_copied(store: ObjectStore) -> None:
    """What was looked at is copied, or nothing is."""
    seen = await store.put_bytes("archive", "changing", b"first")
    await store.put_bytes("archive", "changing", b"second")

    with pytest.raises(ObjectChanged, match="s3://archive/changing was replaced"):
        await store.copy("archive", "changing", "changed/copy", etag=seen.etag)
    with pytest.raises(ObjectMissing):
        await store.copy("archive", "nowhere", "changed/copy", etag=seen.etag)

    assert await store.head("archive", "changed/copy") is None


async def test_stream_from_an_offset(store: ObjectStore) -> None:
    """A reader can start anywhere; at the end there is nothing left, and that is no error."""
    body = os.urandom(2 * MIB + 7)
    await store.put_bytes("archive", "stream", body)

    for offset in (0, 1, MIB, len(body) - 1, len(body), len(body) + 100):
        chunks = [chunk async for chunk in store.stream("archive", "stream", offset)]
        assert b"".join(chunks) == body[offset:]
        assert all(len(chunk) <= MIB for chunk in chunks)


async def test_limits_hold(store: ObjectStore, tmp_path: Path) -> None:
    """A file that is larger than expected is refused and leaves nothing behind."""
    await store.put_bytes("archive", "large", b"x" * 11)

    with pytest.raises(StorageError, match="larger than 10 bytes"):
        await store.get_file("archive", "large", tmp_path / "copy", limit=10)
    with pytest.raises(StorageError, match="larger than 10 bytes"):
        await store.get_bytes("archive", "large", limit=10)
    assert names(tmp_path) == []


async def test_missing_things_have_their_own_error(store: ObjectStore, tmp_path: Path) -> None:
    """A missing object or bucket is told apart from a broken store, and deleting it again is fine."""
    assert await store.head("archive", "none") is None
    assert await store.head("no-such-bucket", "none") is None
    with pytest.raises(ObjectMissing, match="s3://archive/none"):
        await store.get_bytes("archive", "none", limit=1)
    with pytest.raises(ObjectMissing, match="s3://archive/none"):
        await store.get_file("archive", "none", tmp_path / "copy", limit=1)
    with pytest.raises(ObjectMissing, match="the bucket of"):
        await store.put_bytes("no-such-bucket", "none", b"")
    await store.delete("archive", "none")


async def test_links_open_in_a_browser(store: ObjectStore) -> None:
    """A link works without keys, names the download in any language, and dies when it is changed."""
    await store.put_bytes("archive", "link.mp4", b"movie", content_type="video/mp4")
    link = store.presign_get(
        "archive", "link.mp4", expires=timedelta(minutes=1), download_name='Ü "主持人"\r\nX-Evil: 1.mp4'
    )

    body, headers = await asyncio.to_thread(browse, link)

    assert body == b"movie"
    assert "attachment" in headers["content-disposition"]
    assert "%E4%B8%BB" in headers["content-disposition"]
    assert headers["x-evil"] is None
    with pytest.raises(urllib.error.HTTPError, match="403"):
        await asyncio.to_thread(browse, link.replace("link.mp4", "other.mp4"))


def test_links_are_signed_for_the_public_address(server: ObjectServer) -> None:
    """People outside reach the store by another name than the workers do."""
    link = server.store(public_endpoint="https://media.example.com").presign_get(
        "archive", "a", expires=timedelta(hours=1)
    )

    assert link.startswith("https://media.example.com/archive/a?")


async def test_listing_goes_past_one_page(store: ObjectStore) -> None:
    """More objects than the server lists at once are all listed, once, in order."""
    expected = [f"many/{number:05d}" for number in range(1003)]
    for start in range(0, len(expected), 50):
        await asyncio.gather(*(store.put_bytes("archive", key, b"") for key in expected[start : start + 50]))

    assert await keys(store.list_objects("archive", "many/")) == expected


async def test_put_if_absent_has_one_winner_or_says_so(server: ObjectServer, store: ObjectStore) -> None:
    """Of many writers one wins; a store that cannot promise that is refused instead of trusted."""
    claims = [store.put_if_absent("archive", "claims/one", str(number).encode()) for number in range(12)]
    outcomes = await asyncio.gather(*claims, return_exceptions=True)

    if isinstance(server, SeaweedServer):
        winners = [number for number, outcome in enumerate(outcomes) if outcome is True]
        assert outcomes.count(False) == 11
        assert await store.get_bytes("archive", "claims/one", limit=9) == str(winners[0]).encode()
    else:
        assert all(isinstance(outcome, StorageError) and "If-None-Match" in str(outcome) for outcome in outcomes)
        assert await store.head("archive", "claims/one") is None


async def test_stale_uploads_are_swept(server: ObjectServer, store: ObjectStore) -> None:
    """Parts that a crash left behind are freed by age; an upload under way is left alone."""
    client = S3Client(server.endpoint, server.access_key, server.secret_key, secure=False, region="us-east-1")
    client.start_upload("archive", "stale", {})

    assert await store.abort_stale_uploads("archive", timedelta(hours=1)) == 0
    assert await store.abort_stale_uploads("archive", timedelta(seconds=-60)) == 1
    assert list(client.open_uploads("archive")) == []


async def test_wrong_keys_and_nobody_home_are_told_apart(server: ObjectServer, store: ObjectStore) -> None:
    """The message says whether to mend the keys or to start the store, and never shows the secret."""
    assert await store.head("archive", "x") is None
    wrong = server.store(secret_key=SecretStr("wrong-secret-wrong"))
    nobody = server.store(endpoint="127.0.0.1:9", retry_seconds=0.5)

    with pytest.raises(StorageError, match=r"denies access.*storage block") as denied:
        await wrong.get_bytes("archive", "x", limit=1)
    with pytest.raises(StorageError, match=r"no usable answer within 0.5 s.*refused.*studio doctor"):
        await nobody.put_bytes("archive", "x", b"")
    assert "wrong-secret-wrong" not in str(denied.value)


async def test_cancelled_upload_leaves_no_parts(server: ObjectServer, store: ObjectStore, tmp_path: Path) -> None:
    """A run that is cancelled in mid-upload frees its parts and shows no object."""
    source = file_of(tmp_path / "source", 6 * PART_BYTES)
    client = S3Client(server.endpoint, server.access_key, server.secret_key, secure=False, region="us-east-1")
    upload = asyncio.create_task(store.put_file("archive", "cancelled", source))
    while not list(client.open_uploads("archive")):  # noqa: ASYNC110 - foreign process
        await asyncio.sleep(0.005)
    upload.cancel()

    with pytest.raises(asyncio.CancelledError):
        await upload
    assert list(client.open_uploads("archive")) == []
    assert await store.head("archive", "cancelled") is None


@pytest.mark.chaos
@own_of_each
async def test_upload_survives_a_killed_store(own_server: ObjectServer, tmp_path: Path) -> None:
    """Kill -9 of the store in mid-upload and a restart on the same data: the upload completes, no half object shows."""
    store = own_server.store()
    await store.ensure_bucket("archive", versioned=True)
    await store.put_bytes("archive", "before", b"kept")
    source = file_of(tmp_path / "source", 8 * PART_BYTES)
    client = S3Client(
        own_server.endpoint, own_server.access_key, own_server.secret_key, secure=False, region="us-east-1"
    )
    upload = asyncio.create_task(store.put_file("archive", "video.mp4", source))
    while not (started := list(client.open_uploads("archive"))):  # noqa: ASYNC110 - foreign process
        await asyncio.sleep(0.005)

    assert started
    assert not upload.done(), "the upload ended before the kill; make the file larger"
    own_server.kill()
    await asyncio.sleep(0.3)
    own_server.launch()
    while not upload.done():
        seen = await store.head("archive", "video.mp4")
        assert seen is None or seen.size == source.stat().st_size
        await asyncio.sleep(0.05)
    written = await upload

    assert written.etag == multipart_etag(source, PART_BYTES)
    assert [chunk async for chunk in store.stream("archive", "before")] == [b"kept"]
    fetched = await store.get_file("archive", "video.mp4", tmp_path / "copy", limit=written.size)
    assert fetched.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()


@pytest.mark.chaos
@own_seaweed
async def test_upload_to_a_dead_store_fails_clearly(own_server: ObjectServer, tmp_path: Path) -> None:
    """When the store stays away the upload ends with the reason, and after its return no half object is there."""
    store = own_server.store(retry_seconds=1)
    await store.ensure_bucket("archive")
    source = file_of(tmp_path / "source", 8 * PART_BYTES)
    client = S3Client(
        own_server.endpoint, own_server.access_key, own_server.secret_key, secure=False, region="us-east-1"
    )
    upload = asyncio.create_task(store.put_file("archive", "video.mp4", source))
    while not list(client.open_uploads("archive")):  # noqa: ASYNC110 - foreign process
        await asyncio.sleep(0.005)
    own_server.kill()

    with pytest.raises(StorageError, match="no usable answer within 1 s"):
        await upload
    own_server.start()
    assert await own_server.store().head("archive", "video.mp4") is None


@pytest.mark.chaos
@own_of_each
async def test_reading_goes_on_after_a_restart(own_server: ObjectServer, tmp_path: Path) -> None:
    """A download that loses the store half-way goes on where it was."""
    store = own_server.store()
    await store.ensure_bucket("archive")
    source = file_of(tmp_path / "source", 3 * PART_BYTES)
    await store.put_file("archive", "video.mp4", source)
    digest = hashlib.sha256()
    killed = False

    async for chunk in store.stream("archive", "video.mp4"):
        digest.update(chunk)
        if not killed:
            own_server.kill()
            own_server.launch()
            killed = True

    assert digest.hexdigest() == hashlib.sha256(source.read_bytes()).hexdigest()


async def test_reading_notices_a_replaced_object(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed read never glues two versions together."""
    await store.put_bytes("archive", "replaced", b"a" * (3 * MIB))
    stream = store.stream("archive", "replaced")
    await anext(stream)
    await store.put_bytes("archive", "replaced", b"b" * (3 * MIB))

    def cut_once(*_: object, **__: object) -> bytes:
        monkeypatch.undo()
        raise ProtocolError("cut by the test")

    monkeypatch.setattr(HTTPResponse, "read", cut_once)
    with pytest.raises(StorageError, match="PreconditionFailed"):
        await anext(stream)


GIB_UPLOAD = """
    import asyncio, pathlib, resource, sys
    from tasks.storage import ObjectStore

    endpoint, access_key, secret_key, path = sys.argv[1:]
    store = ObjectStore(endpoint=endpoint, access_key=access_key, secret_key=secret_key, secure=False)
    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

    async def main():
        await store.put_bytes("archive", "warm-up", b"x")
        before = peak()
        written = await store.put_file("archive", "gib.bin", pathlib.Path(path))
        print(written.size, peak() - before)

    asyncio.run(main())
"""


@only_seaweed
def test_one_gib_in_bounded_memory(server: ObjectServer, tmp_path: Path) -> None:
    """Archiving 1 GiB takes less than 128 MiB more memory than before."""
    source = tmp_path / "gib.bin"
    with source.open("wb") as file:
        file.truncate(1024 * MIB)
    connection = (server.endpoint, server.access_key, server.secret_key)

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(GIB_UPLOAD), *connection, str(source)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    size, grown = map(int, done.stdout.split())
    assert size == 1024 * MIB
    assert grown < 128


class TestBlock(BlockStandardTestSuite):
    """Prefect's own suite for blocks."""

    @pytest.fixture
    def block(self) -> type[S3Storage]:
        """The block under test."""
        return S3Storage

    test_has_a_valid_image = None  # a logo would have to be fetched from the internet


def test_block_hides_its_secret(server: ObjectServer) -> None:
    """Printing a block, as a log would, shows no key."""
    assert server.secret_key not in repr(server.block())
    assert server.secret_key not in str(server.block().model_dump_json())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"public_endpoint": "media.example.com"}, "Write https://host"),
        ({"public_endpoint": "https://media.example.com/path"}, "without a path"),
        ({"archive_bucket": "staging"}, "Name two buckets"),
        ({"endpoint": "http://127.0.0.1:8333"}, "endpoint"),
    ],
)
def test_block_refuses_what_would_fail_later(server: ObjectServer, change: dict[str, str], message: str) -> None:
    """A block that could only fail at its first use is refused when it is made."""
    with pytest.raises(ValidationError, match=message):
        server.block(**change)


@only_seaweed
async def test_store_is_loaded_by_the_name_of_its_block(server: ObjectServer, store: ObjectStore) -> None:
    """Steps carry the name of a block and get a working client from it."""
    await store.put_bytes("archive", "by-name", b"found")
    with prefect_test_harness(server_startup_timeout=120):
        await server.block(retry_seconds=1).save("contract-store")  # type: ignore[misc]
        loaded = await load_store("contract-store")

        assert await loaded.get_bytes("archive", "by-name", limit=5) == b"found"
        with pytest.raises(StudioUnavailable, match="no-such-block"):
            await load_store("no-such-block")
