"""The fault matrix: whatever goes wrong, a run ends as stated, pays once, and no video is lost."""

import asyncio
import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults_harm import harm_of
from tests.chaos.faults_lane import RENDER_DEADLINE_SECONDS, Lane, Seen, Vendor, opened_lane
from tests.chaos.faults_table import EVERYBODYS, FAULTS, SHORT, Expected, Fault
from tests.e2e.api import StudioApi
from tests.media_files import write_clip, write_wav
from tests.reported import SECTIONS
from tests.studio_fixture import RunningStudio
from tests.talking_video import voice_like

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1500)]

VENDORS: tuple[Vendor, ...] = ("topview", "mingyan")
RENDER_SECONDS = 0.2


@dataclass(frozen=True)
class Cell:
    """One fault at one vendor."""

    fault: Fault
    vendor: Vendor

    def __str__(self) -> str:
        return f"{self.vendor}: {self.fault.name}"


@dataclass(frozen=True)
class Told:
    """What became of a cell."""

    first: Seen
    again: Seen | None
    """After the fault, where the first run did not bring the video."""
    settled: Seen | None
    """Once a person had looked, where one was needed."""
    rows: list[dict[str, Any]]
    """The ledger's, in the end."""
    accepted: list[dict[str, Any]]
    """The sandbox's, in the end."""
    seconds: float


CELLS = [Cell(fault, vendor) for fault in FAULTS for vendor in fault.vendors]


def _is_slow(cell: Cell) -> bool:
    """By default both vendors meet all faults of a submission, and every third of the others meets one vendor."""
    number = FAULTS.index(cell.fault)
    is_about_money = cell.fault.name.startswith(("submit", "lost answer"))
    is_others_turn = len(cell.fault.vendors) > 1 and VENDORS[number % 2] != cell.vendor
    return cell.fault.is_slow or not (is_about_money or (number % 3 == 0 and not is_others_turn))


MARKED = [pytest.param(cell, marks=[pytest.mark.slow] if _is_slow(cell) else [], id=str(cell)) for cell in CELLS]


@pytest.fixture(scope="module")
def told(
    request: pytest.FixtureRequest, running_studio: RunningStudio, tmp_path_factory: pytest.TempPathFactory
) -> dict[Cell, Told]:
    """What became of every cell that this session runs; the vendors' lanes go side by side."""
    # Deselected tests have no cell here, so that a single one can be run alone.
    wanted = {item.callspec.params.get("cell") for item in request.session.items if hasattr(item, "callspec")}
    cells = [cell for cell in CELLS if cell in wanted]
    folder = tmp_path_factory.mktemp("faults")
    api = StudioApi(running_studio)
    speeches = asyncio.run(_stage(api, folder, cells))
    found: dict[Cell, Told] = {}
    with contextlib.ExitStack() as stack:
        lanes = {vendor: stack.enter_context(opened_lane(vendor, running_studio, folder)) for vendor in VENDORS}

        def work(vendor: Vendor) -> None:
            for cell in cells:
                if cell.vendor == vendor and cell.fault not in EVERYBODYS:
                    found[cell] = _run(lanes[vendor], cell, speeches[cell])

        with ThreadPoolExecutor(len(VENDORS)) as pool:
            list(pool.map(work, VENDORS))
        for cell in cells:
            if cell.fault in EVERYBODYS:
                found[cell] = _run(lanes[cell.vendor], cell, speeches[cell])
    SECTIONS["fault matrix"] = _table(found).splitlines()
    return found


async def _stage(api: StudioApi, folder: Path, cells: list[Cell]) -> dict[Cell, str]:
    """One clip for all, and a speech of its own for every cell, which makes the render key."""
    store = api.store()
    await store.put_bytes("staging", "faults/clip.mp4", write_clip(folder / "clip.mp4", 1.0).read_bytes())
    voice, speeches = voice_like(1.0, 16_000), {}
    for number, cell in enumerate(cells):
        speech = write_wav(folder / "speech.wav", voice * (0.5 + 0.001 * number))
        await store.put_bytes("staging", f"faults/{number}.wav", speech.read_bytes())
        speeches[cell] = f"s3://staging/faults/{number}.wav"
    return speeches


def _run(lane: Lane, cell: Cell, speech: str) -> Told:
    """Once with the fault, once without, and once more after a person has settled what needs one."""
    fault = cell.fault
    lane.sandbox.settings(**{"render_seconds": RENDER_SECONDS, **fault.settings})
    request = {
        "title": f"{fault.name} #{len(lane.sandbox.submissions(cell.vendor))}",
        "provider": cell.vendor,
        "avatar": {"video": "s3://staging/faults/clip.mp4"},
        "speech": {"audio": speech},
    }
    for armed in fault.armed:
        lane.sandbox.arm(cell.vendor, armed.call, armed.fault, armed.times, **armed.args)
    first = lane.render(request, deadline=fault.deadline, clock=fault.clock, disturbed=harm_of(fault))
    lane.sandbox.clear()
    lane.sandbox.settings(render_seconds=RENDER_SECONDS)
    is_stuck = any(armed.fault == "stuck" for armed in fault.armed)
    lane.wait_rendered(request, 0 if is_stuck else 30)
    # Of a video that came at once nothing is left to be seen.
    again = None
    if fault.is_reconciled:
        again = lane.look_after(request)
    elif first.state != "Completed":
        again = lane.render(request, deadline=SHORT if is_stuck else RENDER_DEADLINE_SECONDS)
    settled = None
    if again and again.ledger == "ambiguous":
        lane.settle(request)
        settled = lane.render(request)
    seconds = sum(seen.seconds for seen in (first, again, settled) if seen)
    return Told(first, again, settled, lane.rows(request), lane.submissions(request), seconds)


def _table(found: dict[Cell, Told]) -> str:
    head = ("fault", "vendor", "run / ledger / submissions", "after the repeat", "after a person", "s")
    lines = [head]
    for cell, seen in found.items():
        settled = str(seen.settled) if seen.settled else ""
        lines.append((cell.fault.name, cell.vendor, str(seen.first), str(seen.again), settled, f"{seen.seconds:.0f}"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines)


def _shown(seen: Seen) -> tuple[str, str, int]:
    return seen.state, seen.ledger, seen.submissions


def _wanted(expected: Expected) -> tuple[str, str, int]:
    return expected.state, expected.ledger, expected.submissions


@pytest.mark.parametrize("cell", MARKED)
def test_run_ends_as_stated(cell: Cell, told: dict[Cell, Told]) -> None:
    """Under a fault a run ends in the stated state, and its message says what to do."""
    expected = cell.fault.expected("first", cell.vendor)
    first = told[cell].first

    assert _wanted(expected) == _shown(first), first.message
    assert expected.says in first.message


@pytest.mark.parametrize("cell", MARKED)
def test_repeat_brings_the_video_and_pays_once(cell: Cell, told: dict[Cell, Told]) -> None:
    """The same request once more ends with the video, or names the doubt; with a person's word it ends too."""
    expected = cell.fault.expected("again", cell.vendor)
    seen = told[cell]
    last = seen.again or seen.first

    assert _wanted(expected) == _shown(last), last.message
    assert expected.says in last.message
    if expected.ledger == "ambiguous":
        assert seen.settled is not None
        assert _shown(seen.settled) == ("Completed", "archived", 1), seen.settled.message
    charged = [job for job in seen.accepted if float(job["charged"]) > 0]
    assert len(charged) <= 1
    assert {job["job_id"] for job in seen.accepted} == {row["job_id"] for row in seen.rows if row["job_id"]}


@pytest.mark.timeout(1500)
def test_every_video_that_counts_as_archived_is_there(told: dict[Cell, Told], running_studio: RunningStudio) -> None:
    """What the ledger calls archived can be read from the archive, and all else is still held open by its row."""
    store = StudioApi(running_studio).store()
    with contextlib.closing(sqlite3.connect(running_studio.home / "ledger.db")) as database:
        places = database.execute("select location from submissions where state = 'archived'").fetchall()

    async def missing() -> list[str]:
        found = [(place, await store.head(*place.removeprefix("s3://").split("/", 1))) for (place,) in places]
        return [place for place, facts in found if facts is None or facts.size == 0]

    assert len(places) >= sum(seen.rows[-1]["state"] == "archived" for seen in told.values())
    assert asyncio.run(missing()) == []
