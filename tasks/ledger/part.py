"""What every part of the ledger's object works with: the database and the clock."""

from collections.abc import Callable
from datetime import UTC, datetime

from tasks.ledger.database import Database


def utc_now() -> datetime:
    """The present moment, aware."""
    return datetime.now(UTC)


class LedgerPart:
    """Base of the ledger's parts, each with one reason; `tasks.ledger.store.Ledger` is all of them."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock
