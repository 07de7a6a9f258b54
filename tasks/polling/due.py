"""Whose turn it is: a heap of due times, and fairness between owners among those that are due."""

import heapq
from collections import OrderedDict, deque
from itertools import count

from tasks.polling.jobs import Job

MOST_STALE = 1000


class DueQueue:
    """Jobs by the time of their next question, in the loop's time; each operation costs O(log n)."""

    def __init__(self) -> None:
        self._tickets = count(1)
        self._heap: list[tuple[float, int, Job]] = []
        self._ready: OrderedDict[str, deque[tuple[int, Job]]] = OrderedDict()
        self._stale = 0

    def put(self, job: Job, due: float) -> None:
        """Plan a job; an earlier plan of it is forgotten."""
        self.remove(job)
        job.ticket = next(self._tickets)
        heapq.heappush(self._heap, (due, job.ticket, job))

    def hurry(self, job: Job) -> None:
        """Make a job the next of its owner."""
        self.remove(job)
        job.ticket = next(self._tickets)
        self._ready.setdefault(job.owner, deque()).appendleft((job.ticket, job))

    def remove(self, job: Job) -> None:
        """Forget the plan of a job, if it has one."""
        if job.ticket:
            job.ticket = 0
            self._stale += 1
            if self._stale > max(MOST_STALE, len(self._heap) // 2):
                self._tidy()

    def next_due(self) -> float | None:
        """When the next job is due; None without any. Earlier than now while there are some that wait their turn."""
        if self._ready:
            return float("-inf")
        return self._heap[0][0] if self._heap else None

    def take(self, now: float, most: int) -> list[Job]:
        """Take jobs that are due, of each owner in turn."""
        while self._heap and self._heap[0][0] <= now:
            _, ticket, job = heapq.heappop(self._heap)
            if job.ticket == ticket:
                self._ready.setdefault(job.owner, deque()).append((ticket, job))
        taken: list[Job] = []
        while self._ready and len(taken) < most:
            owner, line = next(iter(self._ready.items()))
            ticket, job = line.popleft()
            if job.ticket == ticket:
                job.ticket = 0
                taken.append(job)
                self._ready.move_to_end(owner)
            if not line:
                del self._ready[owner]
        return taken

    def _tidy(self) -> None:
        """Free what was planned anew: those places hold their jobs in memory."""
        self._heap = [place for place in self._heap if place[2].ticket == place[1]]
        heapq.heapify(self._heap)
        self._stale = 0
