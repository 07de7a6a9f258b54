"""How long a manifest of 100,000 rows takes to be checked, and in how much memory."""

import csv
from pathlib import Path

from infra.presenter import PRESENTER
from tests.bench.child import Call, in_child
from tests.bench.lab import Lab
from tests.bench.rows import Limit, Row

MOST_SECONDS = 60
MOST_MIB = 500
CALLS = "tests.bench.manifest_calls"


def run(lab: Lab) -> list[Row]:
    """Read and normalise a spreadsheet, preview it whole, and let plain code turn it into JSON lines, in turns."""
    folder = lab.folder / "manifest"
    folder.mkdir()
    rows = 10_000 if lab.quick else 100_000
    sheet = write_sheet(folder / "greetings.csv", rows)
    calls: dict[str, list[Call]] = {"plain": [], "normalise": [], "preview": []}
    for number in lab.rounds(3):
        for name, found in calls.items():
            room = folder / f"{name}-{number}"
            room.mkdir()
            found.append(in_child(f"{CALLS}:{name}", sheet=str(sheet), folder=str(room)))
    what = f"{rows:,} rows of CSV"
    return [
        *_rows(f"{what}, read, checked and normalised", calls["normalise"], calls["plain"]),
        *_rows(f"{what}, whole preview for the local renderer", calls["preview"], calls["plain"]),
    ]


def _rows(what: str, calls: list[Call], plain: list[Call]) -> list[Row]:
    return [
        Row(
            what,
            [call.seconds for call in calls],
            baseline="csv and json of the standard library, nothing checked",
            baseline_samples=[call.seconds for call in plain],
            wanted=Limit(MOST_SECONDS),
            note=str(calls[-1].answer),
        ),
        Row(
            f"{what}, peak of memory",
            [call.peak for call in calls],
            unit="MiB",
            baseline="the same plain code",
            baseline_samples=[call.peak for call in plain],
            wanted=Limit(MOST_MIB),
            note=f"{max(call.growth for call in calls):.0f} MiB above the imports",
        ),
    ]


def write_sheet(path: Path, rows: int) -> Path:
    """A spreadsheet as Excel saves it in Germany, with a personal text of some 250 letters for each row."""
    text = (
        'Hello {{name}}, this is your "spring" letter from {{City}}.\n'
        "It tells what is new; read it or listen to it, as you like. We have opened a branch near you, and the first "
        "ten visitors on Monday get a present. See you soon, number {number}."
    )
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(["Title", "Image", "Text", "Speed", "Tags", "Name", "City", "Provider"])
        for number in range(rows):
            mine = text.replace("{number}", str(number))
            cells = [
                f"Letter {number}",
                str(PRESENTER),
                mine,
                "1,1",
                "spring, letter",
                f"Anna {number}",
                "Köln",
                "local",
            ]
            writer.writerow(cells)
    return path
