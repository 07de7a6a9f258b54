"""Turns for calls, so that all processes of the studio together keep the vendor's rate of each action."""

import asyncio
import logging

from tasks.ledger.opening import open_ledger
from tasks.show.contract import PROVIDER

PER_SECOND = 9.0
"""The vendor takes 10 calls a second of each action (section 1.1); calls that leave evenly arrive unevenly."""
PATIENCE_SECONDS = 2.0
"""A stream costs money while it lives: a ledger that is away must not hold up the call that stops it."""
LATE_SECONDS = 0.1
"""A slot that could not be used within this time is lost: the call would come in a bunch with the next ones."""
TRIES = 3
"""So often a busy process looks for a slot; then it calls all the same, as a show cannot wait."""
AWAY_SECONDS = 10.0
"""So long after that the ledger is not asked for turns again."""

log = logging.getLogger("studio.show")


class ActionTurns:
    """Waits for the next free slot of an action; where none can be had calls go without, as the vendor can say no.

    Whatever goes wrong with a turn, it never keeps a call from being made: that may be the one which stops a stream.

    Args:
        endpoint: whose rate it is.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._away_until = 0.0
        self._late: set[asyncio.Task[float]] = set()

    async def __call__(self, action: str) -> None:
        """Return when the action may be called once."""
        loop = asyncio.get_running_loop()
        for _ in range(TRIES):
            begin = None if loop.time() < self._away_until else await self._slot(action)
            if begin is None:
                return
            await asyncio.sleep(begin - loop.time())
            if loop.time() - begin < LATE_SECONDS:
                return

    async def _slot(self, action: str) -> float | None:
        """The moment of the next free slot, in the loop's time; None while the ledger is away."""
        loop = asyncio.get_running_loop()
        # Not cancelled at the end of the wait: the ledger ends what it has begun, however long its database is away.
        taking = asyncio.create_task(self._take(action))
        self._late.add(taking)
        taking.add_done_callback(self._forget)
        await asyncio.wait({taking}, timeout=PATIENCE_SECONDS)
        if taking.done() and not taking.cancelled() and taking.exception() is None:
            return loop.time() + taking.result()
        log.warning("the ledger gives no turns, calling without action=%s", action)
        self._away_until = loop.time() + AWAY_SECONDS
        return None

    async def _take(self, action: str) -> float:
        """Seconds until the slot."""
        async with open_ledger() as ledger:
            slots = await ledger.take_calls(PROVIDER, f"{self._endpoint}#{action}", wanted=1, per_second=PER_SECOND)
        return slots.begin

    def _forget(self, taking: asyncio.Task[float]) -> None:
        self._late.discard(taking)
        if not taking.cancelled() and (error := taking.exception()):
            log.warning("turn not taken cause=%r", error)
