"""Turns for questions, so that all processes of the studio together stay under a provider's rate."""

import asyncio
from math import floor
from typing import TYPE_CHECKING

from tasks.providers.base import Provider

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

SHARE = 0.9
"""Part of the rate that is used: calls that leave evenly arrive unevenly."""
LATE_SECONDS = 0.05
"""A turn that could not be used within this time is lost; later, it would come in a bunch with the next ones."""


class QueryRate:
    """Takes turns from the ledger, at most those of one second at a time, and hands them out evenly.

    Args:
        ledger: where all processes take them from.
        provider: who is asked.
        per_second: the most questions that it may see in any second.
    """

    def __init__(self, ledger: "Ledger", provider: Provider, per_second: float) -> None:
        self._ledger = ledger
        self._provider = provider
        self._per_second = SHARE * per_second
        self._step = 1 / self._per_second
        self._left = 0
        self._next_at = 0.0

    @property
    def per_second(self) -> float:
        """Turns a second."""
        return self._per_second

    async def turns(self, wanted: int) -> int:
        """Wait for the next turn; returns how many have come, at least 1 and at most ``wanted``."""
        loop = asyncio.get_running_loop()
        while True:
            self._drop_missed(loop.time())
            if not self._left:
                await self._take(wanted)
            elif (pause := self._next_at - loop.time()) > 0:
                await asyncio.sleep(pause)
            else:
                come = min(wanted, self._left, 1 + floor((loop.time() - self._next_at) / self._step))
                self._left -= come
                self._next_at += come * self._step
                return come

    def _drop_missed(self, now: float) -> None:
        missed = min(self._left, floor((now - LATE_SECONDS - self._next_at) / self._step) + 1)
        if missed > 0:
            self._left -= missed
            self._next_at += missed * self._step

    async def _take(self, wanted: int) -> None:
        provider = self._provider
        count, begin = await self._ledger.take_calls(provider.name, provider.endpoint, wanted, self._per_second)
        # Two answers of the database may take unlike times to come.
        self._next_at = max(asyncio.get_running_loop().time() + begin, self._next_at)
        self._left = count
