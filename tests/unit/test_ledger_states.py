"""The states of a submission, alone and as the SQLite ledger keeps them under random use."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.ledger import OPEN, TRANSITIONS, Entry, Intent, State, StateConflict
from tasks.ledger.states import is_allowed
from tasks.ledger.store import Ledger


def test_every_state_is_in_the_table() -> None:
    """A new state cannot be forgotten in the table of transitions."""
    assert set(TRANSITIONS) == set(State)


def test_only_failed_and_cancelled_are_final() -> None:
    """What ended without a video stays ended; everything else holds the render key and has a way on."""
    assert {state for state, after in TRANSITIONS.items() if not after} == {State.FAILED, State.CANCELLED}
    assert set(State) - OPEN == {State.FAILED, State.CANCELLED}


def test_a_submission_that_may_have_left_is_never_simply_dropped() -> None:
    """From submitting and ambiguous the only ways back to reserved are explicit, and none leads to cancelled unseen."""
    assert not is_allowed(State.SUBMITTING, State.CANCELLED)
    assert not is_allowed(State.AMBIGUOUS, State.FAILED)
    assert not is_allowed(State.AMBIGUOUS, State.SUBMITTING)
    assert not is_allowed(State.SUBMITTED, State.RESERVED)
    assert not is_allowed(State.SUBMITTED, State.RESERVED)


def test_every_state_can_be_reached_and_ends() -> None:
    """From the reservation every state can be reached, and from every open state an end can be."""
    reached = {State.RESERVED}
    for _ in State:
        reached |= set().union(*(TRANSITIONS[state] for state in reached))
    assert reached == set(State)
    ends = {State.ARCHIVED, State.FAILED, State.CANCELLED}
    for _ in State:
        ends |= {state for state, after in TRANSITIONS.items() if after & ends}
    assert ends == set(State)


Call = Callable[[Ledger, Entry, State], Awaitable[Entry]]

CALLS: dict[str, tuple[State | None, State, Call]] = {
    "submitting": (State.RESERVED, State.SUBMITTING, lambda book, row, _: book.mark_submitting(row.id, "run")),
    "submitted": (State.SUBMITTING, State.SUBMITTED, lambda book, row, _: book.mark_submitted(row.id, str(row.id))),
    "succeeded": (State.SUBMITTED, State.SUCCEEDED, lambda book, row, _: book.mark_succeeded(row.id, {})),
    "archived": (State.SUCCEEDED, State.ARCHIVED, lambda book, row, _: book.mark_archived(row.id, "s3://a/b")),
    "lost": (State.ARCHIVED, State.SUCCEEDED, lambda book, row, _: book.mark_archive_lost(row.id, "")),
    "ambiguous": (State.SUBMITTING, State.AMBIGUOUS, lambda book, row, _: book.mark_ambiguous(row, "")),
    "denied": (State.SUBMITTED, State.AMBIGUOUS, lambda book, row, _: book.mark_denied(row.id, "")),
    "release": (State.SUBMITTING, State.RESERVED, lambda book, row, _: book.release(row, "")),
    "resubmit": (
        State.AMBIGUOUS,
        State.RESERVED,
        lambda book, row, _: book.settle(row.id, State.RESERVED, owner="p", note=""),
    ),
    "abandon": (
        State.AMBIGUOUS,
        State.CANCELLED,
        lambda book, row, _: book.settle(row.id, State.CANCELLED, owner="p", note=""),
    ),
    "failed": (None, State.FAILED, lambda book, row, seen: book.mark_failed(row.id, "", charged=None, expected=seen)),
    "cancelled": (
        None,
        State.CANCELLED,
        lambda book, row, seen: book.mark_cancelled(row.id, "", charged=None, expected=seen),
    ),
}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Ledger]]:
    path: Path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with asyncio.Runner() as runner:
        ledger = runner.run(Ledger.open(f"sqlite+aiosqlite:///{path}"))
        yield runner, ledger
        runner.run(ledger.close())


_keys = itertools.count(1)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(st.sampled_from(["reserve", *CALLS]), max_size=14))
def test_random_use_keeps_to_the_table(book: tuple[asyncio.Runner, Ledger], names: list[str]) -> None:
    """Whatever is called in whatever order, the row follows the table and the history tells the whole path."""
    runner, ledger = book
    runner.run(_play(ledger, names))


async def _play(ledger: Ledger, names: list[str]) -> None:
    key = f"{next(_keys):064x}"
    intent = Intent(render_key=key, provider="local", account="local", endpoint="file:test")
    row, _ = await ledger.reserve(intent, owner="run")
    state, attempt, path = State.RESERVED, 1, [State.RESERVED]
    for name in names:
        if name == "reserve":
            _, created = await ledger.reserve(intent, owner="run")
            assert created == (state not in OPEN)
            if created:
                state, attempt = State.RESERVED, attempt + 1
                path.append(state)
        else:
            expected, after, call = CALLS[name]
            if is_allowed(state, after) and expected in {None, state}:
                row = await call(ledger, row, state)
                state = after
                path.append(state)
            else:
                with_repeat = await _refused(call(ledger, row, state))
                assert with_repeat in {None, state}
        found = await ledger.find(key)
        assert found is not None
        row = found
        assert (row.state, row.attempt) == (state, attempt)
    assert [event.after for event in await ledger.history(key)] == path


async def _refused(call: Awaitable[Entry]) -> State | None:
    """None when the call was refused; the untouched state when it was a harmless repeat."""
    try:
        return (await call).state
    except (StateConflict, ValueError):
        return None
