"""`studio settle` and `studio costs` over a real ledger, without a running studio."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from deployments.cli.app import app
from deployments.cli.costs import first_of_months
from tasks.ledger import Charge, Entry, Intent, State
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.settings import get_settings
from tests.servers.postgres import PostgresServer

KEY = "abcdef12" + "0" * 56
PAID: dict[str, Any] = {"provider": "topview", "account": "team", "estimate": Decimal("1.5"), "unit": "credits"}


@pytest.fixture(autouse=True)
def home(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("COLUMNS", "250")
    return studio_home


def run(*arguments: str) -> tuple[int, str]:
    """A command's exit code, and what a person sees of it."""
    get_settings.cache_clear()
    done = CliRunner().invoke(app, list(arguments))
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def ask(*arguments: str) -> tuple[int, dict[str, Any]]:
    """A command's exit code, and its one JSON object on standard output."""
    get_settings.cache_clear()
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.stdout.count("\n") == 1, done.output
    return done.exit_code, json.loads(done.stdout)


def in_ledger(work: Callable[[Ledger], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with open_ledger() as ledger:
            return await work(ledger)

    return asyncio.run(main())


def a_row(state: State, key: str = KEY, *, age: float = 0, **more: Any) -> Entry:
    """A row in a state, as if it had got there some seconds ago."""

    async def make(ledger: Ledger) -> Entry:
        facts = PAID | {"endpoint": "https://api.example", "title": "Spring [red] \x1b[31m"} | more
        row, _ = await ledger.reserve(Intent(render_key=key, **facts), owner="run-1")
        if state is State.RESERVED:
            return row
        if state is State.CANCELLED:
            return await ledger.mark_cancelled(row.id, "not wanted", charged=None, expected=row.state)
        row = await ledger.mark_submitting(row.id, "run-1")
        if state is State.AMBIGUOUS:
            return await ledger.mark_ambiguous(row, "the answer was lost")
        if state is State.FAILED:
            return await ledger.mark_failed(row.id, "no face.", charged=False, expected=row.state)
        if state is not State.SUBMITTING:
            row = await ledger.mark_submitted(row.id, f"job-{key[:8]}")
        if state in {State.SUCCEEDED, State.ARCHIVED}:
            row = await ledger.mark_succeeded(row.id, {})
        return await ledger.mark_archived(row.id, "s3://archive/x.mp4") if state is State.ARCHIVED else row

    async def made(ledger: Ledger) -> Entry:
        row = await make(ledger)
        if age:
            moment = (row.updated_at - timedelta(seconds=age)).replace(tzinfo=None).isoformat(" ", "microseconds")
            statement = text("UPDATE submissions SET updated_at = :moment").bindparams(moment=moment)
            await ledger._database.write(lambda connection: connection.execute(statement))
        return await ledger.get(row.id)

    return in_ledger(made)


def now_in(row: Entry) -> Entry:
    return in_ledger(lambda ledger: ledger.get(row.id))


@pytest.mark.parametrize("arguments", [["costs"], ["settle"], ["settle", "abcdef"], ["settle", KEY, "--abandon"]])
def test_asking_makes_no_home(home: Path, arguments: list[str]) -> None:
    """A studio that never ran has no costs and nothing to settle, and still has no folder afterwards."""
    code, _ = ask(*arguments)

    assert code == (1 if len(arguments) > 1 else 0)
    assert not home.exists()


def test_what_needs_a_person_is_listed() -> None:
    """Ambiguous rows and submissions that are too old are listed with what is known and the three ways out."""
    a_row(State.AMBIGUOUS, "1" * 64)
    a_row(State.SUBMITTING, "2" * 64, age=1000)
    for number, state in enumerate([State.SUBMITTING, State.RESERVED, State.SUBMITTED, State.FAILED], start=3):
        a_row(state, str(number) * 64)
    code, answer = ask("settle")

    assert code == 0
    assert [row["render_key"][0] for row in answer["waiting"]] == ["1", "2"]
    code, shown = run("settle")
    assert code == 0
    for words in ("111111111111", "the answer was lost", "no answer; run-1", "Spring [red]", "--resubmit", "--job-id"):
        assert words in shown
    assert "\x1b[31m" not in shown


def test_nothing_to_settle_is_said() -> None:
    """An empty list is a sentence."""
    assert run("settle") == (0, "no render needs a person.\n")


def test_resubmit_reserves_again() -> None:
    """The row is reserved again in the person's name, and its history is shown."""
    row = a_row(State.AMBIGUOUS)
    code, answer = ask("settle", KEY[:6].upper(), "--resubmit", "--yes")

    assert (code, answer["before"], answer["state"]) == (0, "ambiguous", "reserved")
    assert [event["after"] for event in answer["history"]] == ["reserved", "submitting", "ambiguous", "reserved"]
    assert answer["history"][-1]["who"].startswith("settle:")
    assert now_in(row).state == State.RESERVED


def test_resubmit_asks_first_and_refuses_where_nobody_can_answer() -> None:
    """Paying twice needs a yes; a script without --yes changes nothing."""
    row = a_row(State.AMBIGUOUS)
    code, answer = ask("settle", KEY, "--resubmit")

    assert code == 1
    assert "pays twice" in answer["error"]
    assert "--yes" in answer["fix"]
    assert now_in(row) == row


@pytest.mark.parametrize(
    ("typed", "code", "state"), [("y\n", 0, "reserved"), ("n\n", 1, "ambiguous"), ("\x04", 1, "ambiguous")]
)
def test_a_person_at_a_terminal_is_asked(typed: str, code: int, state: str) -> None:
    """The question is on standard error, so that standard output stays one JSON object."""
    row = a_row(State.AMBIGUOUS)
    ours, theirs = pty.openpty()
    try:
        os.write(ours, typed.encode())
        done = subprocess.run(
            [sys.executable, "-m", "deployments.cli.app", "settle", KEY, "--resubmit", "--json"],
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)

    assert done.returncode == code, done.stderr
    assert "Submit it again?" in done.stderr
    assert "Traceback" not in done.stderr
    assert ("error" in json.loads(done.stdout)) == bool(code)
    assert now_in(row).state == state


def test_a_shared_ledger_is_settled_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PostgreSQL the commands do the same, and no home folder appears."""
    with PostgresServer() as server:
        monkeypatch.setenv("STUDIO_LEDGER_URL", server.create_database())
        get_settings.cache_clear()
        assert ask("settle") == (0, {"waiting": []})
        row = a_row(State.AMBIGUOUS)
        assert [found["render_key"] for found in ask("settle")[1]["waiting"]] == [KEY]
        assert ask("settle", KEY[:6], "--job-id", "job-42")[0] == 0
        assert now_in(row).job_id == "job-42"
        assert ask("costs")[1]["costs"][0]["expected"] == "1.5"
    assert not home.exists()


def test_a_found_job_is_followed() -> None:
    """The job id that a person found is stored; one that belongs to another render is refused."""
    row = a_row(State.AMBIGUOUS)
    taken = a_row(State.SUBMITTED, "1" * 64)
    code, answer = ask("settle", KEY, "--job-id", taken.job_id or "")
    assert code == 1
    assert "already belongs" in answer["error"]
    assert now_in(row) == row

    code, answer = ask("settle", KEY, "--job-id", " job-42 ")
    assert (code, answer["state"], answer["job_id"]) == (0, "submitted", "job-42")


@pytest.mark.parametrize(
    ("state", "flags", "charged"),
    [
        (State.AMBIGUOUS, ["--charged"], True),
        (State.AMBIGUOUS, ["--not-charged"], False),
        (State.AMBIGUOUS, [], None),
        (State.SUBMITTED, [], None),
        (State.SUCCEEDED, ["--charged"], True),
        (State.RESERVED, [], False),
    ],
)
def test_open_rows_can_be_given_up(state: State, flags: list[str], charged: bool | None) -> None:
    """Each open state has an end that a person can give it, with what is known of the money."""
    row = a_row(state)
    code, answer = ask("settle", KEY, "--abandon", *flags)

    assert (code, answer["state"], answer["charged"]) == (0, "cancelled", charged)
    assert now_in(row).state == State.CANCELLED


def test_a_submission_under_way_is_left_alone_until_its_time_is_over() -> None:
    """A young submission is refused with when to come back; an old one is named ambiguous and then settled."""
    row = a_row(State.SUBMITTING)
    for way in (["--resubmit", "--yes"], ["--job-id", "job-1"], ["--abandon"]):
        code, answer = ask("settle", KEY, *way)
        assert code == 1
        assert "right now by run-1" in answer["error"]
        assert "Come back in" in answer["fix"]
        assert now_in(row) == row
    a_row(State.SUBMITTING, "1" * 64, age=get_settings().submit_timeout_seconds + 1)
    code, answer = ask("settle", "1" * 6, "--abandon")
    assert code == 0
    assert [event["after"] for event in answer["history"][-2:]] == ["ambiguous", "cancelled"]


@pytest.mark.parametrize(
    ("state", "way", "words"),
    [
        (State.FAILED, ["--abandon"], "failed: no face. Nothing is left"),
        (State.CANCELLED, ["--resubmit", "--yes"], "was given up: not wanted. Nothing is left"),
        (State.ARCHIVED, ["--abandon"], "s3://archive/x.mp4"),
        (State.RESERVED, ["--job-id", "job-1"], "nothing was sent"),
        (State.SUBMITTED, ["--resubmit", "--yes"], "was accepted as job job-abcdef12"),
        (State.SUCCEEDED, ["--job-id", "job-1"], "without paying again"),
    ],
)
def test_a_way_that_does_not_fit_is_refused(state: State, way: list[str], words: str) -> None:
    """The refusal says where the render stands and what to do instead, and changes nothing."""
    row = a_row(state)
    code, answer = ask("settle", KEY, *way)

    assert code == 1
    assert words in f"{answer['error']} {answer['fix']}"
    assert now_in(row) == row


def test_a_key_without_a_way_shows_the_row() -> None:
    """Looking changes nothing and shows the history and the ways out."""
    row = a_row(State.AMBIGUOUS)
    code, shown = run("settle", KEY[:8])

    assert code == 0
    for words in (KEY, "submitting → ambiguous", "reason=the answer was lost", "--abandon"):
        assert words in shown
    assert now_in(row) == row


@pytest.mark.parametrize("key", ["abcde", "xyzxyz", "", "abc%ef", "a" * 65, "ffffff", "\x00" * 8])
def test_odd_keys_are_explained(key: str) -> None:
    """What is no key, or nobody's, is a message."""
    a_row(State.AMBIGUOUS)
    code, answer = ask("settle", key, "--abandon")

    assert code == 1
    assert answer["fix"]


def test_a_prefix_of_several_renders_is_refused() -> None:
    """Nobody settles a render by accident."""
    a_row(State.AMBIGUOUS, "abcdef12" + "0" * 56)
    a_row(State.AMBIGUOUS, "abcdef34" + "0" * 56)
    code, answer = ask("settle", "abcdef", "--abandon")

    assert code == 1
    assert "abcdef120000, abcdef340000" in answer["error"]
    assert ask("settle", "abcdef1", "--abandon")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [KEY, "--resubmit", "--abandon"],
        [KEY, "--resubmit", "--job-id", "1"],
        [KEY, "--charged"],
        [KEY, "--resubmit", "--not-charged"],
        [KEY, "--job-id", " "],
        ["--abandon"],
    ],
)
def test_contradicting_flags_are_usage_errors(arguments: list[str]) -> None:
    """Flags that do not go together end with 2 before anything is read."""
    assert run("settle", *arguments)[0] == 2


def test_costs_are_shown_with_what_the_caps_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line per month, provider, account and unit; the caps beside them; unknown prices and strays are told."""
    monkeypatch.setenv("STUDIO_BUDGETS", '{"topview": {"month": "10", "run": "3"}, "mingyan": {"run": "5"}}')
    a_row(State.SUBMITTED, "1" * 64)
    a_row(State.SUBMITTED, "2" * 64, estimate=None, unit=None)
    stray = Charge(
        provider="topview",
        account="team",
        reference="log-1",
        at=datetime.now(UTC),
        amount=Decimal("0.25"),
        unit="credits",
    )
    in_ledger(lambda ledger: ledger.record_charge(stray))
    code, answer = ask("costs")

    assert code == 0
    assert [(line["unit"], line["renders"], line["unpriced"]) for line in answer["costs"]] == [
        ("", 1, 1),
        ("credits", 1, 0),
    ]
    assert [(cap["provider"], cap["unit"], cap["committed"], cap["left"], cap["run"]) for cap in answer["caps"]] == [
        ("mingyan", "", "0", None, "5"),
        ("topview", "", "0", "10", "3"),
        ("topview", "credits", "1.75", "8.25", "3"),
    ]
    code, shown = run("costs", "--months", "1")
    assert code == 0
    for words in ("team", "credits", "8.25", "no cap", "1 of these renders have no price", "unassigned is money"):
        assert words in shown


def test_the_asked_months_are_counted() -> None:
    """Months are whole calendar months in UTC, this one included."""
    now = datetime(2026, 2, 10, tzinfo=UTC)
    assert first_of_months(now, 1) == datetime(2026, 2, 1, tzinfo=UTC)
    assert first_of_months(now, 2) == datetime(2026, 1, 1, tzinfo=UTC)
    assert first_of_months(now, 3) == datetime(2025, 12, 1, tzinfo=UTC)
    assert first_of_months(now, 15) == datetime(2024, 12, 1, tzinfo=UTC)
    assert ask("costs", "--months", "1200")[0] == 0


@pytest.mark.parametrize("command", ["costs", "settle"])
def test_a_broken_ledger_is_explained(home: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A file that is no ledger, a wrong address and a wrong setting are messages with a fix."""
    home.mkdir()
    (home / "ledger.db").write_text("not a database, but long enough to look like something\n" * 100)
    assert "ledger.db" in ask(command)[1]["error"]
    monkeypatch.setenv("STUDIO_LEDGER_URL", "nonsense")
    assert "STUDIO_LEDGER_URL" in ask(command)[1]["fix"]
    monkeypatch.setenv("STUDIO_BUDGETS", '{"topview": {"month": "-1"}}')
    code, answer = ask(command)
    assert code == 1
    assert "budgets" in answer["error"]
