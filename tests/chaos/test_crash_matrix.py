"""SIGKILL at every point of a paid render, at both vendors: paid at most once, and nothing that was paid is lost."""

import random
from decimal import Decimal

import pytest

from tasks.ledger import State
from tests.chaos.kill_points import POINTS
from tests.chaos.lives import Place
from tests.chaos.matrix import RANDOM, RANDOM_KILLS, ROUNDS, Round, run_random_round, run_round

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SIGKILLED = -9
BEFORE_ACCEPTANCE = [point.name for point in POINTS[:4]]
_LONG = [pytest.param(f"round {number}", marks=pytest.mark.slow) for number in range(2, 6)]


@pytest.fixture(scope="module", params=["round 1", *_LONG, pytest.param(RANDOM, marks=pytest.mark.slow)])
def done(request: pytest.FixtureRequest, place: Place) -> Round:
    """One round of the matrix, from the kills to the last settling."""
    name = request.param
    dice = random.Random()  # noqa: S311 - no secret here
    found = run_random_round(place, name, dice) if name == RANDOM else run_round(place, name)
    ROUNDS.append(found)
    return found


def test_every_run_died_where_it_should(done: Round) -> None:
    """The matrix shows what it says: each process was ended by signal 9, at its very point."""
    if done.name == RANDOM:
        assert sum(life.kills for life in done.lives) >= RANDOM_KILLS
        return
    for life in done.lives:
        assert life.child is not None
        assert life.child.exit == SIGKILLED, (life.point, life.kind, life.child.told())
        # Who was killed from outside had no time to tell anything, and was in the sandbox's hands.
        assert life.child.told().get("point", life.point) == life.point
        is_accepted = life.point not in BEFORE_ACCEPTANCE
        assert len(done.killed[life.token].paid) == is_accepted, (life.point, life.kind)


def test_nothing_is_paid_twice(done: Round) -> None:
    """By the sandbox's own count no render is ever accepted twice, whatever follows the kill."""
    for step, known in done.steps():
        paid = {(life.point, life.kind): len(known[life.token].paid) for life in done.lives}
        assert {where: count for where, count in paid.items() if count > 1} == {}, step


def test_whatever_was_accepted_ends_archived_or_is_named(done: Round) -> None:
    """After the reconcile an accepted render is handed out, or the ledger calls it ambiguous; no job is an orphan."""
    for life in done.lives:
        facts = done.reconciled[life.token]
        where = (life.point, life.kind, facts.state)
        if not facts.paid:
            assert facts.state in {"no row", "reserved", "ambiguous"}, where
            continue
        assert facts.entry is not None, where
        if facts.entry.state is State.AMBIGUOUS:
            assert facts.entry.job_id is None, where
        else:
            assert (facts.entry.state, facts.handed_out) == (State.ARCHIVED, True), where
            assert facts.entry.job_id == facts.paid[0]["job_id"], where


def test_topview_needs_no_person_where_money_was_taken(done: Round) -> None:
    """A lost answer of TopView is found by its uploads or its notice: every accepted job is archived by itself."""
    for life in done.lives:
        facts = done.reconciled[life.token]
        if life.vendor == "topview" and facts.paid:
            assert facts.state == "archived", (life.point, life.kind)


def test_same_request_again_ends_in_the_video_or_names_the_doubt(done: Round) -> None:
    """Whoever runs the request again gets the video, or hears that a person is needed and how to settle it."""
    for life in done.lives:
        if done.reconciled[life.token].state == "ambiguous":
            assert life.again["state"] == "Needs a person", (life.point, life.kind, life.again)
            assert "studio settle" in life.again["message"]
        else:
            assert life.again["state"] == "Completed", (life.point, life.kind, life.again)


def test_settled_ones_are_finished_by_reconcile(done: Round) -> None:
    """Once a person has named the job, reconcile brings its video to the archive without any further submission."""
    for life in done.lives:
        before, facts = done.repeated[life.token], done.settled[life.token]
        if before.state == "ambiguous":
            wanted = ("archived", True) if before.paid else ("cancelled", False)
            assert (facts.state, facts.handed_out) == wanted, (life.point, life.kind)


def test_all_is_well_in_the_end(done: Round) -> None:
    """Every render has its video, from exactly one paid submission, in at most one attempt that counted."""
    for life in done.lives:
        facts = done.ended[life.token]
        where = (life.point, life.kind, life.again, life.last)
        assert (life.last or life.again)["state"] == "Completed", where
        assert (facts.state, facts.handed_out, len(facts.paid)) == ("archived", True, 1), where
        others = [entry.state for entry in facts.attempts[:-1]]
        assert all(state is State.CANCELLED for state in others), where


def test_no_job_is_an_orphan(done: Round) -> None:
    """Whatever the sandbox has accepted, to the last job, is named by a row of the ledger."""
    assert done.orphans == set()


def test_ledger_knows_what_topview_took(done: Round) -> None:
    """The charge in the ledger is the charge in the vendor's books, for every archived render."""
    for life in done.lives:
        facts = done.ended[life.token]
        if life.vendor == "topview":
            assert facts.entry is not None
            assert facts.entry.charge == Decimal(facts.paid[0]["charged"]), (life.point, life.kind)


def test_ledger_has_one_open_row_for_each_render(done: Round) -> None:
    """Kills leave no second open row for a key behind, and no row in a state that nobody will move on."""
    for step, known in done.steps():
        for life in done.lives:
            open_ones = [entry for entry in known[life.token].attempts if entry.is_open]
            assert len(open_ones) <= 1, (step, life.point, life.kind)


def test_reconcile_ends_well(done: Round) -> None:
    """No pass of reconcile crashes or meets an unexpected error."""
    assert all(not end.startswith(("Crashed", "Broken", "None")) for end in done.rested), done.rested
    assert not any("unexpected" in end for end in done.rested), done.rested
