"""Renders one job of the spool in a process of its own, so that a bad file takes nothing else down.

``python -m tasks.providers.local.job_process JOBDIR --parent PID [--renderer MODULE:FUNCTION]``, started by the pool.
Exit code 0 means that ``result.mp4`` and ``report.json`` are there; 1, that ``error.json`` says why they are not.
"""

import argparse
import ctypes
import hashlib
import importlib
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tasks.errors import StudioError
from tasks.providers.local.models import RenderJob, RenderReport
from tasks.providers.local.spool import Failure, Outcome, Spool, write_whole

logger = logging.getLogger("studio.renderer")

DEFAULT_RENDERER = "tasks.providers.local.render:render"

Renderer = Callable[[RenderJob, Path, Callable[[float], None]], RenderReport]

_NICENESS = 10
_MAX_MEMORY_BYTES = 6 * 1024**3
_MAX_FILE_BYTES = 16 * 1024**3
_PROGRESS_SECONDS = 0.25
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Render the job named on the command line."""
    parser = argparse.ArgumentParser(description="Render one job of the spool.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--renderer", default=DEFAULT_RENDERER)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    if not die_with(arguments.parent):
        return 1
    _limit_resources()
    folder: Path = arguments.folder
    for left_by_an_earlier_attempt in ("error.json", "progress.json"):
        (folder / left_by_an_earlier_attempt).unlink(missing_ok=True)
    try:
        render_job(Spool(folder.parent.parent), folder.name, load_renderer(arguments.renderer))
    except StudioError as error:
        _report_failure(folder, str(error))
    except Exception as error:
        # The last frame before the process ends: whatever it is, the pool and a person must learn of it.
        logger.exception("renderer broke job=%s", folder.name)
        _report_failure(folder, f"the renderer broke: {type(error).__name__}: {error}")
    else:
        return 0
    return 1


def render_job(spool: Spool, job_id: str, renderer: Renderer) -> None:
    """Render a job and move its result into place only when it is complete."""
    ticket = spool.ticket(job_id)
    if ticket is None:
        raise StudioError("the job's order on disk is damaged or gone.", fix="Run the request again.")
    folder = spool.job_folder(job_id)
    draft = folder / "part.mp4"
    draft.unlink(missing_ok=True)
    logger.info("render started job=%s", job_id)
    report = renderer(spool.render_job(ticket), draft, ProgressFile(folder / "progress.json"))
    with draft.open("rb") as video:
        os.fsync(video.fileno())
        md5 = hashlib.file_digest(video, "md5").hexdigest()
    draft.rename(folder / "result.mp4")
    outcome = Outcome(report=report, size=(folder / "result.mp4").stat().st_size, md5=md5)
    write_whole(folder / "report.json", outcome.model_dump_json().encode())
    logger.info("render finished job=%s frames=%d", job_id, report.frames)


class ProgressFile:
    """Writes progress from 0 to 1, at most four times a second."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name("progress.tmp")
        self._last = float("-inf")

    def __call__(self, done: float) -> None:
        """Note how much is done."""
        now = time.monotonic()
        if now - self._last < _PROGRESS_SECONDS:
            return
        self._last = now
        # Not synced to disk: progress that a power cut takes away is worth nothing.
        self._draft.write_text(f"{min(max(done, 0.0), 1.0):.4f}", encoding="ascii")
        self._draft.rename(self._path)


def load_renderer(name: str) -> Renderer:
    """Import ``module:function``."""
    module, _, function = name.partition(":")
    renderer: Renderer = getattr(importlib.import_module(module), function)
    return renderer


def die_with(parent: int) -> bool:
    """Ask the kernel to kill this process when its parent ends; False if it has ended already."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    return os.getppid() == parent


def _limit_resources() -> None:
    os.nice(_NICENESS)
    # Memory that is written to, not address space: the inference libraries reserve far more than they use.
    _lower_limit(resource.RLIMIT_DATA, _MAX_MEMORY_BYTES)
    _lower_limit(resource.RLIMIT_FSIZE, _MAX_FILE_BYTES)
    _lower_limit(resource.RLIMIT_CORE, 0)


def _lower_limit(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _report_failure(folder: Path, reason: str) -> None:
    logger.error("render failed job=%s reason=%s", folder.name, reason)
    write_whole(folder / "error.json", Failure(reason=reason).model_dump_json().encode())


if __name__ == "__main__":
    sys.exit(main())
