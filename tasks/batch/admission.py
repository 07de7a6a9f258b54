"""Who may be submitted: nobody once the run ends or over budget, and one at a time while a provider is full."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from tasks.batch.stopping import Stopping
from tasks.errors import ProviderBusy, ProviderUnavailable, StudioError
from tasks.http import asked_pause, may_repeat_submit
from tasks.ledger import BudgetExceeded, Entry
from tasks.plan import RenderPlan

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

PAUSE_SECONDS = 10.0
"""Between two offers to a provider that does not accept now and does not say when it will."""
LOOK_SECONDS = 1.0
NARROW_SECONDS = 60.0
"""So long after a refusal rows are offered one at a time: each try uploads its media."""
BUDGET_SECONDS = 60.0
"""So long a refused amount is not offered again; what fails meanwhile frees a part of the budget."""

log = logging.getLogger("studio.batch")


class NotBegun(StudioError):
    """The run ended before this row was submitted."""


@dataclass
class _Gate:
    """One provider's door."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    narrow_until: float = 0.0


class Admission:
    """Lets rows through to the paid call.

    Args:
        ledger: knows what is under way already.
        until: moment of ``time.monotonic()`` at which the run ends.
        stopping: whether it has been asked to end before.
    """

    def __init__(self, ledger: "Ledger", *, until: float, stopping: Stopping) -> None:
        self._ledger, self._until, self._stopping = ledger, until, stopping
        self._gates: defaultdict[str, _Gate] = defaultdict(_Gate)
        self._too_dear: dict[tuple[str, str, str], tuple[Decimal, float, BudgetExceeded]] = {}

    def check(self) -> None:
        """Go on while the run goes on.

        Raises:
            NotBegun: it has been asked to end, or its time is over.
        """
        if self._stopping.asked.is_set():
            raise NotBegun("the run was asked to end before this row was submitted.", fix=_AGAIN)
        if time.monotonic() > self._until:
            raise NotBegun("the time of the run was over before this row was submitted.", fix=_AGAIN)

    async def admitted(self, plans: Sequence[RenderPlan], submit: Callable[[], Awaitable[Entry]]) -> Entry:
        """Submit, again and again while the provider does not accept now.

        Args:
            plans: of the row, best first.
            submit: offers it once.

        Raises:
            NotBegun: the run ended first.
            BudgetExceeded: as much was refused a moment ago.
            StudioError: what ``submit`` raises.
        """
        gate = self._gates[plans[0].provider]
        while True:
            await self._check_budget(plans)
            self.check()
            try:
                if time.monotonic() > gate.narrow_until:
                    return await self._offered(submit)
                async with gate.turn:
                    self.check()
                    return await self._offered(submit)
            except (ProviderBusy, ProviderUnavailable) as error:
                if not may_repeat_submit(error):
                    raise
                log.info("not accepted now, waiting provider=%s error=%s", plans[0].provider, error)
                gate.narrow_until = time.monotonic() + NARROW_SECONDS
                await self._rest(max(PAUSE_SECONDS, asked_pause(error)), error)

    async def _offered(self, submit: Callable[[], Awaitable[Entry]]) -> Entry:
        try:
            return await submit()
        except BudgetExceeded as error:
            key = (error.provider, error.account, error.unit or "")
            least = error.estimate if error.estimate is not None else Decimal(0)
            known = self._too_dear.get(key)
            if known is None or least < known[0] or known[1] < time.monotonic():
                self._too_dear[key] = (least, time.monotonic() + BUDGET_SECONDS, error)
            raise

    async def _check_budget(self, plans: Sequence[RenderPlan]) -> None:
        """Refuse what was refused a moment ago, unless it is under way and so paid for already."""
        refusals = [self._refusal(plan) for plan in plans]
        if not all(refusals):
            return
        found = await self._ledger.find_many([plan.render_key for plan in plans])
        if refusals[0] is not None and not any(entry.is_open for entry in found.values()):
            raise refusals[0]

    def _refusal(self, plan: RenderPlan) -> BudgetExceeded | None:
        known = self._too_dear.get((plan.provider, plan.account, plan.estimate.unit))
        if known is None or known[1] < time.monotonic() or plan.estimate.amount is None:
            return None
        return known[2] if plan.estimate.amount >= known[0] > 0 else None

    async def _rest(self, seconds: float, error: StudioError) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if time.monotonic() > self._until:
                raise error
            self.check()
            await asyncio.sleep(min(left, LOOK_SECONDS))


_AGAIN = "Run the same batch again: it goes on with what is missing."
