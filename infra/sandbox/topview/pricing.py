"""What a TopView video costs: credits for every started second, by mode; a script is priced by its length."""

import math
from decimal import Decimal
from pathlib import Path

import av

from infra.sandbox.guesses import CREDITS_PER_SECOND
from infra.sandbox.speech import spoken_seconds
from infra.sandbox.topview.order import Order


def price(mode: str, seconds: float) -> Decimal:
    """Credits for so many seconds of speech."""
    return CREDITS_PER_SECOND[mode] * math.ceil(seconds)


def expected_price(order: Order, recording: Path | None) -> Decimal:
    """Credits to set aside at acceptance; a recording of unknown length counts as none, as its render will fail."""
    if recording is None:
        return price(order.mode, spoken_seconds(order.script or "", order.speed))
    try:
        with av.open(str(recording)) as container:
            return price(order.mode, (container.duration or 0) / av.time_base)
    except (av.FFmpegError, OSError):
        return Decimal(0)
