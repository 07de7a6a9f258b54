"""A show from its rundown to its record: real calls and a real ledger, an archive in memory, no Prefect."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tasks.errors import RequestRefused, StillRunning, StorageError
from tasks.ledger import State
from tasks.ledger.opening import open_ledger
from tasks.leftovers import Verdict
from tasks.settings import get_settings
from tasks.show import broadcasting, cues, obeying
from tasks.show.archiving import record_file
from tasks.show.checking import plan_show
from tasks.show.closing import close_stream
from tasks.show.commands import ShowCommand
from tasks.show.control import EndKind
from tasks.show.obeying import obey, words_of
from tasks.show.rooms import NOT_ENDED
from tasks.show.stream import render_key_of
from tests.playing_shows import (
    Shelf,
    account_at,
    archive_left,
    brisk,
    broadcast_as,
    clean_sandbox,
    empty_shelf,
    heard,
    make_plan,
    row_of,
    tones,
)
from tests.servers.sandbox import SandboxServer, one_sandbox

pytestmark = pytest.mark.usefixtures("studio_home")


async def test_record_waits_on_this_machine_for_the_object_store(sandbox: SandboxServer, shelf: Shelf) -> None:
    """A show that ends while the store is away is told so; its record is archived by a later pass, once."""
    run_id = uuid4()
    shelf.is_away = True

    with pytest.raises(StorageError, match="`close-streams` archives its record"):
        await broadcast_as(run_id, sandbox, make_plan([{"text": "Hello."}]))
    assert (await row_of(run_id)).state is State.SUCCEEDED
    assert record_file((await row_of(run_id)).render_key).is_file()
    ((verdict, told),) = await archive_left()
    assert verdict is Verdict.WAITS
    assert "the object store is away" in told
    shelf.is_away = False
    ((verdict, told),) = await archive_left()

    row = await row_of(run_id)
    assert verdict is Verdict.DONE
    assert row.state is State.ARCHIVED
    assert row.location is not None
    assert row.location in told
    assert [cue.outcome.value for cue in shelf.manifest.cues] == ["done"]
    assert await archive_left() == []
    assert list((get_settings().root / "shows").iterdir()) == []


async def test_defect_in_a_cue_costs_neither_stream_nor_record(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is closed, the record says which cue broke, and the defect is raised behind that."""

    async def breaks(*_: object) -> None:
        raise MemoryError

    monkeypatch.setitem(cues._PERFORMED, "action", breaks)
    run_id = uuid4()

    with pytest.raises(MemoryError):
        await broadcast_as(run_id, sandbox, make_plan([{"pause": 0.2}, {"action": "802_921474"}, {"text": "Never."}]))

    found = shelf.manifest
    assert found.ending.how is EndKind.BROKEN
    assert [cue.outcome.value for cue in found.cues] == ["done", "failed", "not reached"]
    assert "MemoryError" in found.cues[1].reason
    assert (await row_of(run_id)).state is State.ARCHIVED
    assert sandbox.live_streams() == []


async def test_record_of_a_stream_in_doubt_is_completed_later(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is archived at once as far as it is known, and again with end and costs when the stream has surely ended."""

    async def in_vain(*_: object, **__: object) -> None:
        raise StillRunning("it has not ended.", provider="zego")

    monkeypatch.setattr(broadcasting, "close_stream", in_vain)
    run_id = uuid4()

    with pytest.raises(StillRunning):
        await broadcast_as(run_id, sandbox, make_plan([{"pause": 0.2}]))

    assert shelf.manifest.ended_at is None
    assert await archive_left() == []
    async with open_ledger() as ledger:
        closed = await close_stream(account_at(sandbox), ledger, await row_of(run_id), why="now it can be")
    ((verdict, _),) = await archive_left()
    assert verdict is Verdict.DONE
    assert shelf.manifest.ended_at == closed.succeeded_at
    assert shelf.manifest.cost == closed.charge
    assert (await row_of(run_id)).state is State.ARCHIVED
    assert not record_file(closed.render_key).exists()


@pytest.mark.parametrize("wish", ["signal", "stop", "hard end"])
async def test_end_is_heeded_while_the_vendor_has_no_stream_for_us(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    """Create is offered for minutes to a vendor that is busy; who ends the show meanwhile does not wait for that."""
    wishes: asyncio.Queue[ShowCommand] = asyncio.Queue()
    monkeypatch.setattr(broadcasting, "obey", obey)
    monkeypatch.setattr(obeying, "listen", lambda _run_id: heard(wishes))
    asked = asyncio.Event()
    run_id = uuid4()
    end = None
    if wish == "hard end":
        # Nothing is offered again after it, so that only a call without an answer outlasts it.
        sandbox.arm("zego", "create", "hold_before")
        end = datetime.now(UTC) + timedelta(seconds=15)
    else:
        sandbox.arm("zego", "create", "business", times=100, code=400010002)

    show = asyncio.create_task(broadcast_as(run_id, sandbox, make_plan([{"pause": 1}], hard_end=end), asked))
    await until_reserved(run_id)
    await asyncio.sleep(1)
    assert not show.done()
    if wish == "signal":
        asked.set()
    elif wish == "stop":
        wishes.put_nowait(ShowCommand(do="stop"))
    # Shorter than the wait for an answer that never comes.
    shown = await asyncio.wait_for(show, 30)

    how = {"signal": EndKind.ASKED, "stop": EndKind.STOPPED, "hard end": EndKind.HARD_END}[wish]
    assert (shown.ending.how, shown.manifest) == (how, None)
    assert sandbox.streams() == []
    assert (await row_of(run_id)).state not in NOT_ENDED


async def until_reserved(run_id: UUID) -> None:
    """Wait until the show's stream is about to be created."""
    async with open_ledger() as ledger, asyncio.timeout(20):
        while await ledger.find(render_key_of(str(run_id), 1)) is None:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.1)


async def test_stream_that_was_being_created_when_the_show_was_ended_is_stopped_and_told(
    sandbox: SandboxServer, shelf: Shelf
) -> None:
    """It cost something, so that the show has a record although nothing was performed."""
    sandbox.arm("zego", "create", "hold_after")
    asked = asyncio.Event()
    run_id = uuid4()

    show = asyncio.create_task(broadcast_as(run_id, sandbox, make_plan([{"pause": 1}]), asked))
    await asyncio.to_thread(sandbox.wait_held)
    asked.set()
    shown = await asyncio.wait_for(show, 30)
    sandbox.clear()

    assert shown.manifest is not None
    assert [cue.outcome.value for cue in shown.manifest.cues] == ["not reached"]
    assert shelf.manifest == shown.manifest
    assert sandbox.live_streams() == []
    assert (await row_of(run_id)).state is State.ARCHIVED


# The idle end


async def test_text_that_could_outlast_the_idle_end_is_refused(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Without callbacks nothing is said between a text's end and its latest end; the refusal names field and fix."""
    long, short = "a" * 1800, "a" * 150
    plan = make_plan([{"text": short}, {"loop": [{"text": long}], "times": 2}], idle_seconds=30)
    needed = make_plan([{"text": long}], idle_seconds=120).rundown

    with pytest.raises(RequestRefused) as refused:
        await plan_show.fn(plan.rundown, tmp_path, account_at(sandbox))

    (problem,) = refused.value.problems
    assert problem.field == "cues.2.loop.1.text"
    assert "silent for idle_seconds (30). idle_seconds must be at least 108." in problem.wrong
    assert "divide the text" in problem.fix
    assert (await plan_show.fn(needed, tmp_path, account_at(sandbox))).seconds == pytest.approx(120)
    with pytest.raises(ValueError, match="in several parts"):
        words_of(ShowCommand(do="say", text=long), plan, "say 1")
