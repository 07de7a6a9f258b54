"""Rules that all paid providers share."""

from tasks.errors import Problem
from tasks.providers.base import ProbedMedia

SHORTEST_PAID_SPEECH = 0.5
"""Seconds; no provider documents a minimum, and nobody means to pay for less."""


def too_short(recording: ProbedMedia | None) -> list[Problem]:
    """Refuse a recording that is hardly one, before it is paid for."""
    if recording is None or recording.seconds is None or recording.seconds >= SHORTEST_PAID_SPEECH:
        return []
    wrong = f"it lasts {recording.seconds:.2f} s, too short for a video that costs money."
    return [Problem("speech.audio", wrong, f"Give at least {SHORTEST_PAID_SPEECH:g} s.")]
