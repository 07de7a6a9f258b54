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
