"""A finished batch once more: everything is found in the archive, and the provider hears of nothing."""

from tests.bench.batch_truth import truth_rows
from tests.bench.batch_whole import WITHIN_SECONDS, finish_batch, task_runs_of
from tests.bench.lab import Lab
from tests.bench.rows import Limit, Row


def run(lab: Lab) -> list[Row]:
    """Run the batch of the bench before again."""
    studio, first = lab.vendors, finish_batch(lab)
    before = studio.control.truth()["topview"]
    again = studio.run_batch(first.batch, expect="already there", rows=first.number, within_seconds=WITHIN_SECONDS)
    after = studio.control.truth()["topview"]
    return [
        Row(
            f"a finished batch of {first.number} once more",
            [again.seconds],
            baseline="the first time",
            baseline_samples=[first.run.seconds],
            wanted=Limit(0.05, of="ratio"),
            note=f"{sum(after['calls'].values()) - sum(before['calls'].values())} calls to the provider",
        ),
        Row(
            "submissions by it",
            [float(len(after["submissions"]) - len(before["submissions"]))],
            unit="jobs",
            wanted=Limit(0),
        ),
        *truth_rows(studio, {again.run_id: task_runs_of(first.number)}),
    ]
