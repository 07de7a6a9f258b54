"""When the frames of a drive leave: by audio time, a little ahead of it, and never in bursts (section 5.4)."""

FRAME_SECONDS = 0.1
AHEAD = 1.25
"""While the lead is built up, so many times as much audio is sent as time has passed. The vendor's page bears 1.3 well;
what is left of that is for frames that the network brings closer together."""
MOST_AHEAD = 1.3
"""Speed at which a sender that was held up catches up."""
LEAD_SECONDS = 1.0
"""Audio that the listener has in hand: a hold-up of this length is not heard, and an interruption is not late."""
DRY_SECONDS = 0.2
"""A hold-up so much longer than the lead is not made up for: the listener has heard the hole."""

_WAITED_SECONDS = 0.005


class Pace:
    """The schedule of one drive. Times are of a monotonic clock; all figures are seconds.

    The audio that was sent is at most ``AHEAD`` times the time since the first frame, and at most ``LEAD_SECONDS`` more
    than it. Delays are told apart: those of the source, such as a live pipe, are not the sender's.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.seconds = 0.0
        """Audio that was sent."""
        self.latest = 0.0
        """The most that a frame left after its time."""
        self._base = self._fed = 0.0
        self._line = 0.0
        """When the frame leaves if nothing is late."""
        self._planned = self._length = 0.0
        """When the last frame was to leave, and its audio."""
        self._excused = 0.0
        """How much of the delay is the source's."""
        self._behind = self._slipped = 0.0
        self._again = False

    @property
    def drift(self) -> float:
        """How much later than its time the last frame left, with what the sender did not make up for before."""
        return self._slipped + self._behind

    def due(self, asked: float, ready: float, length: float) -> float:
        """When a frame may leave: not before it was there.

        Args:
            asked: since when the sender wanted it.
            ready: when the source gave it.
            length: its audio.
        """
        if not self.frames:
            self._base = self._line = self._planned = ready
            return ready
        waited = ready - asked > _WAITED_SECONDS
        line = self._base + self._offset(length)
        if ready > self._base + self._fed + DRY_SECONDS:
            self._slipped += 0.0 if waited else ready - line - self._excused
            self._base, self._fed, self._again, line = ready, 0.0, True, ready
        due = max(ready, line, self._planned + self._length / MOST_AHEAD)
        self._excused = max(0.0, ready - line if waited else min(self._excused, due - line))
        self._line, self._planned = line, due
        return due

    def sent(self, now: float, length: float) -> None:
        """Note that the frame left now."""
        self._behind = max(0.0, now - self._line - self._excused)
        self.latest = max(self.latest, self._behind)
        self.frames += 1
        self.seconds += length
        self._fed += length
        self._length = length

    def _offset(self, length: float) -> float:
        """Time of the next frame, after the first."""
        after = self._fed + length
        # At the beginning even one frame in hand is more than AHEAD; two would be a burst. Later the listener has run
        # dry, and needs the lead back.
        rising = self._fed / AHEAD if self._again else min(self._fed, after / AHEAD)
        return max(rising, after - LEAD_SECONDS)
