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
COMMAND_SECONDS = 300


def run(lab: Lab) -> list[Row]:
    """Start and stop studios on the command line."""
    first, later, stops, imports = [], [], [], []
    parts: dict[str, float] = {}
    for number in lab.rounds(3):
        environment = os.environ | {"STUDIO_HOME": str(lab.folder / f"start-{number}")}
        environment |= {f"STUDIO_{name.upper()}": str(port) for name, port in free_ports().items()}
        for times in (first, later):
            imports.append(_seconds([sys.executable, "-c", "import prefect.server.api.server"], environment))
            try:
                began = time.monotonic()
                parts = json.loads(_studio(["up", "--detach", "--json"], environment))["parts"]
                times.append(time.monotonic() - began)
            finally:
                stops.append(_seconds([str(STUDIO), "down"], environment))
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items() if seconds)
    baseline = "importing Prefect's server in a new Python"
    return [
        Row("`studio up` in an empty folder", first, baseline=baseline, baseline_samples=imports[0::2]),
        Row("`studio up` later", later, baseline=baseline, baseline_samples=imports[1::2], note=told),
        Row("`studio down`", stops),
    ]


def _studio(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [str(STUDIO), *arguments], env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if done.returncode:
        raise RuntimeError(f"studio {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    began = time.monotonic()
    subprocess.run(command, env=environment, capture_output=True, timeout=COMMAND_SECONDS, check=True)
    return time.monotonic() - began
