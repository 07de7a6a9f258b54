"""`studio status`: what runs, since when, how large it is, and the last runs."""

from datetime import UTC, datetime
from typing import Annotated, Any

import psutil
import typer

from deployments.cli.console import Output, run_command, seconds_since
from deployments.cli.display import address_facts
from infra.studio.config import StudioConfig, load_config
from infra.studio.lifecycle import current_state
from infra.studio.prefect_api import call
from infra.studio.processes import find, processes_of_part
from infra.studio.state import PartState
from infra.studio.supervisor import titles
from tasks.errors import StudioUnavailable

LAST_RUNS = 8
ASKED_FOR = ("render-video", "render-batch", "broadcast-show")
"""Flows whose runs people start."""
_COLORS = {"ready": "green", "failed": "red", "COMPLETED": "green", "FAILED": "red", "CRASHED": "red"}


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what runs, and the last runs. Ends with 1 when the studio does not run."""
    run_command(_status, as_json=as_json)


def _status(output: Output) -> int:
    config = load_config()
    state = current_state(config)
    if state is None:
        output.result(state="stopped", home=str(config.root))
        output.say(f"no studio runs in {config.root}. `studio up` starts it.")
        return 1
    parts = [_part_facts(config, name, part) for name, part in state.parts.items() if name in titles(config)]
    runs = _last_runs(config)
    output.say(
        f"studio {state.phase}, up for {seconds_since(state.supervisor.created)}, home {config.root}", style="bold"
    )
    output.rows(["part", "state", "pid", "up", "memory", "restarts", "address"], [_part_row(part) for part in parts])
    if state.sandbox:
        output.say("\nTopView, mingyan and ZEGO are played by the sandbox.")
    if runs:
        output.say("")
        output.rows(["run", "state", "started", "seconds"], [_run_row(run) for run in runs])
    output.result(
        state=state.phase,
        home=str(config.root),
        **address_facts(config, state),
        pid=state.supervisor.pid,
        parts=parts,
        runs=runs,
    )
    return 0


def _part_facts(config: StudioConfig, name: str, part: PartState) -> dict[str, Any]:
    process = find(part.process)
    family = set(processes_of_part(config.root, name)) | set(process.children(recursive=True)) if process else set()
    return {
        "part": name,
        "title": titles(config)[name],
        "state": part.phase,
        "pid": process.pid if process else None,
        "since": process.create_time() if process else None,
        "memory_bytes": sum(filter(None, map(_resident, family))),
        "processes": len(family),
        "restarts": part.restarts,
        "address": part.address,
        "detail": part.detail,
    }


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _part_row(part: dict[str, Any]) -> list[str]:
    state = f"[{_COLORS.get(part['state'], 'yellow')}]{part['state']}[/]"
    memory = f"{part['memory_bytes'] / 2**20:.0f} MiB"
    up = seconds_since(part["since"]) if part["since"] else ""
    return [part["title"], state, str(part["pid"] or ""), up, memory, str(part["restarts"]), part["address"]]


def _last_runs(config: StudioConfig) -> list[dict[str, Any]]:
    try:
        # What is planned for later and what looks after the studio would crowd out what people have asked for.
        asked_for = {"flows": {"name": {"any_": list(ASKED_FOR)}}, "flow_runs": _not_later()}
        body = {"sort": "EXPECTED_START_TIME_DESC", "limit": LAST_RUNS, **asked_for}
        found = call(config, "/flow_runs/filter", body)
    except StudioUnavailable:
        # The table of parts above already shows a server that is away.
        return []
    return [
        {
            "run": run["name"],
            "id": run["id"],
            "state": run["state_type"],
            "state_name": run["state_name"],
            "started": run["start_time"],
            "seconds": run["total_run_time"],
            "page": f"{config.ui_url}/runs/flow-run/{run['id']}",
        }
        for run in found
    ]


def _not_later() -> dict[str, Any]:
    return {"expected_start_time": {"before_": datetime.now(UTC).isoformat()}}


def _run_row(run: dict[str, Any]) -> list[str]:
    state = f"[{_COLORS.get(run['state'], 'yellow')}]{run['state_name']}[/]"
    started = (
        datetime.fromisoformat(run["started"]).astimezone().strftime("%Y-%m-%d %H:%M:%S") if run["started"] else ""
    )
    return [run["run"], state, started, f"{run['seconds']:.1f}"]
