"""Ten thousand renders in flight in one process: what each of them holds, and whether the event loop ever stands still.

All but a few of the renders are made to fail, and none needs an upload, so that what is measured is waiting.
"""

import json
from collections.abc import Sequence
from math import inf
from typing import Any

from tests.bench.batch_rows import make_rows
from tests.bench.batch_truth import dropped_events
from tests.bench.child import in_child
from tests.bench.lab import Lab
from tests.bench.rows import Limit, Row

WHOLE, QUICK = 10_000, 300
WITH_VIDEO = 50
RENDER_SECONDS = (900.0, 1200.0)
"""Longer than all submissions together take, so that all are in flight at once."""
QUICK_RENDER_SECONDS = (60.0, 90.0)
WARM_UP = 20
WITHIN_SECONDS = 2 * 3600
NEARLY_ALL = 0.95
_KIB = 1024


def run(lab: Lab) -> list[Row]:
    """Run the engine of a batch in a process of its own that watches its memory and its event loop."""
    studio = lab.vendors
    number = QUICK if lab.quick else WHOLE
    low, high = QUICK_RENDER_SECONDS if lab.quick else RENDER_SECONDS
    files = {}
    for name, size in (("warm-up", WARM_UP), ("crowd", number)):
        files[name] = lab.folder / f"{name}.jsonl"
        lines = [{"number": at, "request": row} for at, row in enumerate(make_rows(name, size, stock=True), start=1)]
        files[name].write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    before = studio.control.truth()["topview"]["over_rate"]
    call = in_child(
        "tests.bench.batch_crowd:fly",
        environment=studio.studio.environment,
        within_seconds=WITHIN_SECONDS,
        sandbox=studio.studio.config.sandbox_address,
        warm_up=str(files["warm-up"]),
        crowd=str(files["crowd"]),
        number=number,
        with_video=WITH_VIDEO,
        render_seconds=[low, high],
    )
    jobs = studio.control.polls("topview")[-number:]
    over_rate = studio.control.truth()["topview"]["over_rate"] - before
    return [*_rows(number, call.answer, jobs, over_rate), _log_row(dropped_events(studio))]


def _rows(number: int, seen: dict[str, Any], jobs: Sequence[dict[str, Any]], over_rate: int) -> list[Row]:
    base = min(held for _, held in seen["memory"])
    # Pairs of bytes held over the base and renders in flight at that moment.
    flights = [
        (held - base, sum(job["at"] <= moment < (job["ended"] or inf) for job in jobs))
        for moment, held in seen["memory"]
    ]
    crowded = [(held, count) for held, count in flights if count >= NEARLY_ALL * number]
    if not crowded:
        raise RuntimeError(f"at most {max(count for _, count in flights)} renders were in flight at once")
    counts = seen["counts"]
    expected = {"failed": number - WITH_VIDEO, "done": WITH_VIDEO}
    lags = sorted(job["seen_ended_at"] - job["ended"] for job in jobs if job["seen_ended_at"])
    missed = number - len(lags) + counts.get("still running", 0)
    return [
        Row(
            f"memory per waiting render of {max(count for _, count in crowded)}",
            [max(held / count for held, count in crowded) / _KIB],
            unit="KiB",
            wanted=Limit(20),
            note=f"over the least that the process ever held, {base / _KIB / _KIB:.0f} MiB, after a small batch",
        ),
        Row(
            "longest stall of its event loop",
            [seen["stall"]],
            wanted=Limit(0.25),
            note=f"its thread worked for {seen['stall_cpu']:.3f} s of it; {seen['stalls']} stalls above 0.1 s; "
            f"the longest garbage collection took {seen['longest_collection']:.3f} s",
        ),
        Row(
            "renders that missed their deadline",
            [float(missed)],
            unit="renders",
            wanted=Limit(0),
            note=f"found {lags[len(lags) // 2]:.1f} s late in the median, {lags[-1]:.1f} s at most; "
            + ("outcomes as expected" if counts == expected else f"outcomes {counts}"),
        ),
        Row("questions above the allowed rate", [float(over_rate)], unit="calls", wanted=Limit(0)),
    ]


def _log_row(told: list[str]) -> Row:
    note = "; ".join(told[:3])
    return Row("dropped events in the server's log", [float(len(told))], unit="lines", wanted=Limit(0), note=note)
