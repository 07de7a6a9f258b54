"""How far this machine's clock is from ZEGO's, by the Date header of its answers; section 1.2 of the vendor page."""

import logging
from datetime import datetime, timedelta
from functools import lru_cache

from tasks.providers.zego.assumptions import MOST_CLOCK_SKEW, WARNED_CLOCK_SKEW

_MINUTE = timedelta(minutes=1)

log = logging.getLogger("studio.zego")


def told_skew(vendor: datetime | None, now: datetime) -> str:
    """One sentence on the difference, for a call that was refused over its time.

    Args:
        vendor: the time of the answer; None where it has none.
        now: this machine's time.
    """
    if vendor is None:
        return "The answer has no Date header, so it is not known how far this machine's clock is off."
    skew = now - vendor
    if abs(skew) < MOST_CLOCK_SKEW:
        return (
            f"This machine's clock is only {abs(skew) / _MINUTE:.1f} min off by the answer's Date header, "
            "so the vendor goes by another clock."
        )
    side = "ahead of" if skew > timedelta(0) else "behind"
    return (
        f"This machine's clock is {abs(skew) / _MINUTE:.0f} min {side} the vendor's (by its Date header); "
        f"{MOST_CLOCK_SKEW / _MINUTE:.0f} min are allowed."
    )


def warn_of_skew(vendor: datetime | None, now: datetime) -> None:
    """Log a clock that is on its way to being refused, once per process and minute of difference."""
    if vendor is not None and abs(now - vendor) > WARNED_CLOCK_SKEW:
        _warn(round((now - vendor) / _MINUTE))


@lru_cache(maxsize=60)
def _warn(minutes_ahead: int) -> None:
    log.warning("clock differs from the vendor's minutes_ahead=%d allowed=%d", minutes_ahead, MOST_CLOCK_SKEW / _MINUTE)
