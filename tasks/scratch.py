"""A folder for one run's temporary files, and the broom for what crashed runs left behind."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tasks.settings import get_settings

LEFTOVER_SECONDS = 24 * 3600

log = logging.getLogger("studio.scratch")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a private folder for the life of a run; old leftovers of crashed runs are swept on the way in."""
    root = get_settings().scratch
    root.mkdir(parents=True, exist_ok=True)
    sweep(root)
    folder = Path(mkdtemp(dir=root, prefix="run-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path) -> None:
    """Delete folders that no run has touched for a day."""
    horizon = time.time() - LEFTOVER_SECONDS
    for folder in root.glob("run-*"):
        try:
            touched = folder.stat().st_mtime
        except FileNotFoundError:
            continue  # another run swept it first
        if touched < horizon:
            log.info("sweeping leftover folder=%s", folder.name)
            shutil.rmtree(folder, ignore_errors=True)
