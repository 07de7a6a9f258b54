"""What the commands of `studio show` print."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from rich.markup import escape

from deployments.batch_words import plain
from deployments.cli.console import LiveProgress, Output
from deployments.rendering import run_page
from deployments.show_books import Streams
from deployments.shows import ENDED, SHOWN_DIGITS, Line, ShowView
from tasks.ledger import Entry, State
from tasks.show.contract import CueOutcome, PerformedCue
from tasks.show.record import ShowManifest
from tasks.show.showing import HELD

ON_AIR = "on air"
_MARKS: dict[str, str] = {
    CueOutcome.DONE: "✓",
    CueOutcome.FAILED: "✗",
    CueOutcome.SKIPPED: "»",
    CueOutcome.INTERRUPTED: "¦",
    CueOutcome.NOT_REACHED: "·",
}
_STREAM_WORDS = {
    State.RESERVED: "about to be created",
    State.SUBMITTING: "being created",
    State.AMBIGUOUS: "unknown whether it was created",
    State.SUBMITTED: "alive",
    State.SUCCEEDED: "ended",
    State.ARCHIVED: "ended, record archived",
    State.FAILED: "none",
    State.CANCELLED: "none",
}


class Ticker:
    """Prints each cue once it is over, and shows the one that is on air.

    Args:
        output: where finished cues go.
        progress: where the present one is shown.
    """

    def __init__(self, output: Output, progress: LiveProgress) -> None:
        self._output = output
        self._progress = progress
        self._shown: set[tuple[str, str]] = set()
        self._preview = ""

    def show(self, seen: ShowView) -> None:
        """Show what is new."""
        if seen.preview and not self._preview:
            self._preview = seen.preview
            self._output.say(f"watch and hear it  {seen.preview}", style="bold")
        # Not counted: the table is cut at its beginning when a show is very long.
        over = {(line["cue"], line["began"]): line for line in seen.lines if line.get("ended")}
        for name, line in over.items():
            if name not in self._shown:
                self._output.say(line_words(line))
        self._shown |= over.keys()
        present = [line for line in seen.lines if line.get("outcome") == ON_AIR]
        told = " · ".join(f"on air: {line['cue']} {line['kind']} {line['what']}" for line in present)
        # The steps before the first cue; none comes after them, as nothing on air is a step.
        step = "" if seen.lines else seen.view.step
        told += f" · {HELD}, `studio show resume` goes on" if HELD in seen.told and not seen.is_over else ""
        self._progress.update(plain(told) or f"{seen.view.state_name.lower()} · {step}".rstrip(" ·"))


def line_words(line: Line) -> str:
    """One line of the record in one line of text."""
    mark = _MARKS.get(line.get("outcome", ""), " ")
    began, cue, kind = (line.get(name, "") for name in ("began", "cue", "kind"))
    told = f"{mark} {began:<10} {cue:<16} {kind:<7} {line.get('what', '')}"
    drift = f"  drift {line['drift']}" if line.get("drift") else ""
    reason = f"  ({line['reason']})" if line.get("reason") else ""
    return plain(f"{told}{drift}{reason}")


def say_view(output: Output, seen: ShowView, entry: Entry | None, *, judged: bool) -> int:
    """Show one show: its run, its stream, its cues; 1 when it has ended otherwise than somebody wished.

    Args:
        output: where to.
        seen: the show.
        entry: its stream; None where there is none.
        judged: whether the exit code tells how it ended.
    """
    view = seen.view
    output.result(
        run_id=str(view.run_id),
        run=run_page(view.run_id),
        name=view.name,
        state=view.state_name,
        message=view.message,
        told=plain(seen.told),
        preview=seen.preview,
        stream=stream_facts(entry),
        cues=seen.lines,
    )
    facts = {"run": run_page(view.run_id), "state": view.state_name}
    facts |= {"show": plain(seen.told)} if seen.told else {}
    facts |= {"watch": seen.preview} if seen.preview and not seen.is_over else {}
    facts |= _stream_rows(entry) if entry else {}
    output.table(plain(view.name), facts)
    if judged and seen.is_over and view.state != "COMPLETED":
        output.fail(
            f"{view.state_name}: {plain(view.message)}", fix=f"The run's page has the log: {run_page(view.run_id)}"
        )
        return 1
    if view.message:
        output.say(f"\n{plain(view.message)}", style="bold")
    return 0


def say_record(output: Output, record: ShowManifest) -> int:
    """Show the record of a show; 1 when a cue is not done."""
    output.result(record=record.model_dump(mode="json"))
    columns = ["cue", "kind", "planned", "drift", "outcome", "end told by"]
    output.say("")
    output.rows(columns, [[escape(plain(cell)) for cell in _record_row(cue)] for cue in record.cues])
    facts = {"ended": str(record.ending), "time to live": f"{record.ttl} s"}
    if record.created_at and record.ended_at:
        facts["stream"] = f"{(record.ended_at - record.created_at).total_seconds():.1f} s"
    if record.streaming_at and record.first_byte_at:
        facts["first PCM"] = f"{(record.first_byte_at - record.streaming_at).total_seconds():.2f} s after streaming"
    if record.cost is not None:
        facts["cost"] = f"{record.cost.normalize():f} {record.unit}"
    output.say("")
    output.table(plain(record.title) or "show", facts)
    undone = [cue.number for cue in record.cues if cue.outcome is not CueOutcome.DONE]
    if undone:
        output.fail(f"cues that are not done: {', '.join(undone)}.", fix="Their reasons are in the record.")
    return 1 if undone else 0


def _record_row(cue: PerformedCue) -> list[str]:
    drift = "" if cue.drift_seconds is None else f"{cue.drift_seconds:+.2f} s"
    told_by = ("callback" if cue.confirmed else "audio time") if cue.drive_id else ""
    name = f"{cue.number} {cue.name}".strip()
    return [name, cue.kind, f"{cue.planned_at:.1f} s", drift, str(cue.outcome), told_by]


def say_shows(output: Output, runs: Sequence[FlowRun], streams: Streams) -> int:
    """Show shows, a line each, and streams that their shows have left behind."""
    output.result(
        shows=[_as_json(run, streams.of_shows.get(run.id)) for run in runs],
        left=[stream_facts(entry) for entry in streams.left],
    )
    if not runs:
        output.say("there is no show yet. `studio show start FILE` starts one.")
    else:
        columns = ["show", "name", "state", "begun", "room", "stream", "cost"]
        output.rows(columns, [_row(run, streams.of_shows.get(run.id)) for run in runs])
    for entry in streams.left:
        told = f"stream {entry.job_id or '(no answer yet)'} of run {entry.reserved_by}, room {_room(entry)}"
        output.say(f"{told}, was left behind; `close-streams` closes it within two minutes.", style="yellow")
    return 0


def stream_facts(entry: Entry | None) -> dict[str, Any]:
    """A stream for programs; empty where there is none."""
    if entry is None:
        return {}
    return {
        "task_id": entry.job_id,
        "state": entry.state,
        "run_id": entry.reserved_by,
        "room": _room(entry),
        "account": entry.account,
        "created_at": entry.submitted_at,
        "ttl": entry.payload.get("ttl"),
        "result": entry.result,
        "most": entry.estimate,
        "cost": entry.charge,
        "unit": entry.unit,
        "record": entry.location,
    }


def show_id(run_id: UUID) -> str:
    """How a show is called on the command line."""
    return str(run_id)[:SHOWN_DIGITS]


def _stream_rows(entry: Entry) -> dict[str, str]:
    facts = {"stream": f"{entry.job_id or 'no answer yet'}, {_STREAM_WORDS[entry.state]}", "room": _room(entry)}
    facts |= {"cost": _cost(entry)} if _cost(entry) else {}
    return facts | ({"record": entry.location} if entry.location else {})


def _as_json(run: FlowRun, entry: Entry | None) -> dict[str, Any]:
    return {
        "run_id": str(run.id),
        "name": run.name,
        "run": run_page(run.id),
        "state": run.state_name,
        "begun": run.start_time,
        "stream": stream_facts(entry),
    }


def _row(run: FlowRun, entry: Entry | None) -> list[str]:
    state = run.state_name or ""
    color = "" if run.state is None or run.state.type.value not in ENDED else "dim"
    begun = f"{run.start_time.astimezone():%Y-%m-%d %H:%M:%S}" if run.start_time else ""
    stream = _STREAM_WORDS[entry.state] if entry else ""
    cells = [show_id(run.id), run.name, state, begun, _room(entry) if entry else "", stream, _cost(entry)]
    shown = [escape(plain(cell)) for cell in cells]
    return [f"[{color}]{cell}[/]" for cell in shown] if color else shown


def _room(entry: Entry) -> str:
    return str(entry.payload.get("room_id", ""))


def _cost(entry: Entry | None) -> str:
    if entry is None:
        return ""
    if entry.charge is not None:
        return f"{entry.charge.normalize():f} {entry.unit}"
    return f"at most {entry.estimate.normalize():f} {entry.unit}" if entry.estimate is not None else ""
