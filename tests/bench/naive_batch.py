"""The naive way with Prefect: a run of `render-video` for each row, each of them a process that waits."""

import time
from dataclasses import dataclass
from typing import Any

from tests.bench.batch_studio import BatchStudio
from tests.bench.batch_watch import FlowWatch, Watched

AT_ONCE = 8
"""The deployment's own limit of runs at the same time; two cores bear no more."""


@dataclass(frozen=True)
class NaiveRun:
    """Some rows, each as a run of its own.

    Args:
        run_ids: of the runs.
        seconds: from the first call of the API to the last end.
        watched: their processes.
    """

    run_ids: list[str]
    seconds: float
    watched: Watched


def run_naively(studio: BatchStudio, rows: list[dict[str, Any]], within_seconds: float) -> NaiveRun:
    """Start a run for each row at once and wait for all.

    Raises:
        RuntimeError: one of them has not produced its video.
    """
    began = time.monotonic()
    run_ids = [studio.start(row) for row in rows]
    with FlowWatch("PREFECT__FLOW_RUN_ID", run_ids) as watch:
        ends = [studio.wait(run_id, within_seconds) for run_id in run_ids]
        seconds = time.monotonic() - began
    if wrong := [end["state"] for end in ends if end["state"]["type"] != "COMPLETED"]:
        raise RuntimeError(f"a run did not do what is measured: {wrong[0]}")
    return NaiveRun(run_ids, seconds, watch.watched)
