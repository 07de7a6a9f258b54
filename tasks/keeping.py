"""Values that are made once and used by all coroutines of an event loop for a while, such as clients of an account."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from tasks.errors import StudioUnavailable

REFRESH_SECONDS = 5.0
"""How long callers wait for a new value while there is an old one; making it may be far more patient by itself."""
AGAIN_SECONDS = 10.0
"""How long an old value is used on after a new one could not be had."""

log = logging.getLogger("studio.keeping")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Try:
    """One try to make a value, as those see it who wait for it."""

    error: Exception | None = None


@dataclass
class _Slot(Generic[V]):
    """One value, until when it is good, and the try that comes or is under way."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    until: float = 0.0
    values: list[V] = field(default_factory=list)
    attempt: _Try = field(default_factory=_Try)


class Kept(Generic[K, V]):
    """Makes a value per key and event loop, and makes it anew after a while.

    A failure is told to all who waited for that try, and is not kept. While what makes the values is unavailable, an
    old value is used on; any other error, such as a block that a person has removed, ends its use.

    Args:
        make: makes the value of a key.
        seconds: how long it is good; a key that a person exchanges works after that time.
    """

    def __init__(self, make: Callable[[K], Awaitable[V]], *, seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[K, _Slot[V]]] = WeakKeyDictionary()

    async def get(self, key: K) -> V:
        """The value of a key; of many callers at once one makes it.

        Raises:
            Exception: what making it raised, when there is no old value to go on with.
        """
        slot = self._slots.setdefault(asyncio.get_running_loop(), {}).setdefault(key, _Slot())
        awaited = slot.attempt
        async with slot.turn:
            if awaited.error is not None:
                raise awaited.error
            if time.monotonic() >= slot.until:
                try:
                    await self._renew(key, slot)
                except Exception as error:
                    # Held by those who wait only: it refers to the frames of all of them.
                    slot.attempt.error = error
                    slot.attempt = _Try()
                    slot.values.clear()
                    raise
            return slot.values[0]

    async def _renew(self, key: K, slot: _Slot[V]) -> None:
        """Make the value; an old one is good for a little longer when it cannot be made just now."""
        try:
            async with asyncio.timeout(REFRESH_SECONDS if slot.values else None):
                slot.values = [await self._make(key)]
        except (StudioUnavailable, TimeoutError) as error:
            # Its subclasses, such as a missing block, tell of what a person has changed.
            if not slot.values or type(error) not in {StudioUnavailable, TimeoutError}:
                raise
            log.warning("old value used on kept=%s cause=%s", key, error or type(error).__name__)
            slot.until = time.monotonic() + AGAIN_SECONDS
        else:
            slot.until = time.monotonic() + self._seconds
