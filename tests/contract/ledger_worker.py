"""A process of its own that works on a ledger: ``python -m tests.contract.ledger_worker JOB URL ...``."""

import asyncio
import sys
from decimal import Decimal

from tasks.ledger import BudgetExceeded, Intent, Limits
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


async def spend(url: str, first: int, renders: int, limits: Limits) -> None:
    """Reserve many renders of 1.1 credits each at once within caps; print one line per render."""
    async with await Ledger.open(url) as ledger:

        async def call(number: int) -> None:
            priced = intent(f"{number:064x}").model_copy(update={"estimate": Decimal("1.1"), "unit": "credits"})
            try:
                await ledger.reserve(priced, owner="batch", limits=limits)
            except BudgetExceeded as error:
                say("refused", error.cap)
            else:
                say("reserved")

        await asyncio.gather(*(call(number) for number in range(first, first + renders)))


async def trouble(url: str, times: int) -> None:
    """Note many troubles at once; print what each found."""
    async with await Ledger.open(url) as ledger:
        found = await asyncio.gather(*(ledger.note_trouble("local", "file:test", "no answer") for _ in range(times)))
        for breaker in found:
            say(breaker.failures, breaker.open_until)


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
    elif job == "spend":
        asyncio.run(spend(url, int(rest[0]), int(rest[1]), Limits.model_validate_json(rest[2])))
    elif job == "trouble":
        asyncio.run(trouble(url, int(rest[0])))
    elif job == "work":
        asyncio.run(work_for_ever(url))
    else:
        asyncio.run(just_open(url))


if __name__ == "__main__":
    main()
