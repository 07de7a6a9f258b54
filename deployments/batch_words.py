"""What the commands of `studio batch` print."""

import shlex
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.markup import escape

from deployments.batch_books import SHOWN_DIGITS, Counted
from deployments.batches import SHOWN_PROBLEMS, Followed
from deployments.cli.console import Output
from deployments.rendering import run_page
from tasks.batch.manifest.rows import RowProblem
from tasks.batch.preview import Preview
from tasks.batch.preview_sums import Money
from tasks.batch.report import WrittenReport
from tasks.ledger.batch_models import BatchRow, RowState

LISTED_ROWS = 6
"""So many rows are named where the same is wrong in all of them."""


def say_preview(output: Output, file: Path, seen: Preview, options: str = "") -> int:
    """Show what a batch would be; 1 when any row has problems.

    Args:
        output: where to.
        file: the manifest.
        seen: what was found.
        options: of the command, which the next step repeats.
    """
    output.result(file=str(file), to_render=seen.to_render, **seen.model_dump(mode="json"))
    shown = gather(seen.problems)[:SHOWN_PROBLEMS]
    for alike in shown:
        others = ", ".join(f"{problem.number}" for problem in alike[1:LISTED_ROWS])
        more_rows = f" and {len(alike) - LISTED_ROWS:,} more" if len(alike) > LISTED_ROWS else ""
        also = f" The same in {'rows' if alike[2:] else 'row'} {others}{more_rows}." if others else ""
        output.say(plain(f"{alike[0]}{also}"), style="red")
    if (more := seen.problem_count - sum(map(len, shown))) > 0:
        output.say(f"… and {more:,} more problems", style="red")
    output.say("")
    output.table(plain(file.name), _facts(seen))
    named = f"{shlex.quote(str(file))}{options}"
    retry = f"studio batch check {named}"
    if seen.problem_count:
        output.say(f"\nMend the rows above, then: {retry}")
        output.result(error=f"{seen.bad_rows} rows have problems.", fix=retry)
        return 1
    output.say(f"\nNothing was spent. Next: studio batch run {named}", style="bold green")
    return 0


def gather(problems: Sequence[RowProblem]) -> list[list[RowProblem]]:
    """Put together what is wrong in the same way in several rows, in the order of the first of each."""
    found: dict[tuple[str, str, str], list[RowProblem]] = {}
    for problem in problems:
        found.setdefault((problem.column, problem.wrong, problem.fix), []).append(problem)
    return list(found.values())


def _facts(seen: Preview) -> dict[str, str]:
    rows = seen.rows + seen.bad_rows
    facts = {
        "rows": f"{rows:,}" + (f", {seen.bad_rows:,} of them with problems" if seen.bad_rows else ""),
        "different videos": f"{seen.videos:,}",
        "already archived": f"{seen.archived:,}",
    }
    if seen.under_way:
        facts["under way"] = f"{seen.under_way:,}, not paid for again"
    facts["to render"] = f"{seen.to_render:,}"
    if seen.unknown:
        facts["to render"] += (
            f"; of {seen.unknown:,} nobody can tell whether they are archived, as their media were not "
            "looked into (--all-media does)"
        )
    facts["media"] = f"{seen.media:,} files" + (
        f", of which {seen.media_unchecked:,} links were not checked" if seen.media_unchecked else ""
    )
    facts["money"] = "; ".join(map(_price, seen.money)) or "nothing"
    facts["time"] = _time(seen)
    return facts


def _price(line: Money) -> str:
    videos = f"{line.provider}: {line.videos:,} videos"
    if line.unpriced == line.videos:
        return f"{videos}, price unknown (set STUDIO_PRICES)"
    price = "free" if line.amount == Decimal(0) else f"about {line.amount.normalize():f} {line.unit}"
    return f"{videos}, {price}" + (f", and the price of {line.unpriced:,} is unknown" if line.unpriced else "")


def _time(seen: Preview) -> str:
    if not seen.money:
        return "nothing is to be rendered"
    if seen.seconds is None:
        return f"unknown: no history of {', '.join(seen.untimed)} tells it"
    return f"about {timedelta(seconds=max(1, round(seen.seconds)))} (h:mm:ss)"


def say_followed(output: Output, followed: Followed, *, detached: bool) -> int:
    """Say how a run ended; 0 when every row has its video, or nobody waited."""
    view, page = followed.view, run_page(followed.view.run_id)
    output.result(state=view.state_name, message=view.message, outcomes=followed.outcomes, report=followed.report)
    if detached:
        return 0
    if followed.outcomes:
        output.table("rows by outcome", {name: f"{rows:,}" for name, rows in followed.outcomes.items()})
    if followed.report:
        # A plain line: a link that is folded into a table cannot be clicked or copied.
        output.say(f"\nreport  {followed.report}")
    if view.state == "COMPLETED":
        output.say(f"\n✓ {plain(view.message)}", style="bold green")
        return 0
    output.fail(f"{view.state_name}: {plain(view.message)}", fix=f"The run's page has the log: {page}")
    return 1


def say_batches(output: Output, found: Sequence[Counted]) -> int:
    """Show batches, a line each."""
    output.result(batches=[_as_json(one) for one in found])
    if not found:
        output.say("there is no batch yet. `studio batch run FILE` begins one.")
        return 0
    columns = ["batch", "name", "last begun", "rows", "with video", "without", "not started"]
    output.rows(columns, [_line(one) for one in found])
    return 0


def _line(one: Counted) -> list[str]:
    batch, counts = one.batch, one.counts
    videos = counts.get(RowState.DONE, 0) + counts.get(RowState.THERE, 0)
    others = batch.rows - videos - one.not_started
    cells = [batch.id[:SHOWN_DIGITS], batch.name, f"{batch.updated_at.astimezone():%Y-%m-%d %H:%M:%S}"]
    return [
        *(escape(plain(cell)) for cell in cells),
        *(f"{n:,}" for n in (batch.rows, videos, others, one.not_started)),
    ]


def say_batch(output: Output, one: Counted, rows: Sequence[BatchRow]) -> int:
    """Show one batch by outcome, and the first of its rows that have no video."""
    batch = one.batch
    output.result(**_as_json(one), problems=[row.model_dump(mode="json") for row in rows])
    counts = {state.value: f"{count:,}" for state, count in one.counts.items() if state is not RowState.NOT_STARTED}
    if one.not_started:
        counts[RowState.NOT_STARTED.value] = f"{one.not_started:,}"
    facts = {"batch": batch.id, "manifest": plain(batch.source), "run": batch.run_id, "rows": f"{batch.rows:,}"}
    output.table(plain(batch.name) or "batch", facts | counts)
    if rows:
        output.say("")
        cells = [[str(row.number), row.state.value, row.title, row.reason, row.fix] for row in rows]
        columns = ["row", "state", "title", "reason", "what to do"]
        output.rows(columns, [[escape(plain(cell)) for cell in line] for line in cells])
    output.say(f"\nReport: studio batch report {batch.id[:SHOWN_DIGITS]}")
    return 0


def say_report(output: Output, written: WrittenReport) -> int:
    """Say where a report is."""
    counts = {state.value: count for state, count in written.counts.items()}
    output.result(report=written.html_link, table=written.csv_link, html=written.html, csv=written.csv, outcomes=counts)
    output.table("rows by outcome", counts)
    output.say(f"\nreport  {written.html_link}\ntable   {written.csv_link}")
    output.say(f"\nThe links work until {written.links_expire_at.astimezone():%Y-%m-%d %H:%M}.")
    return 0


def _as_json(one: Counted) -> dict[str, Any]:
    counts = {state.value: count for state, count in one.counts.items()} | {"not started": one.not_started}
    return one.batch.model_dump(mode="json") | {"outcomes": counts}


def plain(text: str) -> str:
    """Words of strangers, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
