"""What a pass of `reconcile` leaves behind: report, costs, an event for each open question, and its last state."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.states import Completed, Failed

from tasks.charges import costs_this_month
from tasks.ledger import CostLine
from tasks.leftovers import Leftover, Note, Verdict
from tasks.step import step

REPORT_KEY = "reconcile-report"
COSTS_KEY = "costs"
PERSON_EVENT = "studio.needs-a-person"
SHOWN_ROWS = 500
"""Rows of the report; a longer one would not be read, and its artifact would be refused by some proxies."""

# The most urgent first.
_ORDER = [Verdict.BROKEN, Verdict.PERSON, Verdict.WAITS, Verdict.DONE, Verdict.SHOWN]

log = logging.getLogger("studio.reconcile")


@step("report")
async def report_pass(rows: Sequence[Leftover], notes: Sequence[Note]) -> list[Note]:
    """Show the report and the costs of this month on the run's page, and emit an event for each open question.

    Returns:
        The lines of the report, the most urgent first.
    """
    lines = sorted([*(row.note for row in rows), *notes], key=lambda line: _ORDER.index(line.verdict))
    for line in lines:
        log.info(
            "%s what=%s provider=%s state=%s done=%s", line.verdict, line.what, line.provider, line.state, line.done
        )
    summary = summarise(lines)
    if FlowRunContext.get() is not None:
        shown = [cells(line) for line in lines[:SHOWN_ROWS]]
        await acreate_table_artifact(table=shown, key=REPORT_KEY, description=f"**{summary}**")
        costs = [cost_cells(line) for line in await costs_this_month()]
        await acreate_table_artifact(table=costs, key=COSTS_KEY, description="**Costs of this month (UTC)**")
        for row in rows:
            if row.verdict is Verdict.PERSON:
                _tell(row)
    return lines


def summarise(lines: Sequence[Note]) -> str:
    """The pass in one sentence, such as ``3 done, 1 needs a person``."""
    counts = Counter(line.verdict for line in lines)
    words = {
        Verdict.DONE: "{} done",
        Verdict.WAITS: "{} left for the next pass",
        Verdict.PERSON: "{} needs a person" if counts[Verdict.PERSON] == 1 else "{} need a person",
        Verdict.BROKEN: "{} ended in an unexpected error",
    }
    return ", ".join(text.format(counts[verdict]) for verdict, text in words.items() if counts[verdict]) or (
        "nothing was left behind"
    )


def last_state(lines: Sequence[Note]) -> State[Any]:
    """Failed after unexpected errors, else Completed, which is called "Needs a person" when something does."""
    summary = summarise(lines)
    verdicts = {line.verdict for line in lines}
    if Verdict.BROKEN in verdicts:
        return Failed(message=f"{summary}; everything else was done")
    if Verdict.PERSON in verdicts:
        return Completed(name="Needs a person", message=summary)
    return Completed(message=summary)


def cells(line: Note) -> dict[str, str]:
    """A line of the report as people see it."""
    return {
        "verdict": str(line.verdict),
        "render": line.what,
        "provider": line.provider,
        "title": line.title,
        "state": line.state,
        "since": f"{line.since:%Y-%m-%d %H:%M} UTC" if line.since else "",
        "what was done": line.done,
        "next step": line.next_step,
    }


def cost_cells(line: CostLine) -> dict[str, str]:
    """A line of the costs as people see it."""
    return {
        "provider": line.provider,
        "account": line.account,
        "unit": line.unit or "unknown",
        "renders": str(line.renders),
        "charged": f"{line.charged.normalize():f}",
        "expected": f"{line.expected.normalize():f}",
        "unpriced": str(line.unpriced),
        "unassigned": f"{line.unassigned.normalize():f}",
    }


def _tell(row: Leftover) -> None:
    """Emit the event of an open question; all day under the same id, of which Prefect keeps one."""
    entry = row.entry
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    emit_event(
        PERSON_EVENT,
        resource={
            "prefect.resource.id": f"studio.render.{entry.render_key}",
            "prefect.resource.name": entry.title or entry.short_key,
        },
        payload={
            "provider": entry.provider,
            "account": entry.account,
            "state": str(entry.state),
            "why": row.note.done,
            "next_step": row.next_step,
        },
        id=uuid5(NAMESPACE_URL, f"{PERSON_EVENT}/{entry.id}/{entry.state}/{today}"),
    )
