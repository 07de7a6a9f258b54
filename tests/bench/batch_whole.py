"""A whole batch: wall time against a plain script, process time and memory against one flow run per render."""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.bench.batch_house import BatchRun, small_portrait
from tests.bench.batch_rows import make_rows, most_at_once
from tests.bench.batch_truth import truth_rows
from tests.bench.batch_watch import Watched
from tests.bench.child import Call, in_child
from tests.bench.lab import Lab
from tests.bench.naive_batch import AT_ONCE, NaiveRun, run_naively
from tests.bench.rows import Limit, Row

WHOLE, QUICK = 2000, 100
IN_FLIGHT = 1000
RENDER_SECONDS = (60.0, 180.0)
SHORTEST_PAUSE = 5.0
WITHIN_SECONDS = 3 * 3600
STUDIO_QUERIES_PER_SECOND = 40.0
"""What the studio keeps to with an endpoint on its own machine, and so does the script."""
TASK_RUNS_PER_ROW_UP_TO, GROUPS = 500, 100
"""Defaults of the batch's form, and how many task runs stand for the rows of a larger one."""


@dataclass(frozen=True)
class Finished:
    """A batch that ended well, and what to run it again with."""

    batch: dict[str, Any]
    number: int
    run: BatchRun
    watched: Watched
    """Its process."""
    flights: int
    """Most renders that were with the provider at one moment."""
    over_rate: int
    """Questions that came too early, as the sandbox counts."""


def run(lab: Lab) -> list[Row]:
    """One batch, the same rows by a plain script, and a few of them the naive way; each after the other."""
    studio = lab.vendors
    finished = finish_batch(lab)
    plain = _run_plainly(lab, finished.number)
    few = min(AT_ONCE, finished.number)
    naive = run_naively(studio, make_rows("naive", few), WITHIN_SECONDS)
    shown = {finished.run.run_id: task_runs_of(finished.number)} | dict.fromkeys(naive.run_ids, 0)
    return [
        *_against_plain(finished, plain),
        *_against_naive(finished, naive),
        Row("questions above the allowed rate", [float(finished.over_rate)], unit="calls", wanted=Limit(0)),
        *truth_rows(studio, shown),
    ]


@cache
def finish_batch(lab: Lab) -> Finished:
    """Run a batch to its end in the lab's studio, once.

    Raises:
        RuntimeError: not every row has its video, or a query came too early.
    """
    studio, number = lab.vendors, QUICK if lab.quick else WHOLE
    low, high = RENDER_SECONDS
    studio.control.settings(render_seconds_low=low, render_seconds_high=high)
    batch = {
        "name": "whole",
        "manifest": studio.stage_manifest("whole", make_rows("whole", number)),
        "in_flight": IN_FLIGHT,
    }
    before = len(studio.control.polls("topview"))
    done, watched = studio.run_watched(batch, expect="done", rows=number, within_seconds=WITHIN_SECONDS)
    jobs = studio.control.polls("topview")[before:]
    if len(jobs) != number:
        raise RuntimeError(f"{len(jobs)} renders were submitted for {number} rows")
    flights = most_at_once([(job["at"], job["ended"]) for job in jobs])
    return Finished(batch, number, done, watched, flights, studio.control.truth()["topview"]["over_rate"])


def task_runs_of(number: int, most: int = TASK_RUNS_PER_ROW_UP_TO) -> int:
    """How many task runs stand for the rows of a batch of this size, which shows each by itself up to so many."""
    if number <= most:
        return number
    size = -(-number // GROUPS)
    return -(-number // size)


def _run_plainly(lab: Lab, number: int) -> Call:
    """The plain script on rows of the same kind; its pause keeps all renders together under the rate."""
    studio, rows, portrait = lab.vendors, lab.folder / "plain.jsonl", lab.folder / "plain.jpg"
    rows.write_text("".join(json.dumps(row) + "\n" for row in make_rows("plain", number)), encoding="utf-8")
    portrait.write_bytes(small_portrait())
    keys, objects = studio.sandbox_keys, studio.object_keys
    return in_child(
        "tests.bench.plain_batch:render_all",
        within_seconds=WITHIN_SECONDS,
        url=f"{studio.studio.config.sandbox_address}/topview",
        uid=keys.topview_uid,
        key=keys.topview_key,
        s3={
            "endpoint": studio.studio.s3_endpoint,
            "access_key": objects.access_key,
            "secret_key": objects.secret_key,
        },
        rows=str(rows),
        portrait=str(portrait),
        in_flight=IN_FLIGHT,
        pause=max(SHORTEST_PAUSE, min(IN_FLIGHT, number) / STUDIO_QUERIES_PER_SECOND),
        queries_per_second=STUDIO_QUERIES_PER_SECOND,
    )


def _against_plain(finished: Finished, plain: Call) -> list[Row]:
    low, high = RENDER_SECONDS
    watched = finished.watched
    return [
        Row(
            f"a batch of {finished.number}, from the API call to its end",
            [finished.run.seconds],
            baseline="a plain asyncio and httpx script",
            baseline_samples=[plain.answer["seconds"]],
            wanted=Limit(1.3, of="ratio"),
            note=f"renders of {low:g} to {high:g} s, at most {finished.flights} at once",
        ),
        Row(
            "processor time of its process, per video",
            [watched.cpu_seconds / finished.number],
            baseline="the plain script",
            baseline_samples=[plain.answer["cpu_seconds"] / finished.number],
            note=f"peak memory {watched.peak:.0f} MiB, the script's {plain.peak:.0f} MiB",
        ),
    ]


def _against_naive(finished: Finished, naive: NaiveRun) -> list[Row]:
    few, watched = len(naive.run_ids), finished.watched
    told = f"{few} runs of render-video at the same time"
    return [
        Row(
            "process-seconds per video",
            [watched.process_seconds / finished.number],
            baseline=told,
            baseline_samples=[naive.watched.process_seconds / few],
            wanted=Limit(1 / 20, of="ratio"),
            note="how long processes lived for it",
        ),
        Row(
            "processor time per video",
            [watched.cpu_seconds / finished.number],
            baseline=told,
            baseline_samples=[naive.watched.cpu_seconds / few],
        ),
        Row(
            "memory per render in flight",
            [watched.peak / finished.flights],
            unit="MiB",
            baseline=f"{told}, shared pages counted once",
            baseline_samples=[naive.watched.peak_share / few],
            wanted=Limit(1 / 50, of="ratio"),
            note=f"the whole process at its peak over {finished.flights} renders at once",
        ),
    ]
