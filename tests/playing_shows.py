"""Shows played against the sandbox from their plan on: what the tests of the engine share."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from tasks.errors import StorageError
from tasks.ledger import Entry
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.leftovers import Verdict
from tasks.providers.zego.client import ZegoClient
from tasks.show import archiving, broadcasting, cues, driving
from tasks.show.account import ZegoAccount
from tasks.show.archiving import archive_left_records
from tasks.show.broadcasting import broadcast, on_air
from tasks.show.commands import ShowCommand
from tasks.show.contract import (
    CueMedia,
    OpenStream,
    PerformedCue,
    PlannedCue,
    PlannedLoop,
    ShowPlan,
)
from tasks.show.control import Control, Ending, EndKind
from tasks.show.record import ShowManifest, ShowRecord
from tasks.show.rundown import LoopCue, Rundown
from tasks.show.showing import Shown
from tasks.show.stream import open_stream, render_key_of
from tasks.show.timing import cue_seconds
from tests.media_files import write_sound
from tests.servers.sandbox import SandboxServer

LONG = "This is said for a long time, so that there is something that can be cut. " * 6

SHORT, LASTING = "s3://staging/short.wav", "s3://staging/lasting.wav"
TONES: dict[str, tuple[Path, float]] = {}


@pytest.fixture(name="sandbox")
def clean_sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    """The module's sandbox, with nothing left of the test before, and streams that are up at once."""
    sandbox_server.reset()
    sandbox_server.settings(stream_start_seconds=0.1, stream_stop_seconds=0.05)
    return sandbox_server


@pytest.fixture(scope="module", autouse=True)
def tones(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The recordings on this machine, as the checks would have fetched them."""
    folder = tmp_path_factory.mktemp("tones")
    for reference, seconds in ((SHORT, 1.0), (LASTING, 8.0)):
        TONES[reference] = (write_sound(folder / Path(reference).name, seconds=seconds), seconds)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter allowances than people get: nothing here is late for reasons of its own."""
    monkeypatch.setattr(driving, "ROUGH_SLACK", 1.0)
    monkeypatch.setattr(cues, "LONGEST_PAUSE", 0.3)
    monkeypatch.setattr(cues, "SOCKET_PAUSE", 0.1)


def make_plan(cues: list[dict[str, Any]], *, hard_end: datetime | None = None, **rundown: Any) -> ShowPlan:
    """A plan as the checks would make it, of a rundown as a person writes it; recordings are files on this machine."""
    facts = {"avatar": "dh-anna", "room": f"room-{uuid4().hex[:8]}", "timbre": "tb-en-calm", "sample_rate": 16000}
    whole = Rundown.model_validate({**facts, **rundown, "cues": cues})

    def planned(number: str, cue: Any) -> PlannedCue:
        media = None
        if cue.kind == "pcm":
            path, seconds = TONES[cue.recording]
            media = CueMedia(reference=cue.recording, path=path, seconds=seconds, sha256="ab" * 32)
        return PlannedCue(number=number, cue=cue, seconds=cue_seconds(cue, media and media.seconds), media=media)

    items: list[PlannedCue | PlannedLoop] = []
    for index, cue in enumerate(whole.cues, start=1):
        if isinstance(cue, LoopCue):
            inner = [planned(f"{index}.{place}", each) for place, each in enumerate(cue.loop, start=1)]
            items.append(PlannedLoop(number=str(index), loop=cue, cues=inner))
        else:
            items.append(planned(str(index), cue))
    return ShowPlan(rundown=whole, cues=items, seconds=None, ttl=300, hard_end=hard_end)


@dataclass
class Show:
    """A show that is on air in the background."""

    ledger: Ledger
    account: ZegoAccount
    stream: OpenStream
    record: ShowRecord
    control: Control = field(default_factory=Control)

    async def perform(self) -> Entry:
        """From the created stream to the closed one."""
        entry, trouble = await on_air(
            self.ledger, self.account, self.stream, record=self.record, control=self.control, links={}
        )
        assert trouble is None
        return entry

    @property
    def lines(self) -> list[PerformedCue]:
        return self.record.all_lines()

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """Number and outcome of every cue, in the order in which they ended."""
        return [(line.number, line.outcome.value) for line in self.lines]

    async def until_on_air(self, number: str) -> None:
        """Wait until a cue is being performed; spoken ones until the vendor has their drive."""
        await eventually(
            lambda: any(
                line.number == number and (line.played.drive_id or line.planned.cue.kind in {"pause", "action"})
                for line in self.record.on_air
            )
        )


async def eventually(reached: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


def account_at(sandbox: SandboxServer) -> ZegoAccount:
    client = ZegoClient(base_url=sandbox.zego_url, app_id=sandbox.zego_app_id, server_secret=sandbox.zego_server_secret)
    return ZegoAccount(client=client, account="test", endpoint=client.base_url, unverified_socket=True, prices={})


@asynccontextmanager
async def show_of(sandbox: SandboxServer, plan: ShowPlan) -> AsyncIterator[Show]:
    """A show whose stream has been created; afterwards none may be alive."""
    account = account_at(sandbox)
    async with open_ledger() as ledger:
        stream = await open_stream(account, ledger, plan, run_id=str(uuid4()), run_count=1)
        yield Show(ledger, account, stream, ShowRecord(plan))
        assert await account.client.live_streams() == []


@asynccontextmanager
async def playing(sandbox: SandboxServer, plan: ShowPlan) -> AsyncIterator[tuple[Show, "asyncio.Task[Entry]"]]:
    """A show that is performed while the block runs, and has ended after it."""
    async with show_of(sandbox, plan) as show:
        task = asyncio.create_task(show.perform())
        try:
            yield show, task
        finally:
            show.control.end(Ending(how=EndKind.STOPPED))
            await task


def drives(sandbox: SandboxServer) -> list[dict[str, Any]]:
    """All drives that the sandbox was asked for, oldest first."""
    return sandbox.truth()["zego"]["drives"]


@dataclass
class Shelf:
    """An archive in memory that may be away."""

    is_away: bool = False
    kept: dict[str, bytes] = field(default_factory=dict)
    archive_bucket: str = "archive"

    async def put_bytes(self, _bucket: str, key: str, body: bytes, **_: Any) -> None:
        if self.is_away:
            raise StorageError("the object store is away.", fix="Start it.")
        self.kept[key] = body

    @property
    def manifest(self) -> ShowManifest:
        """The only record."""
        (body,) = self.kept.values()
        return ShowManifest.model_validate_json(body)


@pytest.fixture(name="shelf")
def empty_shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """The archive; without Prefect there are neither commands nor a run to look at."""
    made = Shelf()

    async def load(_name: str) -> Shelf:
        return made

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    async def done() -> None:
        return None

    monkeypatch.setattr(archiving, "load_store", load)
    monkeypatch.setattr(archiving, "SETTLED_AFTER", timedelta(0))
    monkeypatch.setattr(broadcasting, "obey", never)
    monkeypatch.setattr(broadcasting, "stay_running", never)
    monkeypatch.setattr(broadcasting, "keep_awake", never)
    monkeypatch.setattr(broadcasting, "wake_reaper", done)
    return made


async def broadcast_as(
    run_id: UUID, sandbox: SandboxServer, plan: ShowPlan, asked: asyncio.Event | None = None
) -> Shown:
    return await broadcast(plan, account_at(sandbox), run_id=run_id, run_count=1, asked=asked or asyncio.Event())


async def row_of(run_id: UUID) -> Entry:
    async with open_ledger() as ledger:
        entry = await ledger.find(render_key_of(str(run_id), 1))
    assert entry is not None
    return entry


async def archive_left() -> list[tuple[Verdict, str]]:
    return [(note.verdict, note.done) for note in await archive_left_records.fn(time.monotonic() + 30)]


async def heard(wishes: "asyncio.Queue[ShowCommand]") -> AsyncIterator[ShowCommand]:
    """Commands as from Prefect."""
    while True:
        yield await wishes.get()
