"""After a bench: whether the Prefect server shows every run as it was, and whether its log tells of dropped events."""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

from tests.bench.batch_house import ENDED, BatchHouse
from tests.bench.rows import Limit, Row

PATIENCE_SECONDS = 60
"""The server records task runs behind its back; until then it may show what was."""
DROPPED = re.compile(
    r"dropping (message|events?|item|\d+ events?)|queue (is )?full|backpressure_dropped|[1-9]\d* dropped|dead letter",
    re.IGNORECASE,
)
"""What Prefect's messaging, event persister, task run recorder and clients log when they lose something."""
_PAGE = 200
_OF_ROWS = re.compile(r"^rows? \d+")


def truth_rows(house: BatchHouse, shown: Mapping[str, int]) -> list[Row]:
    """Look at everything that the server has of this studio.

    Args:
        house: whose server.
        shown: by flow run, all of which have ended well, how many task runs should stand for its rows.
    """
    began = time.monotonic()
    while (wrong := _wrong(house, shown)) and time.monotonic() - began < PATIENCE_SECONDS:
        time.sleep(1)
    told = dropped_events(house)
    return [
        Row(
            "runs that the Prefect server shows wrongly",
            [float(len(wrong))],
            unit="runs",
            wanted=Limit(0),
            note="; ".join(wrong[:5]) or f"looked at after {time.monotonic() - began:.0f} s",
        ),
        Row("dropped events in its log", [float(len(told))], unit="lines", wanted=Limit(0), note="; ".join(told[:3])),
    ]


def dropped_events(house: BatchHouse) -> list[str]:
    """Lines of the studio's logs that tell of lost events."""
    lines = []
    for path in sorted(house.logs_folder.glob("*.log")):
        with path.open(encoding="utf-8", errors="replace") as file:
            lines += [f"{path.name}: {line.strip()[:200]}" for line in file if DROPPED.search(line)]
    return lines


def _wrong(house: BatchHouse, shown: Mapping[str, int]) -> list[str]:
    """What the server shows that is not so: all of these runs and their rows have ended well."""
    wrong = []
    for run_id, expected in shown.items():
        run = house.call(f"/flow_runs/{run_id}")
        steps = list(_steps(house, run_id))
        rows = [step for step in steps if _OF_ROWS.match(step["name"])]
        untrue = [step for step in steps if step["state"]["type"] not in ENDED]
        untrue += [row for row in rows if row["state"]["type"] in ENDED - {"COMPLETED"}]
        if run["state"]["type"] != "COMPLETED":
            wrong.append(f"flow run {run['name']} is {run['state']['name']}")
        if len(rows) != expected:
            wrong.append(f"{len(rows)} task runs stand for the rows of {run['name']}, not {expected}")
        wrong += [f"task run {step['name']} of {run['name']} is {step['state']['name']}" for step in untrue]
    return wrong


def _steps(house: BatchHouse, run_id: str) -> Iterator[dict[str, Any]]:
    wanted = {"flow_runs": {"id": {"any_": [run_id]}}, "sort": "ID_DESC", "limit": _PAGE}
    offset = 0
    while page := house.call("/task_runs/filter", {**wanted, "offset": offset}):
        yield from page
        offset += len(page)
