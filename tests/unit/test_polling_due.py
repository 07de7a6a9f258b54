"""Whose turn it is: due first, owners in turn, and what was brought forward before the rest."""

from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from tasks.ledger import State
from tasks.polling.due import MOST_STALE, DueQueue
from tasks.polling.jobs import Job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(owner: str = "batch") -> Job:
    return Job(
        entry_id=uuid4(),
        job_id="job",
        owner=owner,
        mode="",
        work=None,
        state=State.SUBMITTED,
        changed_at=NOW,
        submitted_at=NOW,
        deadline=1e9,
        tell=lambda _: None,
        watch=None,
        has_notice=False,
        stored_plan=None,
    )


def test_owners_take_turns() -> None:
    """Ten questions of a small batch are not behind the thousand of a large one."""
    queue = DueQueue()
    for _ in range(1000):
        queue.put(job("large"), 1)
    for _ in range(10):
        queue.put(job("small"), 2)

    first = [taken.owner for taken in queue.take(5, 20)]

    assert sorted(first) == ["large"] * 10 + ["small"] * 10
    assert {taken.owner for taken in queue.take(5, 2000)} == {"large"}
    assert queue.next_due() is None


def test_what_is_brought_forward_is_next() -> None:
    """A notice does not wait for the questions that were due before it."""
    queue, noticed = DueQueue(), job()
    for _ in range(100):
        queue.put(job(), 1)
    queue.put(noticed, 500)
    queue.take(2, 5)
    queue.hurry(noticed)

    assert queue.take(2, 1) == [noticed]
    assert noticed not in queue.take(1000, 1000)


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["put", "hurry", "remove", "take"]), st.integers(0, 9), st.integers(0, 9)),
        max_size=80,
    )
)
def test_a_job_is_in_one_place_or_in_none(moves: list[tuple[str, int, int]]) -> None:
    """Whatever is done, a job that is planned is taken once, at its last plan; one that was removed never."""
    queue, jobs = DueQueue(), [job(f"owner-{number % 3}") for number in range(10)]
    planned: dict[int, float] = {}
    for move, number, moment in moves:
        if move == "put":
            queue.put(jobs[number], moment)
            planned[number] = moment
        elif move == "hurry":
            queue.hurry(jobs[number])
            planned[number] = float("-inf")
        elif move == "remove":
            queue.remove(jobs[number])
            planned.pop(number, None)
        else:
            taken = queue.take(moment, 2)
            due = [number for number, at in planned.items() if at <= moment]
            assert len(taken) >= min(2, len(due)), "what is due is taken"
            for one in taken:
                del planned[jobs.index(one)]

    assert sorted(map(jobs.index, queue.take(100, 100))) == sorted(planned)


def test_forgotten_plans_are_freed() -> None:
    """Renders that end early do not stay in memory until the question that was planned for them."""
    queue = DueQueue()
    for _ in range(5 * MOST_STALE):
        ended = job()
        queue.put(ended, 1e6)
        queue.remove(ended)

    assert len(queue._heap) <= MOST_STALE + 1
