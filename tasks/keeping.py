"""Values that are made once and used by all coroutines of an event loop for a while, such as clients of an account."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass
class _Slot(Generic[V]):
    """One value, and until when it is good."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    until: float = 0.0
    values: list[V] = field(default_factory=list)


class Kept(Generic[K, V]):
    """Makes a value per key and event loop, and makes it anew after a while. A failure is not kept.

    Args:
        make: makes the value of a key.
        seconds: how long it is good; a key that a person exchanges works after that time.
    """

    def __init__(self, make: Callable[[K], Awaitable[V]], *, seconds: float) -> None:
        self._make = make
        self._seconds = seconds
        self._slots: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[K, _Slot[V]]] = WeakKeyDictionary()

    async def get(self, key: K) -> V:
        """The value of a key; of many callers at once one makes it."""
        slot = self._slots.setdefault(asyncio.get_running_loop(), {}).setdefault(key, _Slot())
        async with slot.turn:
            if time.monotonic() >= slot.until:
                slot.values = [await self._make(key)]
                slot.until = time.monotonic() + self._seconds
            return slot.values[0]
