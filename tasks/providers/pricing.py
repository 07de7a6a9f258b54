"""What a render will probably cost, from the prices that the operator has written down; unknown stays unknown."""

from collections.abc import Mapping
from decimal import Decimal

from tasks.providers.base import Estimate
from tasks.settings import Price


def estimate_cost(
    prices: Mapping[str, Price], provider: str, mode: str, *, seconds: float | None, characters: int | None
) -> Estimate:
    """Estimate from the price of ``provider/mode``, else of ``provider``.

    Args:
        prices: the operator's table.
        provider: name of the provider.
        mode: its quality or speed class; may be empty.
        seconds: length of the speech, where it is known.
        characters: length of the script, where there is one.

    Returns:
        An estimate whose amount is None when there is no price, or when the price counts what is not known.
    """
    price = prices.get(f"{provider}/{mode}") or prices.get(provider)
    if price is None:
        return Estimate(amount=None, unit="")
    amount = price.per_video
    if price.per_100_characters and characters is not None:
        amount += price.per_100_characters * characters / 100
    elif price.per_second:
        if seconds is None:
            return Estimate(amount=None, unit=price.unit)
        amount += price.per_second * Decimal(str(seconds))
    return Estimate(amount=round(amount, 4), unit=price.unit)
