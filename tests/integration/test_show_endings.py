"""Moments around a show's end that are easily told wrong: late acceptance, nothing begun, two writers of one record."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from tasks.errors import StorageError
from tasks.leftovers import Verdict
from tasks.show import archiving
from tasks.show.archiving import record_file
from tasks.show.commands import ShowCommand
from tasks.show.control import Ending, EndKind
from tasks.show.creating import _time_to_live
from tasks.show.record import ShowManifest, ShowRecord
from tasks.show.showing import Shown, describe, show_state
from tests.playing_shows import (
    Shelf,
    archive_left,
    brisk,
    broadcast_as,
    clean_sandbox,
    empty_shelf,
    make_plan,
    row_of,
    tones,
)
from tests.servers.sandbox import SandboxServer, one_sandbox

pytestmark = pytest.mark.usefixtures("studio_home")


def test_time_to_live_ends_with_the_show_however_late_it_was_created() -> None:
    """A stream that the vendor accepts after minutes does not outlive the hard end by those minutes."""
    soon = (datetime.now(UTC) + timedelta(seconds=100)).isoformat()
    past = (datetime.now(UTC) - timedelta(seconds=100)).isoformat()

    assert _time_to_live({"ttl": 900, "hard_end": soon}) == pytest.approx(220, abs=3)
    assert _time_to_live({"ttl": 150, "hard_end": soon}) == 150
    assert _time_to_live({"ttl": 900, "hard_end": past}) == 120
    assert _time_to_live({"ttl": 900, "hard_end": ""}) == 900
    assert _time_to_live({"ttl": 900}) == 900


def test_hard_end_before_anything_began_is_no_success() -> None:
    """Nobody saw anything, so nobody wished for it."""
    state = show_state(Shown(Ending(how=EndKind.HARD_END)))

    assert (state.type.value, state.name) == ("FAILED", "Broken off")
    assert "no stream was opened, nothing was spent" in str(state.message)
    assert show_state(Shown(Ending(how=EndKind.STOPPED))).name == "Completed"


def test_command_that_could_not_be_done_is_told() -> None:
    """Whoever asked reads it in the line that `studio show status` prints."""
    record = ShowRecord(make_plan([{"pause": 1}]))
    record.note_command(ShowCommand(do="pause"))
    assert "not done" not in describe(record)

    record.note_command(ShowCommand(do="skip"), "nothing was on air")

    assert "not done: skip (nothing was on air)" in describe(record)


async def kept_but_not_archived(sandbox: SandboxServer, shelf: Shelf) -> tuple[Path, ShowManifest]:
    """The record of a show that has just ended, still on this machine."""
    run_id = uuid4()
    shelf.is_away = True
    with pytest.raises(StorageError):
        await broadcast_as(run_id, sandbox, make_plan([{"text": "Hello."}]))
    shelf.is_away = False
    path = record_file((await row_of(run_id)).render_key)
    return path, ShowManifest.model_validate_json(path.read_bytes())


async def test_record_is_left_to_its_show_for_a_while(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that comes between the end of a stream and the last words of its show's record waits for them."""
    await kept_but_not_archived(sandbox, shelf)

    monkeypatch.setattr(archiving, "SETTLED_AFTER", timedelta(seconds=15))
    assert await archive_left() == []
    monkeypatch.setattr(archiving, "SETTLED_AFTER", timedelta(0))

    ((verdict, _),) = await archive_left()
    assert verdict is Verdict.DONE


async def test_record_that_grows_meanwhile_is_archived_as_it_is_last(
    sandbox: SandboxServer, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy of a show on air says that it broke; it must not win over how the show really ended."""
    path, final = await kept_but_not_archived(sandbox, shelf)
    broken = final.model_copy(update={"ending": Ending(how=EndKind.BROKEN, reason="in the middle of it")})
    path.write_text(broken.model_dump_json())
    read = archiving._read

    async def then_it_ends(file: Path) -> ShowManifest:
        found = await read(file)
        path.write_text(final.model_dump_json())
        return found

    monkeypatch.setattr(archiving, "_read", then_it_ends)

    ((verdict, _),) = await archive_left()
    assert verdict is Verdict.DONE
    assert shelf.manifest.ending == final.ending
