"""What a batch would probably cost and how long it would take, added up plan by plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median, quantiles
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from tasks.ledger.batch_models import Duration
from tasks.plan import RenderPlan
from tasks.settings import StudioSettings

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

LOCAL = "local"


class Money(BaseModel):
    """What videos at one provider would cost, in one unit."""

    model_config = ConfigDict(frozen=True)

    provider: str
    unit: str = Field(description="Empty where no price is known.")
    videos: int
    amount: Decimal = Field(description="Of those with a known price.")
    unpriced: int = Field(description="Videos whose price is unknown.")


@dataclass(slots=True)
class _Cost:
    videos: int = 0
    amount: Decimal = Decimal(0)
    unpriced: int = 0


@dataclass(slots=True)
class Work:
    """Seconds of speech that a provider's mode would have to render."""

    videos: int = 0
    total: float = 0.0
    longest: float = 0.0
    unknown: int = 0


class Sums:
    """Adds up plans."""

    def __init__(self) -> None:
        self._costs: dict[tuple[str, str], _Cost] = {}
        self.works: dict[tuple[str, str], Work] = {}
        """By provider and mode."""

    def add(self, plan: RenderPlan) -> None:
        """Add one video that is to be rendered."""
        estimate = plan.estimate
        cost = self._costs.setdefault((plan.provider, estimate.unit), _Cost())
        cost.videos += 1
        if estimate.amount is None:
            cost.unpriced += 1
        else:
            cost.amount += estimate.amount
        work = self.works.setdefault((plan.provider, plan.mode), Work())
        work.videos += 1
        if plan.work is None:
            work.unknown += 1
        else:
            work.total += plan.work
            work.longest = max(work.longest, plan.work)

    def money(self) -> list[Money]:
        """The sums by provider and unit."""
        return [
            Money(provider=provider, unit=unit, videos=cost.videos, amount=cost.amount, unpriced=cost.unpriced)
            for (provider, unit), cost in sorted(self._costs.items())
        ]


async def expected_seconds(
    sums: Sums, ledger: "Ledger | None", in_flight: int, settings: StudioSettings
) -> tuple[float | None, list[str]]:
    """Wall time of all that is to be rendered, and the providers whose history does not tell.

    Args:
        sums: what is to be rendered.
        ledger: holds the history; None while there is none.
        in_flight: most renders of the batch at the same time.
        settings: the limits of the accounts.

    Returns:
        None for the time when any provider has no history or any length is unknown.
    """
    busy: dict[str, float] = {}
    longest = 0.0
    untimed = set()
    for (provider, mode), work in sums.works.items():
        history = await ledger.durations(provider, mode) if ledger else []
        lanes = lanes_of(provider, settings)
        pace = seconds_per_work(history, queues=lanes is not None)
        if pace is None or work.unknown:
            untimed.add(provider)
            continue
        busy[provider] = busy.get(provider, 0.0) + pace * work.total / min(in_flight, lanes or in_flight)
        longest = max(longest, pace * work.longest)
    if untimed:
        return None, sorted(untimed)
    # Providers render side by side, under one limit for all of them together.
    shared = sum(busy[name] * min(in_flight, lanes_of(name, settings) or in_flight) for name in busy) / in_flight
    return max([*busy.values(), longest, shared], default=0.0), []


def lanes_of(provider: str, settings: StudioSettings) -> int | None:
    """Renders at the same time that a provider does; None where nothing is known of a limit."""
    return settings.local_pool_size if provider == LOCAL else settings.concurrency.get(provider)


def seconds_per_work(history: Sequence[Duration], *, queues: bool) -> float | None:
    """Seconds of rendering for a second of speech, from the history; None without any.

    Args:
        history: what earlier renders took.
        queues: renders wait for each other there, so that only the quickest tell how long a render itself takes.
    """
    paces = [found.finished / found.work for found in history if found.work]
    if not paces:
        return None
    return quantiles(paces, n=10, method="inclusive")[0] if queues and len(paces) > 1 else median(paces)
