"""One pass over the inbox in a process of its own, which may die after any of its steps."""

import asyncio
import json
import os
import signal
import sys
import time
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from tasks.batch.inbox.drop import INBOX, Drop
from tasks.batch.inbox.pickup import Picked, Pickup, StartedRun
from tasks.ledger.store import Ledger
from tasks.storage import ObjectStore


class Runs:
    """Stands for the Prefect server: the same key is the same run, whoever asks and how often.

    Args:
        folder: shared by all processes of a test.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    async def start(self, manifest: str, name: str, once: str) -> StartedRun:
        """Start a run, or find it."""
        digest = sha256(once.encode()).hexdigest()[:12]
        with (self.folder / "calls.txt").open("a") as calls:
            calls.write(f"{digest}\n")
        run = self.folder / f"{digest}.json"
        if not run.exists():
            run.write_text(json.dumps({"manifest": manifest, "name": name}))
        return StartedRun(f"run-{digest}", f"http://prefect.example/runs/flow-run/{digest}")

    @property
    def started(self) -> list[dict[str, Any]]:
        """All runs, by the address of their manifest."""
        runs = [json.loads(path.read_text()) for path in self.folder.glob("*.json")]
        return sorted(runs, key=lambda run: run["manifest"])

    @property
    def calls(self) -> int:
        """How often a run was asked for."""
        path = self.folder / "calls.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0


async def run_pass(
    store: ObjectStore, ledger: Ledger, runs: Runs, *, owner: str, stale: float = 900, **hooks: Any
) -> list[Picked]:
    """Pick up all that is in the inbox now."""
    told = hooks.pop("tell_rejected", lambda *_: None)
    pickup = Pickup(store, ledger, owner, runs.start, told, stale_after=timedelta(seconds=stale), **hooks)
    drops = [Drop(facts) async for facts in store.list_objects("archive", INBOX)]
    return [picked for drop in drops if (picked := await pickup.pick(drop))]


def wait_for_the_start(ready: Path, go: Path) -> None:
    """Both workers of a race are ready before the first of them begins."""
    ready.touch()
    while not go.exists():
        time.sleep(0.01)


async def main(order: dict[str, Any]) -> None:
    """Run one pass, and die where the order says."""

    def after(step: str) -> None:
        if step == order.get("die_after"):
            os.kill(os.getpid(), signal.SIGKILL)

    store = ObjectStore(**order["store"])
    async with await Ledger.open(order["ledger"]) as ledger:
        runs = Runs(Path(order["runs"]))
        await asyncio.to_thread(wait_for_the_start, Path(order["ready"]), Path(order["go"]))
        picked = await run_pass(store, ledger, runs, owner=order["owner"], after=after)
    sys.stdout.write(json.dumps([one.drop.name for one in picked]))


def nursery() -> None:
    """Run each order that comes in a line, in a child of its own, and answer with the child's end.

    The imports of a worker take longer than its work.
    """
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(main(json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(main(json.loads(sys.argv[1])))
    else:
        nursery()
