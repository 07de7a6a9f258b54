"""How often a part that dies is started again, and after which pause."""

import time
from collections import deque
from collections.abc import Callable

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 20.0
MOST_RESTARTS = 6
"""Within the window below; more means that restarting does not help soon."""
WINDOW_SECONDS = 300.0
HOPELESS_PAUSE_SECONDS = 60.0


class RestartBudget:
    """Growing pauses between restarts; never an end, since a full disk may be cleared and the studio runs unattended.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._recent: deque[float] = deque()

    def next_pause(self) -> float:
        """Seconds to wait before the next restart."""
        now = self._clock()
        while self._recent and now - self._recent[0] > WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= MOST_RESTARTS:
            return HOPELESS_PAUSE_SECONDS
        self._recent.append(now)
        return float(min(FIRST_PAUSE_SECONDS * 2 ** (len(self._recent) - 1), LONGEST_PAUSE_SECONDS))
