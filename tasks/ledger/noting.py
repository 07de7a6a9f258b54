"""What is noted beside the submissions: charges, hints, troubles, restarts."""

from tasks.ledger.breakers import close_breaker, count_trouble, win_trial
from tasks.ledger.costs import record_charge
from tasks.ledger.hints import add_hint
from tasks.ledger.models import Breaker, Charge
from tasks.ledger.reading import LedgerReader
from tasks.ledger.restarts import add_restart


class LedgerNotes(LedgerReader):
    """Notes that move no submission from one state to another."""

    async def record_charge(self, charge: Charge) -> None:
        """Note money that a provider says it took; assigned to a submission now, later, or shown as unassigned."""
        await self._database.write(lambda connection: record_charge(connection, charge))

    async def note_hint(self, provider: str, order_id: str, job_id: str) -> None:
        """Keep a job id that a notice named, if the ledger knows the order; at most 20 per order."""
        now = self._clock()
        await self._database.write(lambda connection: add_hint(connection, provider, order_id, job_id, now))

    async def note_trouble(self, provider: str, endpoint: str, reason: str, *, is_trial: bool = False) -> Breaker:
        """Count one more call in a row that failed for no fault of its own; from the fifth on the breaker opens.

        A trouble whose commit answer is lost may count twice, which opens the breaker a little early.
        """
        now = self._clock()
        return await self._database.write(
            lambda connection: count_trouble(connection, provider, endpoint, reason, now, is_trial=is_trial)
        )

    async def note_health(self, provider: str, endpoint: str) -> None:
        """Close the breaker; a mere look while nothing is wrong."""
        if await self.breaker(provider, endpoint):
            await self._database.write(lambda connection: close_breaker(connection, provider, endpoint))

    async def take_trial(self, breaker: Breaker) -> bool:
        """Take the one call that tries whether a provider is back, once the breaker's time is over.

        Returns:
            False when another call has it; the breaker is open again until that one is answered.
        """
        now = self._clock()
        return await self._database.write(lambda connection: win_trial(connection, breaker, now))

    async def count_restart(self, flow_run_id: str) -> int:
        """Count one more restart of a flow run and return how many there were."""
        now = self._clock()
        return await self._database.write(lambda connection: add_restart(connection, flow_run_id, now))
