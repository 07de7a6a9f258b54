"""How long `studio up` takes: in an empty folder, and later in one that has been used."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from infra.studio.ports import free_ports
from tests.bench.lab import Lab
from tests.bench.rows import Row

STUDIO = Path(sys.executable).parent / "studio"
IMPORT = "import prefect.server.api.server"
COMMAND_SECONDS = 300


def run(lab: Lab) -> list[Row]:
    """Start and stop studios on the command line, each folder twice; a quick look takes the other benches' studio."""
    if lab.quick:
        return [Row("starting a studio in an empty folder", [lab.start_seconds()])]
    kinds = ["`studio up` in an empty folder", "`studio up` later"]
    starts: dict[str, list[float]] = {kind: [] for kind in kinds}
    imports: dict[str, list[float]] = {kind: [] for kind in kinds}
    notes: dict[str, str] = {}
    stops: list[float] = []
    for number in lab.rounds(3):
        environment = os.environ | {"STUDIO_HOME": str(lab.folder / f"start-{number}")}
        environment |= {f"STUDIO_{name.upper()}": str(port) for name, port in free_ports().items()}
        for kind in kinds:
            imports[kind].append(_timed([sys.executable, "-c", IMPORT], environment)[0])
            try:
                seconds, told = _timed([str(STUDIO), "up", "--detach", "--json"], environment)
                starts[kind].append(seconds)
                notes[kind] = _parts(told)
            finally:
                stops.append(_timed([str(STUDIO), "down"], environment)[0])
    baseline = "importing Prefect's server in a new Python"
    rows = [
        Row(kind, starts[kind], baseline=baseline, baseline_samples=imports[kind], note=notes[kind]) for kind in kinds
    ]
    return [*rows, Row("`studio down`", stops)]


def _parts(told: str) -> str:
    """How long each part took, from what `studio up` printed."""
    seconds: dict[str, float | None] = json.loads(told)["parts"]
    return ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items() if value)


def _timed(command: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """Run a command; returns its seconds and what it printed."""
    began = time.monotonic()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - began, done.stdout
