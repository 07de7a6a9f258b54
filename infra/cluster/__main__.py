"""Starts the cluster of infra/compose.yaml as plain processes: ``python -m infra.cluster up --folder DIR --workers 4``.

PostgreSQL and Redis come from the machine's packages, everything else from this installation. The passwords are made
once and kept in the folder. Runs until SIGTERM, or, with ``--leash``, until standard input closes; then each line there
is a request, such as ``{"number": 1, "do": "kill", "member": "worker-0"}``.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from dotenv import dotenv_values

from infra.cluster.compose import COMPOSE_FILE, read_compose
from infra.cluster.launcher import Launcher
from infra.cluster.passwords import make_environment
from infra.cluster.plan import SOURCE, Plan
from infra.studio.secret_files import write_once
from infra.studio.state import held_lock
from tasks.errors import StudioError, StudioUnavailable

LONGEST_FOLDER = 60
"""Sockets are made below it, and the path of one has 107 signs at most."""

log = logging.getLogger("studio.cluster")


def make_plan(
    folder: Path, *, workers: int, sandbox: bool, variables: dict[str, str], file: Path = COMPOSE_FILE
) -> Plan:
    """Read the compose file with the settings of a cluster in this folder.

    Args:
        folder: of the cluster; its ``cluster.env`` is made at the first start.
        workers: how many.
        sandbox: play the paid providers.
        variables: further ones, as in infra/.env.
        file: the compose file.

    Raises:
        StudioError: a variable is missing, or the file is not understood.
    """
    write_once(folder / "cluster.env", make_environment())
    files = [folder / "cluster.env", *([SOURCE / "infra" / "image" / "sandbox.env"] if sandbox else [])]
    settings = {name: value or "" for file in files for name, value in dotenv_values(file, interpolate=False).items()}
    # On this machine there is one address for everybody.
    settings |= {"WORKERS": str(workers), "S3_PUBLIC_ENDPOINT": "http://seaweedfs:8333"}
    settings |= {"PREFECT_UI_API_URL": "http://prefect-server:4200/api"}
    compose = read_compose(settings | variables, file)
    return Plan(compose, frozenset({"sandbox"} if sandbox else ()), folder)


async def run(plan: Plan, *, leash: bool) -> int:
    """Run until told to stop. Returns the exit code."""
    launcher, stop = Launcher(plan), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    requests = asyncio.create_task(_serve_requests(launcher, stop)) if leash else None
    starting, stopped = asyncio.create_task(launcher.up()), asyncio.create_task(stop.wait())
    error: StudioError | None = None
    try:
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _tell(launcher)
            await stopped
    except StudioError as caught:
        error = caught
        sys.stderr.write(f"{caught}\n")
    except Exception as caught:
        log.exception("launcher failed")
        error = StudioUnavailable(f"the launcher failed: {caught!r}.", fix="Its output says where.")
    finally:
        for task in (starting, stopped, *([requests] if requests else [])):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await launcher.down()
        launcher.note_phase(
            "failed" if error else "stopped", error=error.message if error else "", fix=error.fix if error else ""
        )
    return 1 if error else 0


async def _serve_requests(launcher: Launcher, stop: asyncio.Event) -> None:
    """Carry out what is asked for on standard input, one after the other; its end is the end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        request = json.loads(line)
        actions = {"kill": launcher.kill, "stop": launcher.stop, "start": launcher.start}
        error = ""
        try:
            await actions[request["do"]](request["member"])
        except StudioError as caught:
            error = str(caught)
        launcher.note_answer(request["number"], error)
    stop.set()


def _tell(launcher: Launcher) -> None:
    lines = [f"{name:<10} http://{address}" for name, address in launcher.state.addresses.items()]
    # On a terminal only: where output is kept in a file, passwords have no place.
    if sys.stdout.isatty():
        lines.append(f"log in with {launcher.state.environment.get('PREFECT_API_AUTH_STRING', 'no password')}")
    sys.stdout.write("\n".join([*lines, "running; Ctrl-C stops it", ""]))
    sys.stdout.flush()


def main() -> int:
    """Read the command line and run the cluster."""
    parser = argparse.ArgumentParser(prog="python -m infra.cluster", description="The compose file without Docker.")
    parser.add_argument("do", choices=["up"])
    parser.add_argument("--folder", type=Path, required=True, help="where all state is kept")
    parser.add_argument("--workers", type=int, default=4, help="number of workers")
    parser.add_argument("--sandbox", action="store_true", help="play the paid providers")
    parser.add_argument("--file", type=Path, default=COMPOSE_FILE, help="the compose file")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a variable, as in infra/.env")
    parser.add_argument("--leash", action="store_true", help="stop when standard input closes; take requests there")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    os.umask(0o022)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    variables = dict(setting.split("=", 1) for setting in arguments.set)
    if len(str(folder)) > LONGEST_FOLDER:
        return _refuse(f"{folder} is too long a path for the sockets below it. Choose a shorter one.")
    with held_lock(folder / "cluster.lock") as was_free:
        if not was_free:
            return _refuse(f"a cluster already runs in {folder}. Stop it, or choose another folder.")
        try:
            plan = make_plan(
                folder,
                workers=arguments.workers,
                sandbox=arguments.sandbox,
                variables=variables,
                file=arguments.file,
            )
        except StudioError as error:
            return _refuse(str(error))
        return asyncio.run(run(plan, leash=arguments.leash))


def _refuse(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
