"""Forecasts by mode, learnt anew as renders end."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.polling.forecast import Expectation, Forecast

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

NEW_SUCCESSES = 20
SOONEST_SECONDS = 10.0
LONGEST_SECONDS = 60.0
"""A forecast is learnt anew after so many new successes, at the soonest after one time and at the latest after another:
other processes bring successes, too."""


@dataclass(slots=True)
class _Mode:
    forecast: Forecast | None = None
    learnt_at: float = float("-inf")
    successes: int = 0


class Forecasts:
    """What is known of the render times of one provider.

    Args:
        ledger: where the latest successes are.
        provider: whose.
    """

    def __init__(self, ledger: "Ledger", provider: str) -> None:
        self._ledger = ledger
        self._provider = provider
        self._modes: dict[str, _Mode] = {}

    def expect(self, mode: str, work: float | None) -> Expectation | None:
        """What is expected of a render; None while too little is known."""
        known = self._modes.get(mode)
        return None if known is None or known.forecast is None else known.forecast.expect(work)

    def note_success(self, mode: str) -> None:
        """Count a render that has just ended."""
        if known := self._modes.get(mode):
            known.successes += 1

    async def know(self, mode: str) -> None:
        """Learn about a mode that is new here."""
        if mode not in self._modes:
            await self._learn(mode)

    async def refresh(self) -> None:
        """Learn anew what has become old."""
        for mode in [mode for mode, known in self._modes.items() if _is_old(known)]:
            await self._learn(mode)

    async def _learn(self, mode: str) -> None:
        forecast = Forecast.learn(await self._ledger.durations(self._provider, mode))
        self._modes[mode] = _Mode(forecast, asyncio.get_running_loop().time())


def _is_old(known: _Mode) -> bool:
    age = asyncio.get_running_loop().time() - known.learnt_at
    return age > LONGEST_SECONDS or (age > SOONEST_SECONDS and known.successes >= NEW_SUCCESSES)
