"""How many queries a vendor gets in a second."""

import time
from collections import defaultdict, deque

from infra.sandbox.records import Vendor
from infra.sandbox.truth import Truth

_WINDOW_SECONDS = 1.0


class RateMeter:
    """Counts the queries of each vendor over the last second; with ZEGO the calls of each action."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._recent: defaultdict[tuple[Vendor, str], deque[float]] = defaultdict(deque)

    def admit(self, vendor: Vendor, call: str) -> bool:
        """Whether one more query is answered; one above the allowed rate is counted as such."""
        now, knobs = time.monotonic(), self._truth.knobs
        each_call = vendor == "zego"
        allowed = knobs.zego_calls_per_second if each_call else knobs.queries_per_second
        recent = self._recent[vendor, call if each_call else ""]
        while recent and recent[0] <= now - _WINDOW_SECONDS:
            recent.popleft()
        if len(recent) >= allowed * _WINDOW_SECONDS:
            self._truth.count_over_rate(vendor)
            if knobs.enforce_rate:
                return False
        recent.append(now)
        return True

    def forget(self) -> None:
        """Start anew."""
        self._recent.clear()
