"""One worker process and four on PostgreSQL: what a video costs, how long a batch takes, what a crash does to it."""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.bench.batch_cluster import BatchCluster, Cost, batch_cluster, cost_of
from tests.bench.batch_rows import make_rows
from tests.bench.batch_truth import truth_rows
from tests.bench.batch_whole import WITHIN_SECONDS, task_runs_of
from tests.bench.lab import Lab
from tests.bench.rows import Limit, Row

WORKERS = 4
WHOLE, QUICK = 1200, 48
RENDER_SECONDS = (30.0, 90.0)
QUICK_RENDER_SECONDS = (5.0, 15.0)
TASK_RUNS = 500
OUTAGE_SECONDS = 30.0


def run(lab: Lab) -> list[Row]:
    """The same batch by one worker, by four, and by four of which one is killed while the database goes away."""
    number = QUICK if lab.quick else WHOLE
    low, high = QUICK_RENDER_SECONDS if lab.quick else RENDER_SECONDS
    with batch_cluster(WORKERS) as cluster:
        cluster.control.settings(render_seconds_low=low, render_seconds_high=high)
        for index in range(1, WORKERS):
            cluster.cluster.stop("worker", index)
        one, of_one = _measured(cluster, "one", number, shards=1)
        for index in range(1, WORKERS):
            cluster.cluster.start("worker", index)
        four, of_four = _measured(cluster, "four", number, shards=WORKERS)
        hurt = _hurt(cluster, number)
        return [*_costs(number, one, four), *hurt, *truth_rows(cluster, of_one | of_four)]


def _measured(cluster: BatchCluster, name: str, number: int, *, shards: int) -> tuple[Cost, dict[str, int]]:
    """Run a batch; returns what it cost, and how many task runs stand for the rows of each of its runs."""
    before = cost_of(cluster)
    run_id = _run(cluster, name, number, shards=shards)
    cost = before.until(cost_of(cluster))
    return cost, _shown(cluster, run_id, number, shards)


def _run(cluster: BatchCluster, name: str, number: int, *, shards: int) -> str:
    batch = _batch(cluster, name, number, shards=shards)
    return cluster.run_batch(batch, expect="done", rows=number, within_seconds=WITHIN_SECONDS).run_id


def _batch(cluster: BatchCluster, name: str, number: int, *, shards: int) -> dict[str, Any]:
    return {
        "name": name,
        "manifest": cluster.stage_manifest(name, make_rows(name, number)),
        "shard_size": -(-number // shards),
        "task_runs": TASK_RUNS,
    }


def _shown(cluster: BatchCluster, run_id: str, number: int, shards: int) -> dict[str, int]:
    if shards == 1:
        return {run_id: task_runs_of(number)}
    size = -(-number // shards)
    parts = {run["id"]: run["parameters"]["shard"]["shard"] for run in cluster.shards_of(run_id)}
    if sorted(parts.values()) != list(range(1, shards + 1)):
        raise RuntimeError(f"the batch was worked on in the parts {sorted(parts.values())}")
    sizes = {shard: min(size, number - (shard - 1) * size) for shard in parts.values()}
    return {run_id: 0} | {part: task_runs_of(sizes[shard], TASK_RUNS // shards) for part, shard in parts.items()}


def _costs(number: int, one: Cost, four: Cost) -> list[Row]:
    cores = len(os.sched_getaffinity(0))

    def told(cost: Cost) -> str:
        ours = cost.workers + cost.servers + cost.vendor
        spent = cost.at * cores
        return (
            f"workers {cost.workers / spent:.0%}, servers {cost.servers / spent:.0%}, sandbox and store "
            f"{cost.vendor / spent:.0%}, others {max(0.0, cost.busy - ours) / spent:.0%} of {cores} cores"
        )

    return [
        Row(
            f"processor time of {WORKERS} workers and their runs, per video",
            [four.workers / number],
            baseline="one worker, one process",
            baseline_samples=[one.workers / number],
            wanted=Limit(1.15, of="ratio"),
            note=f"a batch of {number}; in {WORKERS} parts and another run that waits for them",
        ),
        Row(
            "processor time of servers and database, per video",
            [four.servers / number],
            baseline="with one worker",
            baseline_samples=[one.servers / number],
        ),
        Row(
            f"wall time with {WORKERS} workers",
            [four.at],
            baseline="with one",
            baseline_samples=[one.at],
            note=f"with one: {told(one)}; with {WORKERS}: {told(four)}",
        ),
    ]


def _hurt(cluster: BatchCluster, number: int) -> list[Row]:
    """Kill a worker that works on a part in the middle of a batch, and stop the database for a while."""
    before = len(cluster.control.submissions("topview"))

    @contextmanager
    def trouble(_run_id: str) -> Iterator[None]:
        thread = threading.Thread(target=_make_trouble, args=(cluster, before + number // 3))
        thread.start()
        yield
        thread.join()

    batch = _batch(cluster, "hurt", number, shards=WORKERS)
    run = cluster.follow_batch(batch, within_seconds=WITHIN_SECONDS, while_it_runs=trouble)
    named = _named(cluster, run.run_id, number)
    told = "every row has its video"
    if named:
        _settle(cluster)
        again = cluster.follow_batch(batch, within_seconds=WITHIN_SECONDS)
        counts = cluster.outcomes(again.run_id)
        if again.state != "COMPLETED" or sum(counts.values()) != number:
            raise RuntimeError(f"rows are left: {counts}:\n{cluster.logs(again.run_id)[-3000:]}")
        told = f"{number - named} rows have their video, {named} were in doubt and have it after being settled"
    jobs = cluster.control.submissions("topview")[before:]
    paid_twice = len(jobs) - len({job["body"]["ttsText"] for job in jobs})
    note = f"one worker killed, database away for {OUTAGE_SECONDS:g} s; {told}; {run.seconds:.0f} s"
    return [
        Row("renders paid twice", [float(paid_twice)], unit="jobs", wanted=Limit(0), note=note),
        Row("renders lost", [float(number - len(jobs))], unit="jobs", wanted=Limit(0)),
    ]


def _named(cluster: BatchCluster, run_id: str, number: int) -> int:
    """How many rows wait for the provider's books, as their worker died inside the paid call; others have a video."""
    counts = cluster.outcomes(run_id)
    named = counts.pop("blocked", 0)
    if counts != {"done": number - named}:
        raise RuntimeError(f"the batch ended with {counts} and {named} blocked:\n{cluster.logs(run_id)[-3000:]}")
    return named


def _settle(cluster: BatchCluster) -> None:
    """What the schedule does, and then a person who looks into the vendor's console."""
    cluster.wait_end(cluster.begin_run("reconcile", {"unattended_minutes": 0}), WITHIN_SECONDS)
    cluster.settle_doubts()


def _make_trouble(cluster: BatchCluster, jobs: int) -> None:
    cluster.wait_for_jobs(jobs, WITHIN_SECONDS)
    busy = sorted({worker for run_id, worker in cluster.workers().items() if run_id})
    victim = random.choice(busy)  # noqa: S311 - not a secret
    cluster.cluster.kill("worker", victim)
    cluster.cluster.stop("postgres")
    time.sleep(OUTAGE_SECONDS)
    cluster.cluster.start("postgres")
    cluster.cluster.start("worker", victim)
