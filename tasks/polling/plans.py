"""The next questions, written to the ledger in bulk."""

from typing import TYPE_CHECKING
from uuid import UUID

from tasks.ledger.batch_models import PollPlan
from tasks.polling.jobs import Job

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

MOST_AT_ONCE = 500
"""Plans in one transaction: more would keep the event loop for too long."""


class PlanBook:
    """Plans that are not in the ledger yet, the last one of each job."""

    def __init__(self, ledger: "Ledger") -> None:
        self._ledger = ledger
        self._plans: dict[UUID, tuple[Job, PollPlan]] = {}

    def add(self, job: Job, plan: PollPlan) -> None:
        """Note a plan; one without a moment at which the job was found unfinished keeps the earlier one's."""
        before = self._plans.get(job.entry_id)
        if before is not None and plan.unfinished_at is None:
            plan = plan._replace(unfinished_at=before[1].unfinished_at)
        self._plans[job.entry_id] = (job, plan)

    def discard(self, job: Job) -> None:
        """Forget the plan of a job."""
        before = self._plans.get(job.entry_id)
        if before is not None and before[0] is job:
            del self._plans[job.entry_id]

    async def write(self) -> None:
        """Write down all plans; one that crosses a notice is not written, and the next news bring the notice."""
        while self._plans:
            some = [self._plans.pop(entry_id) for entry_id in list(self._plans)[:MOST_AT_ONCE]]
            # A row that had no plan is given this one.
            await self._ledger.plan_polls([plan._replace(seen=job.stored_plan or plan.at) for job, plan in some])
            for job, plan in some:
                job.written_plan = job.stored_plan = plan.at
