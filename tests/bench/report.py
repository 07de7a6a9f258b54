"""Shows the rows as one table, below the facts about the machine that they were measured on."""

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.rows import Row

WHAT_WIDTH = 46


@dataclass(frozen=True)
class Found:
    """What one bench found, and the machine's load average over a minute before and after it."""

    rows: list[Row]
    load_before: float
    load_after: float


Results = dict[str, Found]


@dataclass(frozen=True)
class Machine:
    """What decides about the figures, beside the code."""

    processor: str
    cores: int
    memory_gib: float
    python: str
    prefect: str
    load_before: tuple[float, float, float]
    """Load averages over 1, 5 and 15 minutes before the first bench: what others were doing."""


def look_at_machine() -> Machine:
    """The facts as they are now."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / 1024**3, 1),
        python=platform.python_version(),
        prefect=version("prefect"),
        load_before=os.getloadavg(),
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def print_report(console: Console, machine: Machine, results: Results) -> None:
    """Print machine and table."""
    load = ", ".join(f"{value:.1f}" for value in machine.load_before)
    console.print(
        f"\n{machine.processor}, {machine.cores} cores, {machine.memory_gib:g} GiB; Python {machine.python}, "
        f"Prefect {machine.prefect}\nload average before: {load}"
    )
    table = Table(
        box=box.SIMPLE_HEAD, caption="ratio: measured over baseline, both of the same rounds; below 1 is less"
    )
    table.add_column("what", min_width=WHAT_WIDTH)
    for name in ("measured", "baseline", "ratio", "wanted"):
        table.add_column(name, justify="right" if name == "ratio" else "left", no_wrap=name != "baseline")
    for bench, found in results.items():
        table.add_row(f"[bold]{bench}[/bold]", f"[dim]load {found.load_before:.1f} to {found.load_after:.1f}[/dim]")
        for row in found.rows:
            what = f"{row.what}\n[dim]{row.note}[/dim]" if row.note else row.what
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            table.add_row(what, _measured(row), _baseline(row), ratio, _wanted(row))
        table.add_section()
    console.print(table)


def _measured(row: Row) -> str:
    text = _figure(row.median, row.unit)
    return f"{text} (worst of {len(row.samples)}: {_number(row.worst)})" if len(row.samples) > 1 else text


def _baseline(row: Row) -> str:
    if not row.baseline_samples:
        return ""
    base = Row("", row.baseline_samples)
    return f"{_figure(base.median, row.unit)}, {row.baseline}"


def _wanted(row: Row) -> str:
    if row.wanted is None:
        return ""
    bound = row.wanted.at_most
    text = f"≤ {_figure(bound, row.unit)}" if row.wanted.of == "measured" else f"ratio ≤ {bound:g}"
    return f"[green]{text}: met[/green]" if row.met else f"[red]{text}: not met[/red]"


def _figure(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def write_json(path: Path, machine: Machine, results: Results) -> None:
    """Write everything for programs to read."""
    benches = {
        name: {"load": [found.load_before, found.load_after], "rows": [row.as_json() for row in found.rows]}
        for name, found in results.items()
    }
    body = {"machine": asdict(machine), "arguments": sys.argv[1:], "benches": benches}
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
