"""Money: what the providers' own books say, beside what the ledger expects."""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import ValidationError

from tasks.errors import StudioError
from tasks.ledger import Charge, CostLine
from tasks.ledger.opening import open_ledger
from tasks.leftovers import Note, Verdict, judge
from tasks.providers.base import Provider, SeenCharge
from tasks.registry import candidates
from tasks.step import step

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

WRITTEN_LATE = timedelta(days=7)
"""All parts of a job's cost, refunds too, are in the books by then."""

log = logging.getLogger("studio.reconcile")


@step("read the providers' books")
async def read_charges(until: float) -> list[Note]:
    """Note in the ledger what each provider's books say it took lately.

    Lately is since a week before the newest charge that is known, as books are written late; at first since the
    start of last month.

    A charge belongs to the submission with its job id; what no submission explains is shown, not dropped.

    Returns:
        A line for each provider with something to tell.
    """
    at_first = start_of_month(start_of_month(datetime.now(UTC)) - timedelta(days=1))
    notes: list[Note] = []
    try:
        # Those that are not set up here have no books.
        providers, _not_set_up = await candidates("auto")
    except StudioError as error:
        verdict, told, next_step = judge(error, "charges")
        return [Note(verdict=verdict, what="charges", done=told, next_step=next_step)]
    async with open_ledger() as ledger:
        for provider in providers:
            try:
                latest = await ledger.latest_charge(provider.name, provider.account)
                since = _since(latest, at_first)
                # Of a job whose parts may lie before the window, an earlier pass has seen all.
                seen_since = since + WRITTEN_LATE if since > at_first else since
                notes += await _read_books(ledger, provider, since, seen_since, until)
            except Exception as error:  # noqa: BLE001 - reported, provider by provider
                verdict, told, next_step = judge(error, f"charges provider={provider.name}")
                notes.append(_note(provider, told, verdict, next_step))
    return notes


def _since(latest: datetime | None, at_first: datetime) -> datetime:
    """Where to begin: two spans before the newest known charge, which a wrong clock may have put into the future."""
    if latest is None:
        return at_first
    return max(at_first, min(latest, datetime.now(UTC)) - 2 * WRITTEN_LATE)


async def _read_books(
    ledger: "Ledger", provider: Provider, since: datetime, seen_since: datetime, until: float
) -> list[Note]:
    unexplained: list[SeenCharge] = []
    for seen in _by_job(await provider.charges(since)):
        if seen.at < seen_since:
            continue
        if time.monotonic() > until:
            return [_note(provider, "no time was left in this pass", Verdict.WAITS)]
        try:
            if not await _assign(ledger, provider, seen):
                unexplained.append(seen)
        except ValidationError as error:
            # A senseless row must not hide the others.
            log.warning("charge not kept provider=%s problems=%d", provider.name, error.error_count())
            unexplained.append(seen.model_copy(update={"amount": Decimal(0)}))
    if not unexplained:
        return []
    log.warning("charges that no submission explains provider=%s count=%d", provider.name, len(unexplained))
    total = sum((seen.amount for seen in unexplained), Decimal(0))
    jobs = ", ".join(seen.job_id for seen in unexplained[:5]) + (", …" if len(unexplained) > 5 else "")
    told = f"{total.normalize():f} {unexplained[0].unit} since {since:%Y-%m-%d} belong to no render: job {jobs}"
    return [_note(provider, told, Verdict.SHOWN, "Jobs of other programs are shown so too; `studio costs` sums them.")]


async def _assign(ledger: "Ledger", provider: Provider, seen: SeenCharge) -> bool:
    """Note a charge, unless the ledger has it; whether a submission explains it."""
    entry = await ledger.find_job(provider.name, seen.job_id)
    is_ours = entry is not None and (entry.account, entry.endpoint) == (provider.account, provider.endpoint)
    if is_ours and entry is not None and (entry.charge, entry.unit) == (seen.amount, seen.unit):
        return True
    await ledger.record_charge(
        Charge(
            provider=provider.name,
            account=provider.account,
            reference=seen.job_id,
            at=seen.at,
            amount=seen.amount,
            unit=seen.unit,
            submission_id=entry.id if is_ours and entry is not None else None,
        )
    )
    return is_ours


def _by_job(charges: Sequence[SeenCharge]) -> list[SeenCharge]:
    """One charge a job: books may list a hold, a rest and a refund."""
    jobs: dict[tuple[str, str], list[SeenCharge]] = defaultdict(list)
    for charge in charges:
        jobs[charge.job_id, charge.unit].append(charge)
    return [
        parts[0].model_copy(
            update={"amount": sum((part.amount for part in parts), Decimal(0)), "at": max(part.at for part in parts)}
        )
        for parts in jobs.values()
    ]


def _note(provider: Provider, told: str, verdict: Verdict, next_step: str = "") -> Note:
    return Note(verdict=verdict, what="charges", provider=provider.name, done=told, next_step=next_step)


async def costs_this_month() -> list[CostLine]:
    """This calendar month (UTC), by provider, account and unit."""
    async with open_ledger() as ledger:
        return await ledger.costs(since=start_of_month(datetime.now(UTC)))


def start_of_month(moment: datetime) -> datetime:
    """The first moment of its calendar month."""
    return moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
