"""A renderer that does what the script says: quick, slow, die, refuse, break, greed, or h for hang."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tasks.errors import ProviderRejected
from tasks.providers.local.models import RenderJob, RenderReport

SLOW_STEPS, STEP_SECONDS = 20, 0.1


def render(job: RenderJob, output: Path, progress: Callable[[float], None]) -> RenderReport:
    """Leave a line in ``runs.txt`` for every start and every end, and a few bytes as the video."""
    runs = output.parent / "runs.txt"
    _note(runs, "start")
    what = job.script or "quick"
    if what == "die":
        output.write_bytes(b"half a vid")
        print("about to die", flush=True)  # noqa: T201 - goes to the log
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "refuse":
        raise ProviderRejected("there is no face in the picture.", provider="local", fix="Show a face.")
    if what == "break":
        raise ZeroDivisionError("one over nothing")
    if what == "greed":
        bytearray(16 * 1024**3)
    if what == "h":
        time.sleep(60)
    if what == "slow":
        for step in range(SLOW_STEPS):
            progress(step / SLOW_STEPS)
            time.sleep(STEP_SECONDS)
    output.write_bytes(b"a whole video " * 1000 + job.avatar_path.read_bytes())
    _note(runs, "end")
    return RenderReport(frames=25, seconds=1, speech_seconds=0.98, width=256, height=256, fps=job.fps, notes=["fake"])


def _note(runs: Path, word: str) -> None:
    with runs.open("a") as file:
        file.write(f"{word}\n")
