"""How many questions a render takes and how late its end is found: by a forecast, without one, and with notices."""

from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from tests.bench.batch_bound import least_lag
from tests.bench.batch_rows import make_rows
from tests.bench.batch_studio import BatchStudio, batch_studio
from tests.bench.batch_truth import truth_rows
from tests.bench.batch_whole import task_runs_of
from tests.bench.lab import Lab
from tests.bench.rows import Limit, Row

MEASURED, TEACHING = 300, 100
QUICK_MEASURED, QUICK_TEACHING = 60, 30
IN_FLIGHT = 100
"""Fewer than all, so that finding the ends does not wait for the checks of the videos on two cores."""
SHORTEST, LONGEST = 20.0, 60.0
SPREAD = 0.2
WITHIN_SECONDS = 3600


@dataclass(frozen=True)
class Polled:
    """What the sandbox counted over the measured renders."""

    questions: float
    """Mean per render."""
    lag: float
    """Median seconds from the end of a render to the question that found it, as a part of the render's time."""
    mean_lag: float
    """Mean seconds of the same."""
    over_rate: int
    truth: list[Row]


def run(lab: Lab) -> list[Row]:
    """Teach the forecast with a first batch and measure a second one, in a new studio for each kind of renders."""
    following = {"render_seconds": 0, "render_seconds_per_speech_second": 1, "render_seconds_spread": SPREAD}
    random = {"render_seconds_low": SHORTEST, "render_seconds_high": LONGEST}
    steady = _poll(lab, "steady", following | {"send_notices": False})
    varied = _poll(lab, "varied", random | {"send_notices": False})
    noticed = _poll(lab, "noticed", random)
    bound = least_lag(SHORTEST, LONGEST, varied.questions)
    rows = [
        *_rows(steady, f"render time follows the speech within {SPREAD:.0%}", questions=4, lag=0.05),
        *_rows(varied, "render time varies three-fold", questions=None, lag=None),
        Row(
            "render time varies three-fold: mean lag",
            [varied.mean_lag],
            baseline=f"best with {varied.questions:.2f} questions",
            baseline_samples=[bound],
            wanted=Limit(1.2, of="ratio"),
        ),
        *_rows(noticed, "with notices", questions=1.2, lag=0.01),
    ]
    return rows + [row for found in (steady, varied, noticed) for row in found.truth]


def _poll(lab: Lab, name: str, settings: dict[str, Any]) -> Polled:
    number, teaching = (QUICK_MEASURED, QUICK_TEACHING) if lab.quick else (MEASURED, TEACHING)
    with batch_studio(lab.folder / f"polls-{name}") as studio:
        studio.control.settings(**settings)
        taught = _finish(studio, f"{name} teaching", teaching)
        before = len(studio.control.polls("topview"))
        measured = _finish(studio, name, number)
        jobs = studio.control.polls("topview")[before:]
        lags = [job["seen_ended_at"] - job["ended"] for job in jobs]
        return Polled(
            questions=fmean(job["queries"] for job in jobs),
            lag=median(lag / (job["ended"] - job["at"]) for lag, job in zip(lags, jobs, strict=True)),
            mean_lag=fmean(lags),
            over_rate=studio.control.truth()["topview"]["over_rate"],
            truth=truth_rows(studio, {taught: task_runs_of(teaching), measured: task_runs_of(number)}),
        )


def _finish(studio: BatchStudio, name: str, number: int) -> str:
    rows = make_rows(name, number, (SHORTEST, LONGEST))
    manifest = studio.stage_manifest(name.replace(" ", "-"), rows)
    batch = {"name": name, "manifest": manifest, "in_flight": IN_FLIGHT}
    return studio.run_batch(batch, expect="done", rows=number, within_seconds=WITHIN_SECONDS).run_id


def _rows(found: Polled, what: str, *, questions: float | None, lag: float | None) -> list[Row]:
    return [
        Row(
            f"{what}: questions per render",
            [found.questions],
            unit="",
            wanted=Limit(questions) if questions else None,
            note=f"{found.over_rate} above the allowed rate",
        ),
        Row(
            f"{what}: median lag, of the render time",
            [100 * found.lag],
            unit="%",
            wanted=Limit(100 * lag) if lag else None,
        ),
        Row(f"{what}: questions above the allowed rate", [float(found.over_rate)], unit="calls", wanted=Limit(0)),
    ]
