"""The ledger that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tasks.settings import get_settings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger


@asynccontextmanager
async def open_ledger() -> AsyncIterator["Ledger"]:
    """Open the studio's ledger for the length of a block.

    Raises:
        StudioUnavailable: the database does not answer or belongs to a newer version.
    """
    # SQLAlchemy takes most of a second to load, which a run that finds its video archived never needs.
    from tasks.ledger.store import Ledger  # noqa: PLC0415 - see above

    settings = get_settings()
    if not settings.ledger_url:
        settings.root.mkdir(parents=True, exist_ok=True)
    async with await Ledger.open(settings.ledger_database_url()) as ledger:
        yield ledger


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
