"""The ledger that the settings name, opened once for all coroutines of an event loop that use it at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from tasks.settings import get_settings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger


@dataclass
class _Shared:
    """One open ledger, and how many blocks use it now."""

    users: int = 0
    ledger: "Ledger | None" = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


_open: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def open_ledger() -> AsyncIterator["Ledger"]:
    """Open the studio's ledger for the length of a block; blocks that overlap share one.

    Raises:
        StudioUnavailable: the database does not answer or belongs to a newer version.
    """
    settings = get_settings()
    if not settings.ledger_url:
        settings.root.mkdir(parents=True, exist_ok=True)
    url = settings.ledger_database_url()
    shared = _open.setdefault(asyncio.get_running_loop(), {}).setdefault(url, _Shared())
    shared.users += 1
    try:
        yield await _entered(shared, url)
    finally:
        shared.users -= 1
        await _left(shared)


async def _entered(shared: _Shared, url: str) -> "Ledger":
    async with shared.turn:
        if shared.ledger is None:
            # SQLAlchemy takes most of a second to load, which a run that finds its video archived never needs.
            from tasks.ledger.store import Ledger  # noqa: PLC0415 - see above

            shared.ledger = await Ledger.open(url)
        return shared.ledger


async def _left(shared: _Shared) -> None:
    async with shared.turn:
        if shared.users == 0 and shared.ledger is not None:
            ledger, shared.ledger = shared.ledger, None
            await ledger.close()


@asynccontextmanager
async def open_existing_ledger(*, patience: float = 5) -> AsyncIterator["Ledger | None"]:
    """Open the studio's ledger for somebody who only asks: None, and nothing is made, while there is none.

    Args:
        patience: seconds to wait for a database that is away.

    Raises:
        StudioUnavailable: the database does not answer or belongs to a newer version.
    """
    from tasks.ledger.database import is_missing  # noqa: PLC0415 - loads SQLAlchemy
    from tasks.ledger.store import Ledger  # noqa: PLC0415 - loads SQLAlchemy

    url = get_settings().ledger_database_url()
    if is_missing(url):
        yield None
        return
    async with await Ledger.open(url, patience=patience) as ledger:
        yield ledger
