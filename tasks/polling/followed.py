"""The jobs that are followed, by their ledger rows; several runs of one process may follow the same row."""

from collections.abc import Iterator
from uuid import UUID

from tasks.polling.jobs import Job


class Followed:
    """A register of jobs; all but the iteration over all of them costs the same however many there are."""

    def __init__(self) -> None:
        self._first: dict[UUID, Job] = {}
        self._more: dict[UUID, list[Job]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Job]:
        return iter([*self._first.values(), *(job for jobs in self._more.values() for job in jobs)])

    def of(self, entry_id: UUID) -> list[Job]:
        """The jobs of a row."""
        first = self._first.get(entry_id)
        return [] if first is None else [first, *self._more.get(entry_id, [])]

    def add(self, job: Job) -> None:
        """Begin to follow."""
        if job.entry_id in self._first:
            self._more.setdefault(job.entry_id, []).append(job)
        else:
            self._first[job.entry_id] = job
        self._count += 1

    def remove(self, job: Job) -> None:
        """Follow no longer."""
        rest = [other for other in self.of(job.entry_id) if other is not job]
        self._more.pop(job.entry_id, None)
        del self._first[job.entry_id]
        self._count -= 1 + len(rest)
        for other in rest:
            self.add(other)
