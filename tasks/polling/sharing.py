"""One scheduler for all who follow jobs of the same account at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tasks.polling.scheduler import PollScheduler
from tasks.providers.base import Provider
from tasks.settings import get_settings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger


@dataclass
class _Shared:
    """A scheduler, and how many blocks use it now."""

    scheduler: PollScheduler
    users: int = 0


_Key = tuple["Ledger", str, str, str]
_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def open_scheduler(ledger: "Ledger", provider: Provider) -> AsyncIterator[PollScheduler]:
    """The scheduler of a provider's account for a block; blocks of one event loop that overlap share one."""
    shared = _open.setdefault(asyncio.get_running_loop(), {})
    key = (ledger, provider.name, provider.endpoint, provider.account)
    if key not in shared:
        per_second = get_settings().query_rates.get(provider.name, provider.pace.per_second)
        shared[key] = _Shared(PollScheduler(ledger, provider, per_second=per_second))
    mine = shared[key]
    mine.users += 1
    try:
        yield mine.scheduler
    finally:
        mine.users -= 1
        if mine.users == 0:
            del shared[key]
            await mine.scheduler.close()
