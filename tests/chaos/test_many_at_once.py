"""Many identical requests at the same moment, in several processes: one submission is paid, all are answered."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tasks.ledger import State
from tasks.ledger.store import Ledger
from tests.chaos.figures import FIGURES
from tests.chaos.kill_points import RENDER_SECONDS, KillPoint
from tests.chaos.lives import Kind, Place
from tests.servers.postgres import PostgresServer, find_program

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

PROCESSES, RUNS_EACH = 4, 50
DEPLOYMENT_RUNS = 6
HEAD_START_SECONDS = 1.0


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL for the ledger that several machines share."""
    if find_program("postgres") is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    with PostgresServer() as server:
        yield server


async def _make_tables(url: str) -> None:
    async with await Ledger.open(url):
        pass


def _crowd(place: Place, kind: Kind, environment: dict[str, str]) -> list[str]:
    """Run one request in many coroutines of several processes; checks that one submission was paid."""
    place.sandbox.settings(render_seconds=RENDER_SECONDS)
    life = place.life(kind, "two hundred at once")
    at = time.time() + HEAD_START_SECONDS
    children = [
        place.nursery.start("crowd", environment=environment, request=life.request, number=RUNS_EACH, at=at)
        for _ in range(PROCESSES)
    ]
    told = [child.wait(780).told() for child in children]
    answers = [answer for each in told for answer in each.get("answers", [str(each)])]
    paid = place.facts([life])[life.token].paid
    slowest = max(each.get("seconds", 0) for each in told)
    FIGURES.append(
        f"{kind}{', PostgreSQL' if environment else ''}: {PROCESSES} x {RUNS_EACH} identical requests at once: "
        f"{len(paid)} submission, {len(answers)} answers, {len(set(answers))} video, the last after {slowest:.0f} s; "
        f"{sum(each.get('made', 0) for each in told)} runs checked and labelled it themselves"
    )

    assert len(paid) == 1
    return answers


@pytest.mark.parametrize("kind", ["topview", pytest.param("mingyan", marks=pytest.mark.slow)])
def test_two_hundred_identical_requests_make_one_submission(place: Place, kind: Kind) -> None:
    """Four processes of fifty runs on one SQLite ledger: one paid job, two hundred times the same video."""
    answers = _crowd(place, kind, {})

    assert len(answers) == PROCESSES * RUNS_EACH
    assert len(set(answers)) == 1, set(answers)
    assert answers[0].startswith("s3://archive/renders/")


@pytest.mark.slow
def test_two_hundred_identical_requests_on_postgresql(place: Place, postgres: PostgresServer) -> None:
    """The same on the ledger that several machines share."""
    url = postgres.create_database()
    # As the studio does at its start; two hundred runs that make the tables together wait for each other.
    asyncio.run(_make_tables(url))
    answers = _crowd(place, "topview", {"STUDIO_LEDGER_URL": url})

    assert len(answers) == PROCESSES * RUNS_EACH
    assert len(set(answers)) == 1, set(answers)


def test_run_that_looked_too_early_does_not_take_the_archive_for_lost(place: Place) -> None:
    """A run that finds no video, and is overtaken by another before its intent, hands out that one's video."""
    life = place.life("topview", "overtaken")
    early = KillPoint(name="overtaken", function="tasks.ledger.store:Ledger.reserve", stops=True)
    overtaken = place.nursery.start("render", point=early, request=life.request)
    overtaken.wait_stopped()
    place.ask_again([life])
    overtaken.go_on()

    assert overtaken.wait().told()["state"] == "Completed"
    facts = place.facts([life])[life.token]
    assert (len(facts.paid), facts.state, facts.handed_out) == (1, "archived", True)
    assert [event.after for event in place.history(facts.attempts[-1].render_key)].count(State.ARCHIVED) == 1


@pytest.mark.parametrize("kind", ["topview", pytest.param("mingyan", marks=pytest.mark.slow)])
def test_identical_runs_of_the_deployment_make_one_submission(place: Place, kind: Kind) -> None:
    """Six runs started over the Prefect API at once, each a process of its own: one paid job, one video."""
    place.sandbox.settings(render_seconds=RENDER_SECONDS)
    life = place.life(kind, "six at once")
    runs = [place.api.start(life.request) for _ in range(DEPLOYMENT_RUNS)]
    states = [place.api.wait(run, 600)["state"] for run in runs]

    assert [state["type"] for state in states] == ["COMPLETED"] * DEPLOYMENT_RUNS, states
    assert len({place.api.facts(run)["video"] for run in runs}) == 1
    facts = place.facts([life])[life.token]
    assert (len(facts.paid), facts.state, facts.handed_out) == (1, "archived", True)
