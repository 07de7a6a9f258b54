"""A process of its own that works on a ledger: ``python -m tests.contract.ledger_worker JOB URL ...``."""

import asyncio
import sys
import time
from datetime import timedelta
from decimal import Decimal

from tasks.ledger import AtCapacity, BudgetExceeded, Intent, Limits
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


async def ask(url: str, calls: int, per_second: float) -> None:
    """Take slots for calls again and again; print when each slot is, in seconds since 1970.

    Begins once "start" is claimed, and ends at the moment that is its owner's name.
    """
    async with await Ledger.open(url) as ledger:
        say("ready")
        while (start := await ledger.find_claim("start")) is None:  # noqa: ASYNC110 - another process sets it
            await asyncio.sleep(0.02)
        while time.time() < float(start.owner):
            slots = await ledger.take_calls("topview", "https", calls, per_second)
            begin = time.time() + slots.begin
            for number in range(slots.calls):
                say(begin + number / per_second)
            await asyncio.sleep(max(0.0, begin + slots.calls / per_second - time.time()))


async def submit(url: str, first: int, renders: int, most: int) -> None:
    """Reserve many renders and take the right to submit them all at once; print one line per render."""
    async with await Ledger.open(url) as ledger:

        async def call(number: int) -> None:
            entry, _ = await ledger.reserve(intent(f"{number:064x}"), owner="batch")
            try:
                await ledger.mark_submitting(entry.id, "batch", most=most)
            except AtCapacity as error:
                say("full", error.limit)
            else:
                say("submitting", entry.id)

        await asyncio.gather(*(call(number) for number in range(first, first + renders)))


async def claim(url: str, owner: str, names: int, callers: int) -> None:
    """Claim many names from many coroutines; print what was got."""
    async with await Ledger.open(url) as ledger:

        async def call(name: str, number: int) -> None:
            if await ledger.claim(name, f"{owner}-{number}", stale_after=timedelta(hours=1)):
                say(name, f"{owner}-{number}")

        await asyncio.gather(*(call(f"inbox/{name}", number) for name in range(names) for number in range(callers)))


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
    elif job == "ask":
        asyncio.run(ask(url, int(rest[0]), float(rest[1])))
    elif job == "submit":
        asyncio.run(submit(url, *map(int, rest)))
    elif job == "claim":
        asyncio.run(claim(url, rest[0], int(rest[1]), int(rest[2])))
    elif job == "work":
        asyncio.run(work_for_ever(url))
    else:
        asyncio.run(just_open(url))


if __name__ == "__main__":
    main()
