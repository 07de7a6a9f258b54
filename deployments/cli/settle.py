"""`studio settle`: a person decides about renders of which nobody knows whether the provider accepted them."""

import getpass
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from deployments.cli.console import Output, run_async, run_command
from deployments.settling import (
    Decision,
    Way,
    find_row,
    list_waiting,
    refuse_unfit,
    settle_row,
)
from infra.studio.config import StudioConfig, load_config
from tasks.errors import StudioError
from tasks.ledger import Entry, Event, State
from tasks.ledger.opening import open_existing_ledger

WAYS_OUT = """\
Look in the provider's console whether the job is there. Then one of:
  studio settle KEY --job-id ID   it is: go on with that job
  studio settle KEY --resubmit    it is not: the next run of the request submits it again
  studio settle KEY --abandon     give it up; add --charged or --not-charged if you know"""

_AFTERWARDS = {
    Way.RESUBMIT: "The next run of the same request submits it again.",
    Way.JOB: "The next run of the same request waits for this job and pays nothing again.",
    Way.ABANDON: "Running the same request again makes a new submission, which costs again.",
}


def settle(
    key: Annotated[
        str | None, typer.Argument(help="First 6 or more digits of the render key.", show_default=False)
    ] = None,
    *,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="It was not accepted: submit it again.")] = False,
    job_id: Annotated[str | None, typer.Option(help="It was accepted under this job id.", metavar="ID")] = None,
    abandon: Annotated[bool, typer.Option("--abandon", help="Give it up.")] = False,
    charged: Annotated[
        bool | None, typer.Option("--charged/--not-charged", help="With --abandon: whether it cost money.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before something may be paid twice.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Decide about a render of which nobody knows whether it is paid; without a key, list those that need a person."""
    decision = _decision(resubmit=resubmit, job_id=job_id, abandon=abandon, charged=charged)
    if key is None and decision:
        raise typer.BadParameter("Say which render, by its key.")
    run_command(lambda output: _settle(output, key, decision, yes=yes), as_json=as_json)


def _decision(*, resubmit: bool, job_id: str | None, abandon: bool, charged: bool | None) -> Decision | None:
    if sum((resubmit, job_id is not None, abandon)) > 1:
        raise typer.BadParameter("Give one of --resubmit, --job-id and --abandon.")
    if charged is not None and not abandon:
        raise typer.BadParameter("--charged and --not-charged go with --abandon.")
    if job_id is not None:
        if not job_id.strip():
            raise typer.BadParameter("--job-id is empty.")
        return Decision(Way.JOB, job_id=job_id.strip())
    if resubmit:
        return Decision(Way.RESUBMIT)
    return Decision(Way.ABANDON, charged=charged) if abandon else None


def _settle(output: Output, key: str | None, decision: Decision | None, *, yes: bool) -> int:
    config = load_config()
    if key is None:
        return _show_waiting(output, run_async(_waiting(config)))
    entry, history = run_async(_look(key))
    if decision is None:
        _show_row(output, entry, history)
        if entry.state in {State.AMBIGUOUS, State.SUBMITTING}:
            output.say("\n" + WAYS_OUT)
        elif entry.is_open and entry.state is not State.ARCHIVED:
            output.say("\nIt goes on by itself. `studio settle KEY --abandon` gives it up.")
        return 0
    refuse_unfit(entry, decision.way, config.submit_timeout_seconds)
    if decision.way is Way.RESUBMIT and not yes:
        _confirm(entry)
    before = entry.state
    entry, history = run_async(_change(config, entry, decision))
    _show_row(output, entry, history)
    output.result(before=before)
    output.say(f"\n✓ {before} → {entry.state}. {_AFTERWARDS[decision.way]}", style="bold green")
    return 0


async def _waiting(config: StudioConfig) -> list[Entry]:
    async with open_existing_ledger() as ledger:
        return await list_waiting(ledger, config.submit_timeout_seconds) if ledger else []


async def _look(key: str) -> tuple[Entry, list[Event]]:
    async with open_existing_ledger() as ledger:
        entry = await find_row(ledger, key)
        return entry, await ledger.history(entry.render_key) if ledger else []


async def _change(config: StudioConfig, entry: Entry, decision: Decision) -> tuple[Entry, list[Event]]:
    async with open_existing_ledger() as ledger:
        if ledger is None:
            raise StudioError("the ledger was removed meanwhile.", fix="Check STUDIO_HOME and STUDIO_LEDGER_URL.")
        timeout = config.submit_timeout_seconds
        entry = await settle_row(ledger, entry, decision, who=_who(), submit_timeout=timeout)
        return entry, await ledger.history(entry.render_key)


def _confirm(entry: Entry) -> None:
    """Ask on standard error, as standard output may belong to a program.

    Raises:
        StudioError: nobody can be asked, or the answer is no.
    """
    warning = f"if {entry.provider} accepted render {entry.short_key}, submitting it again pays twice."
    if not sys.stdin.isatty():
        raise StudioError(warning, fix="Nobody can be asked here; add --yes if you are sure.")
    try:
        sure = typer.confirm(f"{warning[0].upper()}{warning[1:]} Submit it again?", err=True)
    except typer.Abort:
        sure = False
    if not sure:
        raise StudioError("nothing was changed.", fix="Look in the provider's console first.")


def _who() -> str:
    try:
        return f"settle:{getpass.getuser()}"[:200]
    except (OSError, KeyError):
        # A container's user may have no name.
        return "settle:unknown"


def _show_waiting(output: Output, waiting: list[Entry]) -> int:
    output.result(waiting=[_facts(entry) for entry in waiting])
    if not waiting:
        output.say("no render needs a person.")
        return 0
    rows = [
        [entry.short_key, entry.provider, entry.title, _moment(entry.updated_at), _known(entry)] for entry in waiting
    ]
    output.rows(["key", "provider", "title", "since", "what is known"], [_cells(row) for row in rows])
    output.say("\n" + WAYS_OUT)
    return 0


def _known(entry: Entry) -> str:
    return entry.reason or f"no answer; {entry.owner} was submitting it"


def _show_row(output: Output, entry: Entry, history: list[Event]) -> None:
    output.result(**_facts(entry), history=[event.model_dump(mode="json") for event in history])
    output.table(f"{entry.provider} · {_plain(entry.title)}".rstrip(" ·"), {"key": entry.render_key})
    rows = [
        [_moment(event.at), str(event.attempt), f"{event.before or '·'} → {event.after}", event.who, _note(event)]
        for event in history
    ]
    output.rows(["when", "attempt", "change", "who", "note"], [_cells(row) for row in rows])


def _facts(entry: Entry) -> dict[str, Any]:
    names = {"render_key", "attempt", "state", "provider", "account", "title", "job_id", "charged", "reason", "owner"}
    return entry.model_dump(mode="json", include=names | {"created_at", "updated_at", "estimate", "unit", "location"})


def _note(event: Event) -> str:
    shown = {name: value for name, value in event.note.items() if name in {"reason", "job_id", "charged", "location"}}
    return " ".join(f"{name}={value}" for name, value in shown.items() if value not in (None, ""))


def _moment(at: Any) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _cells(row: list[str]) -> list[str]:
    return [escape(_plain(cell)) for cell in row]


def _plain(text: str) -> str:
    """Words of strangers, without what a terminal would obey."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)
