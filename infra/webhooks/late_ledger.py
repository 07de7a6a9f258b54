"""The ledger of this process, opened at the first call that needs it, so that the receiver starts without it too."""

import asyncio

from tasks.ledger.store import Ledger

PATIENCE_SECONDS = 5
"""A vendor waits for its answer, and sends the notice again after a 503."""


class LateLedger:
    """Opens the ledger once, however many calls come first.

    Args:
        url: SQLAlchemy URL of the ledger.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._ledger: Ledger | None = None
        self._opening = asyncio.Lock()

    async def get(self) -> Ledger:
        """The open ledger.

        Raises:
            StudioUnavailable: it does not answer; the next call tries again.
        """
        async with self._opening:
            if self._ledger is None:
                self._ledger = await Ledger.open(self._url, patience=PATIENCE_SECONDS)
            return self._ledger

    async def close(self) -> None:
        """Close it if it was ever opened."""
        if self._ledger is not None:
            await self._ledger.close()
