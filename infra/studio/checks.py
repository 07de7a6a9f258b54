"""Checks of the machine and of this installation; they need no running studio."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from infra.studio.config import StudioConfig
from infra.studio.parts.object_store import weed_program
from infra.studio.ports import PortTaken, needed_ports, require_free
from infra.studio.processes import describe, studio_processes
from tasks.errors import StudioError

DISTRIBUTION = "digital-human-studio"
LEAST_FREE_BYTES = 2 * 1024**3

Verdict = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    name: str
    verdict: Verdict
    found: str
    fix: str = ""


def check_installation() -> Iterator[Check]:
    """Python, packages, and the object store's program."""
    yield _python()
    yield _packages()
    try:
        yield Check("object store program", "ok", str(weed_program()))
    except StudioError as error:
        yield Check("object store program", "failed", error.message, error.fix)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    wanted = metadata(DISTRIBUTION)["Requires-Python"]
    if found in SpecifierSet(wanted):
        return Check("Python", "ok", found)
    return Check("Python", "failed", f"{found}, wanted {wanted}", "Make the environment anew with a fitting Python.")


def _packages() -> Check:
    wrong = []
    wanted = [Requirement(line) for line in requires(DISTRIBUTION) or []]
    here = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    for need in here:
        try:
            found = version(need.name)
        except PackageNotFoundError:
            found = "missing"
        if found == "missing" or not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} is {found}, wanted {need.specifier}")
    if wrong:
        return Check("packages", "failed", "; ".join(wrong), "Install again: pip install -e '.[embedded]'.")
    return Check("packages", "ok", f"{len(here)} as wanted, Prefect {version('prefect')}")


def check_home(config: StudioConfig) -> Iterator[Check]:
    """The home folder and the disk below it."""
    home = config.root
    there = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield Check("home folder", "failed", f"{there} is not writable", "Choose another folder with STUDIO_HOME.")
        return
    exposed = [
        path
        for path in (config.objects, config.prefect_home, config.webhook_secret_file, config.sandbox_keys_file)
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if exposed:
        names = " ".join(map(str, exposed))
        yield Check("home folder", "failed", f"others may read {names}", f"chmod go= {names}")
    else:
        yield Check("home folder", "ok", str(home) if home.exists() else f"{home}, made by `studio up`")
    free = shutil.disk_usage(there).free
    room = f"{free / 1024**3:.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        yield Check("disk", "failed", room, f"Free some space on the disk of {there}, or move STUDIO_HOME.")
    else:
        yield Check("disk", "ok", room)


def check_leftovers(config: StudioConfig) -> Iterator[Check]:
    """While the studio is stopped: its ports are free and nothing of it runs."""
    left = studio_processes(config.root)
    if left:
        names = ", ".join(map(describe, left))
        yield Check("leftover processes", "failed", names, "`studio down` ends them.")
        return
    yield Check("leftover processes", "ok", "none")
    try:
        require_free(needed_ports(config))
    except PortTaken as error:
        yield Check("ports", "failed", error.message, error.fix)
    else:
        found = f"{config.prefect_port}, {config.webhook_port}, and {config.s3_port} with its internal ones are free"
        yield Check("ports", "ok", found)
