"""Calls one function in a fresh process and tells its time and memory, imports not counted. Linux only.

``python -m tests.bench.child MODULE:FUNCTION`` with keyword arguments as JSON on standard input.
"""

import asyncio
import gc
import importlib
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CALL_SECONDS = 900
MIB = 1024 * 1024
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Call:
    """How one call went. Memory is resident memory of the whole process, in MiB."""

    seconds: float
    peak: float
    growth: float
    """Peak during the call, over what the process held before it."""
    answer: Any


def in_child(
    function: str,
    *,
    environment: Mapping[str, str] | None = None,
    within_seconds: float = CALL_SECONDS,
    **arguments: Any,
) -> Call:
    """Call ``module:function`` in a process of its own; arguments and answer go as JSON.

    Raises:
        RuntimeError: the call failed; the message ends with the child's last words.
        subprocess.TimeoutExpired: it took too long and was killed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.child", function],
        cwd=_ROOT,
        env=dict(environment or os.environ),
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=within_seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stderr[-3000:]}")
    return Call(**json.loads(done.stdout.splitlines()[-1]))


def call_measured(function: Any, arguments: dict[str, Any]) -> Call:
    """Call a plain or async function in this process."""
    gc.collect()
    # Resets the kernel's record of the peak, which importing has set.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, began = _memory("VmRSS"), time.perf_counter()
    answer = asyncio.run(function(**arguments)) if inspect.iscoroutinefunction(function) else function(**arguments)
    seconds, peak = time.perf_counter() - began, _memory("VmHWM")
    return Call(seconds, peak / MIB, (peak - before) / MIB, answer)


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this kernel does not tell {name}")


def main() -> None:
    """Run the call named on the command line."""
    module, _, name = sys.argv[1].partition(":")
    function = getattr(importlib.import_module(module), name)
    call = call_measured(function, json.load(sys.stdin))
    sys.stdout.write(json.dumps(asdict(call)) + "\n")


if __name__ == "__main__":
    main()
