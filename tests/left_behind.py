"""Ledger rows as crashes leave them, and a provider that knows what became of their jobs."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

from pydantic import JsonValue

from tasks.delivery import Delivery
from tasks.errors import JobUnknown, ResultExpired
from tasks.ledger import Entry, Intent, State
from tasks.ledger.store import Ledger
from tasks.models import Labels
from tasks.providers.base import JobStatus, ResultFile, Sighting, SubmitOrder
from tasks.settings import get_settings
from tests.scripted_provider import ScriptedProvider

DELIVERY = Delivery(title="Left behind", tags=["night"], labels=Labels(text="AI"))
RUNNING = JobStatus(phase="running", word="rendering")


@dataclass
class KnowingProvider(ScriptedProvider):
    """Answers by job and by order; what a test does not mention is unknown."""

    jobs: dict[str, JobStatus | Exception] = field(default_factory=dict)
    sightings: dict[str, Sighting] = field(default_factory=dict)
    downloads: int = 0

    async def look_up(self, order: SubmitOrder, hints: object, is_taken: object = None) -> Sighting:
        return self.sightings.get(order.render_key, Sighting(seen="unknown"))

    async def query(self, job_id: str) -> JobStatus:
        self.queries += 1
        answer = self.jobs.get(job_id, JobUnknown("no such job", provider=self.name, job_id=job_id))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        path = Path(result.location)
        if not path.exists():  # noqa: ASYNC240 - a test double
            raise ResultExpired("the result is gone", provider=self.name)
        self.downloads += 1
        yield path.read_bytes()[offset:]  # noqa: ASYNC240 - a small file


def done(video: Path) -> JobStatus:
    """A finished job."""
    return JobStatus(phase="succeeded", word="done", result=ResultFile(location=str(video), speech_seconds=1.0))


def key_of(name: str) -> str:
    """A render key for a name."""
    return sha256(name.encode()).hexdigest()


async def leave(
    name: str,
    state: State,
    *,
    hours: float = 1,
    account: str = "local",
    context: dict[str, JsonValue] | None = None,
    location: str = "s3://archive/none",
) -> Entry:
    """Leave a row in a state since some hours ago; its job is called after it."""
    moment = datetime.now(UTC) - timedelta(hours=hours)
    intent = Intent(
        render_key=key_of(name),
        provider="local",
        account=account,
        endpoint="file:test",
        title=name,
        estimate=Decimal(2),
        unit="credits",
        context=DELIVERY.model_dump(mode="json") if context is None else context,
    )
    get_settings().root.mkdir(parents=True, exist_ok=True)
    async with await Ledger.open(get_settings().ledger_database_url(), clock=lambda: moment) as ledger:
        entry, _ = await ledger.reserve(intent, owner="dead")
        if state is State.RESERVED:
            return entry
        entry = await ledger.mark_submitting(entry.id, "dead")
        if state is State.AMBIGUOUS:
            return await ledger.mark_ambiguous(entry, "no answer", owner="dead")
        if state is State.SUBMITTING:
            return entry
        entry = await ledger.mark_submitted(entry.id, f"job-{name}", owner="dead")
        if state is State.SUBMITTED:
            return entry
        entry = await ledger.mark_succeeded(entry.id, {"location": "old link"}, owner="dead")
        return entry if state is State.SUCCEEDED else await ledger.mark_archived(entry.id, location, owner="dead")
