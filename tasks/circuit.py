"""The circuit breaker before a submission: a provider in trouble is left alone, and then tried by one render."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tasks.errors import ProviderBusy
from tasks.providers.base import Provider

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

NEXT_TRY_SECONDS = 10.0
"""How long a run waits for what comes of another run's try."""


async def pass_circuit(ledger: "Ledger", provider: Provider) -> bool:
    """Go on while the provider's circuit is closed, or as the one call that tries it; whether this is that one.

    Raises:
        ProviderBusy: the circuit is open.
    """
    breaker = await ledger.breaker(provider.name, provider.endpoint)
    if breaker is None or breaker.open_until is None:
        return False
    now = datetime.now(UTC)
    if not breaker.is_open(now) and await ledger.take_trial(breaker):
        return True
    raise ProviderBusy(
        f"{provider.name} has been in trouble {breaker.failures} times in a row, lastly: {breaker.reason} "
        f"Nothing is sent to it until {max(now, breaker.open_until):%H:%M:%S} UTC, and then one render to try.",
        provider=provider.name,
        retry_after=max(NEXT_TRY_SECONDS, (breaker.open_until - now).total_seconds()),
        fix="Run the request again after that; nothing was spent.",
    )
