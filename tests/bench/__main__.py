"""``python -m tests.bench``: measure the studio against plain code in the same run. Nothing is asserted."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.bench import (
    archive_throughput,
    batch_again,
    batch_memory,
    batch_polls,
    batch_whole,
    batch_workers,
    latency,
    manifest_check,
    overhead,
    poll_lag,
    render_speed,
    show_pacing,
    start_time,
)
from tests.bench.lab import Lab
from tests.bench.report import Found, Results, look_at_machine, print_report, write_json
from tests.bench.rows import Row

REPORT_WIDTH = 150

# Latency comes last: it leaves a render behind that would slow down what follows.
BENCHES: dict[str, Callable[[Lab], list[Row]]] = {
    "render": render_speed.run,
    "archive": archive_throughput.run,
    "start": start_time.run,
    "overhead": overhead.run,
    "manifest": manifest_check.run,
    "polls": poll_lag.run,
    "batch": batch_whole.run,
    # Runs the batch of the bench before it once more.
    "batch-again": batch_again.run,
    "batch-polls": batch_polls.run,
    "batch-memory": batch_memory.run,
    "batch-workers": batch_workers.run,
    "show": show_pacing.run,
    "latency": latency.run,
}


def main() -> int:
    """Run the chosen benches one after another and print one table; 1 when one of them broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=BENCHES, metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="few rounds and little media, for a look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    arguments = parser.parse_args()
    _forget_settings()
    # Ends like Ctrl-C does, so that everything that was started is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = REPORT_WIDTH
    machine, results, broken = look_at_machine(), Results(), []
    with Lab(quick=arguments.quick) as lab:
        for name, bench in BENCHES.items():
            if arguments.only and name not in arguments.only:
                continue
            began, load = time.monotonic(), os.getloadavg()[0]
            progress.print(f"{name} …", end=" ")
            try:
                rows = bench(lab)
            except Exception:  # noqa: BLE001 - others still run
                progress.print_exception()
                broken.append(name)
            else:
                results[name] = Found(rows, load, os.getloadavg()[0])
            progress.print(f"{time.monotonic() - began:.0f} s")
    print_report(console, machine, results)
    if arguments.json:
        write_json(arguments.json, machine, results)
    if broken:
        progress.print(f"broke: {', '.join(broken)}", style="red")
    return 1 if broken else 0


def _forget_settings() -> None:
    """What a person set for their own studio is not measured."""
    for name in [name for name in os.environ if name.startswith(("STUDIO_", "PREFECT_"))]:
        del os.environ[name]


if __name__ == "__main__":
    sys.exit(main())
