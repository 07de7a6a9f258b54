"""The parts of a batch by themselves: shared media, rows on disk, outcomes of errors, task runs, a polite end."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.batch import shelf as shelf_module
from tasks.batch.naming import read_batch
from tasks.batch.row_file import RowFile
from tasks.batch.shelf import MediaShelf
from tasks.batch.stopping import heed_sigterm
from tasks.batch.task_runs import _Group
from tasks.batch.verdicts import verdict_of
from tasks.errors import (
    AmbiguousSubmit,
    DownloadBroken,
    MediaRefused,
    Problem,
    ProviderBusy,
    ProviderRejected,
    RequestRefused,
    StillRunning,
    StorageError,
)
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.media import WantedMedia
from tasks.models import RenderRequest
from tasks.providers.base import ProbedMedia
from tasks.settings import get_settings


class Fetcher:
    """Stands at the border to the network and counts what is fetched."""

    def __init__(self) -> None:
        self.fetched: list[str] = []
        self.errors: list[Exception] = []
        self.size = 10

    async def bring(self, wanted: WantedMedia, path: Path) -> ProbedMedia:
        self.fetched.append(wanted.reference)
        await asyncio.sleep(0.01)
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.to_thread(path.write_bytes, b"x" * self.size)
        facts = {"role": wanted.role, "reference": wanted.reference, "path": path, "kind": "image", "extension": "png"}
        return ProbedMedia.model_validate({**facts, "sha256": "0" * 64, "size": self.size})


@pytest.fixture
def fetcher(monkeypatch: pytest.MonkeyPatch) -> Fetcher:
    """Takes the place of fetching and probing."""
    fetcher = Fetcher()
    monkeypatch.setattr(shelf_module, "bring_media", fetcher.bring)
    return fetcher


def asked_for(image: str) -> RenderRequest:
    return RenderRequest.model_validate({"avatar": {"image": image}, "speech": {"text": "Hello."}})


async def test_a_file_that_many_rows_name_is_fetched_once(fetcher: Fetcher, tmp_path: Path) -> None:
    """Also when they ask for it at the same moment."""
    shelf = MediaShelf(tmp_path)

    async def use() -> str:
        async with shelf.media_of(asked_for("s3://staging/a.png")) as media:
            return media["avatar"].sha256

    assert await asyncio.gather(*(use() for _ in range(20))) == ["0" * 64] * 20
    assert fetcher.fetched == ["s3://staging/a.png"]


async def test_a_refused_file_is_refused_for_all_and_an_outage_for_nobody_else(
    fetcher: Fetcher, tmp_path: Path
) -> None:
    """A bad picture need not be fetched again; a store or server that was away for a moment must be asked again."""
    shelf = MediaShelf(tmp_path)
    fetcher.errors = [MediaRefused([Problem("avatar.image", "is no picture.", "Send one.")])]
    for _ in range(2):
        with pytest.raises(MediaRefused, match="is no picture"):
            async with shelf.media_of(asked_for("s3://staging/bad.png")):
                pass
    assert len(fetcher.fetched) == 1

    away = MediaRefused([Problem("avatar.image", "did not arrive.", "")], passing=True)
    for outage in (StorageError("the store is away."), away):
        fetcher.errors = [outage]
        with pytest.raises(type(outage)):
            async with shelf.media_of(asked_for(f"s3://staging/{type(outage).__name__}.png")):
                pass
        async with shelf.media_of(asked_for(f"s3://staging/{type(outage).__name__}.png")) as media:
            assert media["avatar"].path.exists()


@pytest.mark.parametrize("trouble", ["refused", "away", "down", "surprise"])
async def test_a_file_that_cannot_be_used_leaves_nothing_on_the_disk(
    trouble: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file is fetched as a whole before it is found to be no picture; thousands of such would fill the disk."""
    problems = [Problem("avatar.image", "is no picture.", "")]
    error = {
        "refused": MediaRefused(problems),
        "away": MediaRefused(problems, passing=True),
        "down": StorageError("the store is away."),
        "surprise": asyncio.CancelledError(),
    }[trouble]

    async def bring(_wanted: WantedMedia, path: Path) -> ProbedMedia:
        await asyncio.to_thread(path.write_bytes, b"no picture")
        raise error

    monkeypatch.setattr(shelf_module, "bring_media", bring)
    with pytest.raises(type(error)):
        async with MediaShelf(tmp_path).media_of(asked_for("s3://staging/a.png")):
            pass
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - async test


@pytest.mark.parametrize(("answer", "asked"), [("503 x", 2), ("404 x", 1), ("200 x", 1)])
async def test_a_media_host_in_trouble_is_asked_again_and_its_refusals_are_not(
    answer: str, asked: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A host that is down for a minute must not cost all rows of the batch that name its file."""
    hits = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hits.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    monkeypatch.setattr("tasks.http.fetch.FETCH_ATTEMPTS", 1)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    monkeypatch.setenv("STUDIO_PRIVATE_MEDIA_HOSTS", json.dumps([host]))
    get_settings.cache_clear()
    shelf = MediaShelf(tmp_path)
    try:
        for _ in range(2):
            with pytest.raises(MediaRefused):
                async with shelf.media_of(asked_for(f"http://{host}/a.png")):
                    pass
        server.close()
        with pytest.raises(MediaRefused) as refused:
            async with shelf.media_of(asked_for(f"http://{host}/b.png")):
                pass
    finally:
        server.close()
        get_settings.cache_clear()
    assert len(hits) == asked
    assert refused.value.passing


async def test_files_are_thrown_away_when_there_are_too_many_but_never_while_used(
    fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk stays bounded however many recordings a batch has."""
    monkeypatch.setattr(shelf_module, "MOST_BYTES", 25)
    shelf = MediaShelf(tmp_path)
    async with shelf.media_of(asked_for("s3://staging/kept.png")) as kept:
        for number in range(10):
            async with shelf.media_of(asked_for(f"s3://staging/{number}.png")):
                assert kept["avatar"].path.exists()
    assert len(os.listdir(tmp_path)) <= 3  # noqa: PTH208 - async test


async def test_the_file_that_was_idle_longest_is_thrown_away_first(
    fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture that row after row names is not fetched again and again because it was the first."""
    monkeypatch.setattr(shelf_module, "MOST_BYTES", 25)
    shelf = MediaShelf(tmp_path)
    for number in range(10):
        for name in ("everywhere", f"only-{number}"):
            async with shelf.media_of(asked_for(f"s3://staging/{name}.png")):
                pass
    assert fetcher.fetched.count("s3://staging/everywhere.png") == 1


def test_rows_are_found_again_by_their_number(tmp_path: Path) -> None:
    """Numbers have gaps where rows were skipped, and shards begin anywhere."""
    files = []
    for shard, numbers in enumerate([(1, 2, 5), (7, 9)]):
        lines = [
            {"number": n, "request": {"title": f"Ünit {n}", "avatar": {"image": "s3://s3b/a"}, "speech": {"text": "x"}}}
            for n in numbers
        ]
        files.append(tmp_path / f"{shard}.jsonl")
        files[-1].write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    rows = RowFile(files)

    assert list(rows.numbers) == [1, 2, 5, 7, 9]
    assert [rows.request(number).title for number in (9, 1, 5)] == ["Ünit 9", "Ünit 1", "Ünit 5"]
    rows.close()


@pytest.mark.parametrize(
    ("error", "accepted", "state"),
    [
        (RequestRefused([Problem("speech.text", "is empty.", "Fill it in.")]), False, RowState.FAILED),
        (AmbiguousSubmit("nobody knows.", provider="mingyan"), False, RowState.BLOCKED),
        (DownloadBroken("damaged."), True, RowState.BLOCKED),
        (ProviderBusy("busy.", provider="topview"), False, RowState.NOT_STARTED),
        (StorageError("away."), False, RowState.NOT_STARTED),
        (StorageError("away."), True, RowState.UNFINISHED),
        (StillRunning("still.", provider="topview"), True, RowState.UNFINISHED),
        (ProviderRejected("no.", provider="topview"), False, RowState.FAILED),
        (KeyError("surprise"), True, RowState.FAILED),
    ],
)
def test_every_error_is_an_outcome_with_a_reason(error: Exception, accepted: bool, state: RowState) -> None:
    """Money that may have been spent is never called not started, and what passes by itself never failed."""
    verdict = verdict_of(error, 1, accepted=accepted)

    assert verdict.state is state
    assert verdict.reason


def test_a_group_of_rows_tells_what_became_of_it() -> None:
    """A group with a row that has no video is red, and names the row."""
    group = _Group("rows 1 to 2", 2)
    facts = {"run_id": "run", "updated_at": datetime.now(UTC)}
    group.count(BatchRow(number=1, state=RowState.DONE, **facts))
    assert not group.is_over.is_set()
    group.count(BatchRow(number=2, state=RowState.FAILED, reason="no face", **facts))

    assert group.is_over.is_set()
    state = group.state()
    assert (state.name, state.message) == ("Partly done", "1 done, 1 failed. row 2: no face")


async def test_first_sigterm_is_noted_and_the_second_does_what_it_always_did() -> None:
    """A run gets the time to let submissions be answered; whoever insists is obeyed."""
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: seen.append(number))
    try:
        with heed_sigterm() as stopping:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stopping.asked.wait(), 5)
            assert seen == []
            os.kill(os.getpid(), signal.SIGTERM)
            assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "neither a manifest nor rows"),
        ({"manifest": "s3://a/b.csv", "rows": [{}]}, "both a manifest and rows"),
        ({"manifest": "https://host/x.csv"}, "is not s3://bucket/key"),
        ({"rows": [{}], "in_flight": 0}, "in_flight"),
        ({"rows": [{}], "on_cancel": "explode"}, "on_cancel"),
        ({"rows": [{}], "colour": "red"}, "colour: is not a field of this form"),
        ("nonsense", "must be a group of fields"),
    ],
)
def test_a_wrong_form_is_refused_with_field_and_fix(given: object, told: str) -> None:
    """Before anything is read."""
    with pytest.raises(RequestRefused, match=told):
        read_batch(given)
