"""What a TopView video costs: credits for every started second, by mode; a script is priced by its length."""

import math
from decimal import Decimal
from pathlib import Path

from infra.sandbox.guesses import CREDITS_PER_SECOND
from infra.sandbox.speech import recorded_seconds, spoken_seconds
from infra.sandbox.topview.order import Order


def price(mode: str, seconds: float) -> Decimal:
    """Credits for so many seconds of speech."""
    return CREDITS_PER_SECOND[mode] * math.ceil(seconds)


def expected_seconds(order: Order, recording: Path | None) -> float:
    """Seconds of speech, as acceptance sees them; 0 for a recording of unknown length, as its render will fail."""
    return recorded_seconds(recording) if recording else spoken_seconds(order.script or "", order.speed)
