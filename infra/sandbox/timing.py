"""How long a job takes: the settings, the length of its speech, and a dice that falls the same way for the same job."""

import hashlib

from infra.sandbox.knobs import Knobs


def lasting(knobs: Knobs, job_id: str, speech_seconds: float) -> float:
    """Seconds from acceptance to the end of a job.

    Args:
        knobs: the settings as they are now.
        job_id: decides about chance.
        speech_seconds: length of the speech, as far as it is known.
    """
    chance = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8]) / 2**64
    if knobs.render_seconds_low is not None and knobs.render_seconds_high is not None:
        return knobs.render_seconds_low + chance * (knobs.render_seconds_high - knobs.render_seconds_low)
    seconds = knobs.render_seconds + knobs.render_seconds_per_speech_second * speech_seconds
    return seconds * (1 + knobs.render_seconds_spread * (2 * chance - 1))
