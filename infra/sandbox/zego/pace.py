"""How the audio of one drive came in, measured against how it is played. Plain arithmetic on a given clock."""

import time
from typing import Any

from infra.sandbox.zego.media_guesses import JITTER_SECONDS

SAMPLE_BYTES = 2
_WARM_SECONDS = 1.0
_NOTHING = 1e-6
"""Seconds below which a difference of sums of floats is none."""


class Pace:
    """The buffer between the arrival and the playout of one drive.

    What arrives is played at the speed of speech from ``JITTER_SECONDS`` after the first byte on. A buffer that runs
    empty before the audio was declared complete is an under-run; it plays on with the next byte.

    Args:
        sample_rate: of the audio, in Hz; signed 16-bit mono.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.at = 0.0
        """Moment up to which playout is accounted for."""
        self.complete = False
        self._bytes_per_second = sample_rate * SAMPLE_BYTES
        self._first_at: float | None = None
        self._first_byte_at: float | None = None
        self._frames = self._bytes = self._first_bytes = 0
        self._played = 0.0
        self._starving = False
        self._underruns, self._starved = 0, 0.0
        self._most_ahead = self._fastest = 0.0
        self._least_lead: float | None = None
        self._most_lead = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether anything came."""
        return self._first_at is not None

    @property
    def fed(self) -> float:
        """Seconds of audio that came."""
        return self._bytes / self._bytes_per_second

    @property
    def left(self) -> float:
        """Seconds of audio that came and are not played yet."""
        return self.fed - self._played

    @property
    def is_said(self) -> bool:
        """Whether all audio came and was played."""
        return self.complete and self.left <= _NOTHING

    def take(self, size: int, now: float) -> None:
        """Note that so many bytes came now. ``advance`` to now first."""
        if self._first_at is None:
            self._first_at, self._first_byte_at, self._first_bytes = now, time.time(), size
            self.at = now + JITTER_SECONDS
        elif now >= self.at:
            self._least_lead = self.left if self._least_lead is None else min(self._least_lead, self.left)
        self._frames += 1
        self._bytes += size
        self._starving = False
        self._most_lead = max(self._most_lead, self.left)
        elapsed = now - self._first_at
        if self.fed >= _WARM_SECONDS and elapsed > 0:
            self._most_ahead = max(self._most_ahead, self.fed / elapsed)
            later = (self._bytes - self._first_bytes) / self._bytes_per_second
            self._fastest = max(self._fastest, later / elapsed)

    def advance(self, now: float) -> float:
        """Play up to now; returns the seconds of audio that were played, which come before any under-run."""
        if not self.has_begun or now <= self.at:
            return 0.0
        passed = now - self.at
        played = min(passed, self.left)
        if passed > played + _NOTHING and not self.complete:
            self._underruns += not self._starving
            self._starving = True
            self._starved += passed - played
        self._played += played
        self.at = now
        return played

    def facts(self) -> dict[str, Any]:
        """What was measured, as JSON.

        Seconds of speech are in ``seconds``, ``played_seconds`` and the leads: audio that came and was not played yet,
        least as the next frame came and most after a frame. ``most_ahead`` is the largest ratio of all audio that had
        come to the time since the first byte, once a second of audio was there; ``fastest`` leaves out the frame that
        began that time, and so is the speed of the sender. ``first_byte_at`` is in seconds since the epoch.
        """
        return {
            "sample_rate": self.sample_rate,
            "first_byte_at": self._first_byte_at,
            "frames": self._frames,
            "bytes": self._bytes,
            "seconds": round(self.fed, 6),
            "played_seconds": round(self._played, 6),
            "underruns": self._underruns,
            "underrun_seconds": round(self._starved, 6),
            "most_ahead": round(self._most_ahead, 4),
            "fastest": round(self._fastest, 4),
            "least_lead_seconds": None if self._least_lead is None else round(self._least_lead, 6),
            "most_lead_seconds": round(self._most_lead, 6),
        }
