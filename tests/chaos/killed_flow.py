"""Runs flows in processes of their own, which may be killed: ``python -m tests.chaos.killed_flow``.

Reads one job a line as JSON and forks a child for each, so that the imports, seconds of every start, are paid once.
Tells pid and end of every child the same way. A child's answer is in the file that its job names.
"""

import asyncio
import ctypes
import importlib
import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from flows import reconcile as sweep
from flows import render_video as recipe
from tasks.http import shown
from tasks.settings import get_settings
from tests.chaos.kill_points import KillPoint, arm, tell
from tests.chaos.killed_show import show

# Loaded where they are first needed by a flow; here all children share them.
for _module in (
    "fastapi",
    "prefect.flow_engine",
    "prefect.task_engine",
    "pyloudnorm",
    "tasks.ledger.store",
    "tasks.providers.mingyan.provider",
    "tasks.providers.topview.provider",
    "tasks.quality.sync",
):
    importlib.import_module(_module)
_LOOK_SECONDS = 0.02


async def render(request: dict[str, Any]) -> dict[str, Any]:
    """Run the flow as it is."""
    state = await recipe.render_video(request, return_state=True)
    found = await state.aresult(raise_on_failure=False)
    video = getattr(found, "manifest", None)
    return {
        "state": state.name,
        "message": state.message or repr(found),
        "video": video.video.uri if video else None,
        "key": video.render_key if video else None,
    }


async def reconcile() -> dict[str, Any]:
    """Settle what was left behind, however short ago."""
    state = await sweep.reconcile(unattended_minutes=0, return_state=True)
    return {"state": state.name, "message": state.message}


async def crowd(request: dict[str, Any], number: int, at: float) -> dict[str, Any]:
    """Many plain runs of one request, all from the same moment on."""
    from tests.bench import plain_recipe  # takes Prefect's engine out of the steps, so not before the forks

    made = 0

    async def one(owner: str) -> str:
        nonlocal made
        with plain_recipe.scratch_folder() as folder:
            finished = await recipe.produce(plain_recipe.read_request(request), folder, owner)
        made += not finished.again
        return f"{finished.manifest.video.uri} {shown(finished.link)}"

    await asyncio.sleep(at - time.time())
    began = time.monotonic()
    answers = await asyncio.gather(
        *(one(f"crowd-{os.getpid()}-{each}") for each in range(number)), return_exceptions=True
    )
    return {"answers": [str(answer) for answer in answers], "made": made, "seconds": time.monotonic() - began}


WORKS: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
    "render": render,
    "reconcile": reconcile,
    "crowd": crowd,
    "show": show,
}


def _work(job: dict[str, Any]) -> None:
    """Do one job in a forked child, which ends here."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    # The parent's numbers would be everybody's.
    random.seed()
    os.environ.update(job["environment"])
    get_settings.cache_clear()
    report = Path(job["report"])
    if job["point"]:
        arm(KillPoint.model_validate(job["point"]), report)
    tell(report, **asyncio.run(WORKS[job["work"]](**job["arguments"])))


def _fork(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _work(job)
        code = 0
    except BaseException as error:  # noqa: BLE001 - told to whoever reads the report
        tell(Path(job["report"]), state="Broken", message=repr(error), video=None, key=None)
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Fork until the input ends; children that are left then are killed by the kernel."""
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    buffered, children = b"", set[int]()
    while True:
        readable, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if readable:
            more = os.read(0, 65536)
            if not more:
                return
            buffered += more
        while b"\n" in buffered:
            line, _, buffered = buffered.partition(b"\n")
            job = json.loads(line)
            pid = _fork(job)
            children.add(pid)
            answers.write(json.dumps({"id": job["id"], "pid": pid}) + "\n")
        for pid in list(children):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                children.remove(pid)
                answers.write(json.dumps({"pid": pid, "exit": os.waitstatus_to_exitcode(status)}) + "\n")


if __name__ == "__main__":
    main()
