"""What the studio costs on top of a video: a run of the deployment against the same steps as plain functions."""

import time
from statistics import median
from typing import Any

from infra.presenter import SCRIPT
from tests.bench.child import in_child
from tests.bench.lab import PICTURE, Lab
from tests.bench.rows import Limit, Row
from tests.e2e.api import StudioApi

RENDER_STEP = "wait for the render"


def run(lab: Lab) -> list[Row]:
    """Produce short videos in turns by a run over the API and by plain calls, each of them twice."""
    api, seconds = lab.api, 2.0 if lab.quick else 4.0
    by_api: list[float] = []
    plain: list[float] = []
    api_again: list[float] = []
    plain_again: list[float] = []
    for number in lab.rounds(3):
        mine, theirs = (_request(lab.stage_new_speech(seconds)) for _ in range(2))
        for again, times in enumerate((by_api, api_again)):
            times.append(_run_by_api(api, mine, again=bool(again))[0])
        for again, times in enumerate((plain, plain_again)):
            times.append(_run_plainly(api, theirs, f"bench-{number}", again=bool(again)))
    added = median(mine - base for mine, base in zip(by_api, plain, strict=True))
    rows = [
        Row(
            f"a new video of {seconds:g} s over the API",
            by_api,
            baseline="its steps as plain functions",
            baseline_samples=plain,
            note=f"the studio adds {added:.1f} s; both wait for the same renderer",
        ),
        Row("the same video again over the API", api_again, baseline="plain", baseline_samples=plain_again),
    ]
    return rows if lab.quick else [*rows, _demo_again(lab)]


def _demo_again(lab: Lab) -> Row:
    """The video of `studio demo`, and then again: it must be far quicker than its render was."""
    request = {
        "title": "Welcome to the studio",
        "avatar": {"kind": "portrait", "image": PICTURE},
        "speech": {"kind": "script", "text": SCRIPT.read_text(encoding="utf-8").strip()},
    }
    _, run_id = _run_by_api(lab.api, request, again=False)
    rendering = next(step for step in lab.api.steps(run_id) if step["name"] == RENDER_STEP)
    seconds, again_id = _run_by_api(lab.api, request, again=True)
    return Row(
        f"the run that finds the demo's video ({lab.api.facts(run_id)['length']}) archived",
        [lab.api.run(again_id)["total_run_time"]],
        baseline="rendering it the first time",
        baseline_samples=[rendering["total_run_time"]],
        wanted=Limit(0.1, of="ratio"),
        note=f"{seconds:.1f} s from the API call to the answer, most of it starting the run's process",
    )


def _request(audio: str) -> dict[str, Any]:
    return {
        "title": "Bench",
        "avatar": {"kind": "portrait", "image": PICTURE},
        "speech": {"kind": "recording", "audio": audio},
        "output": {"resolution": "512p", "fps": 25},
    }


def _run_by_api(api: StudioApi, request: dict[str, Any], *, again: bool) -> tuple[float, str]:
    began = time.monotonic()
    run_id = api.start(request)
    run = api.wait(run_id, 600)
    seconds = time.monotonic() - began
    if run["state"]["type"] != "COMPLETED" or (api.facts(run_id)["archived before"] == "yes") != again:
        raise RuntimeError(f"the run did not do what is measured: {run['state']}")
    return seconds, run_id


def _run_plainly(api: StudioApi, request: dict[str, Any], owner: str, *, again: bool) -> float:
    call = in_child(
        "tests.bench.plain_recipe:produce", environment=api.studio.environment, request=request, owner=owner
    )
    if call.answer != again:
        raise RuntimeError("the plain calls did not do what is measured")
    return call.seconds
