"""A process of its own that works on a ledger: ``python -m tests.contract.ledger_worker JOB URL ...``."""

import asyncio
import sys

from tasks.ledger import Intent
from tasks.ledger.store import Ledger


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def intent(render_key: str) -> Intent:
    return Intent(render_key=render_key, provider="local", account="local", endpoint="file:test")


async def race(url: str, render_key: str, callers: int) -> None:
    """Reserve and take the right to submit from many coroutines; print one line per call that got it."""
    async with await Ledger.open(url) as ledger:

        async def call(number: int) -> None:
            entry, created = await ledger.reserve(intent(render_key), owner=f"caller-{number}")
            say("created" if created else "lost", entry.id)

        await asyncio.gather(*(call(number) for number in range(callers)))


async def work_for_ever(url: str) -> None:
    """Take renders through their lives until killed."""
    async with await Ledger.open(url) as ledger:
        for number in range(1_000_000):
            entry, _ = await ledger.reserve(intent(f"{number:064x}"), owner="worker")
            await ledger.mark_submitting(entry.id, "worker")
            await ledger.mark_submitted(entry.id, f"job-{number}")
            await ledger.mark_succeeded(entry.id, {"number": number})
            await ledger.mark_archived(entry.id, f"s3://archive/{number}")
            say(number)


async def just_open(url: str) -> None:
    """Open, which migrates, and close."""
    async with await Ledger.open(url):
        say("open")


def main() -> None:
    job, url, *rest = sys.argv[1:]
    if job == "race":
        asyncio.run(race(url, rest[0], int(rest[1])))
    elif job == "work":
        asyncio.run(work_for_ever(url))
    else:
        asyncio.run(just_open(url))


if __name__ == "__main__":
    main()
