"""How long a show is and how long its stream may live: the bound of what it can cost."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.show.contract import PlannedCue, PlannedLoop, ShowPlan
from tasks.show.reading import check_rundown
from tasks.show.rundown import LoopCue, Rundown, SimpleCue
from tasks.show.timing import (
    LONGEST_SECONDS,
    MARGIN_SECONDS,
    cue_seconds,
    hard_end,
    length_problems,
    remarks,
    show_seconds,
    spoken_seconds,
    time_problems,
    time_to_live,
)
from tests.bad_rundowns import GOOD

NOW = datetime(2030, 1, 1, 9, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)


def rundown_of(*cues: dict[str, Any], **fields: Any) -> Rundown:
    return check_rundown(GOOD | {"cues": list(cues or [{"pause": 60}])} | fields)


def planned(rundown: Rundown) -> list[PlannedCue | PlannedLoop]:
    """Its cues, recordings of 10 s each."""

    def simple(number: str, cue: SimpleCue) -> PlannedCue:
        recorded = 10.0 if cue.kind in {"audio", "pcm"} else None
        return PlannedCue(number=number, cue=cue, seconds=cue_seconds(cue, recorded))

    return [
        PlannedLoop(number=str(number), loop=cue, cues=[simple(f"{number}.1", inner) for inner in cue.loop])
        if isinstance(cue, LoopCue)
        else simple(str(number), cue)
        for number, cue in enumerate(rundown.cues, start=1)
    ]


def plan_of(rundown: Rundown) -> ShowPlan:
    cues = planned(rundown)
    seconds = show_seconds(cues)
    ttl = time_to_live(rundown, seconds, NOW)
    return ShowPlan(rundown=rundown, cues=cues, seconds=seconds, ttl=ttl, hard_end=hard_end(rundown, NOW))


@pytest.mark.parametrize(
    ("cue", "seconds"),
    [
        ({"text": "a" * 150}, 10),
        ({"text": "a" * 150, "rate": 500}, 5),
        ({"text": "a" * 150, "rate": -500}, 20),
        ({"text": "你" * 45}, 10),
        ({"script": "a" * 150, "speed": 2}, 5),
        ({"audio": "s3://staging/a.mp3"}, 10),
        ({"recording": "s3://staging/a.ogg"}, 10),
        ({"pipe": "live", "seconds": 7}, 7),
        ({"action": "wave", "seconds": 3}, 3),
        ({"pause": 4}, 4),
        ({"loop": [{"pause": 4}, {"action": "wave"}], "times": 3}, 18),
        ({"loop": [{"pause": 4}]}, None),
    ],
)
def test_length_of_cues(cue: dict[str, Any], seconds: float | None) -> None:
    """Every kind of cue has a probable length; only an endless loop has none."""
    assert show_seconds(planned(rundown_of(cue))) == pytest.approx(seconds)


def test_chinese_is_not_taken_for_short() -> None:
    """A sign of Chinese takes longer than a letter, so that a Chinese show is not cut off by its TTL."""
    assert spoken_seconds("欢迎来到演播室") > 3 * spoken_seconds("welcome")


@pytest.mark.parametrize(
    ("fields", "ttl"),
    [
        ({}, 75 + MARGIN_SECONDS),
        ({"most_minutes": 5}, 300 + MARGIN_SECONDS),
        ({"ends_at": LATER}, 7200 + MARGIN_SECONDS),
        ({"starts_at": LATER, "most_minutes": 5}, 300 + MARGIN_SECONDS),
        ({"starts_at": LATER, "ends_at": LATER + timedelta(minutes=5)}, 300 + MARGIN_SECONDS),
        ({"starts_at": NOW - timedelta(minutes=9), "ends_at": NOW + timedelta(minutes=1)}, 60 + MARGIN_SECONDS),
        ({"most_minutes": 1440}, LONGEST_SECONDS),
    ],
)
def test_stream_lives_as_long_as_its_show(fields: dict[str, Any], ttl: int) -> None:
    """The TTL follows from the hard end, else from the cues and an allowance; waiting for the start is not in it."""
    assert time_to_live(rundown_of(**fields), 60, NOW) == ttl


def test_endless_show_wants_a_hard_end() -> None:
    """Nobody gets the vendor's 24 hours by omission."""
    with pytest.raises(ValueError, match="no hard end"):
        time_to_live(rundown_of({"loop": [{"pause": 4}]}), None, NOW)


@given(
    st.floats(min_value=0, max_value=LONGEST_SECONDS - MARGIN_SECONDS),
    st.none() | st.floats(min_value=0.01, max_value=1440),
)
def test_ttl_is_one_that_the_vendor_takes(seconds: float, most_minutes: float | None) -> None:
    """Whatever was accepted, the TTL is within 10..86400, never below what was promised, and in whole seconds."""
    rundown = rundown_of(most_minutes=most_minutes)

    ttl = time_to_live(rundown, seconds, NOW)

    promised = seconds if most_minutes is None else most_minutes * 60
    assert 10 <= ttl <= LONGEST_SECONDS
    assert ttl >= min(promised, LONGEST_SECONDS)


def test_good_times_are_not_complained_about() -> None:
    """A show that begins in an hour and ends an hour later is fine, and so is one that begins at once."""
    soon = rundown_of(starts_at=NOW + timedelta(hours=1), ends_at=LATER)

    assert time_problems(soon, NOW) == []
    assert time_problems(rundown_of(), NOW) == []
    assert time_problems(rundown_of({"loop": [{"pause": 4}]}, most_minutes=5), NOW) == []
    assert length_problems(soon, planned(soon)) == []


def test_late_start_is_told_and_not_refused() -> None:
    """A run that waited for its worker for some minutes still goes on air."""
    late = rundown_of(starts_at=NOW - timedelta(minutes=5))

    assert time_problems(late, NOW) == []
    assert "begins at once" in remarks(plan_of(late), NOW)[0]


def test_too_long_for_its_end_is_told_and_not_refused() -> None:
    """More cues than time is what a hard end is for; but somebody should know."""
    tight = rundown_of({"pause": 90}, most_minutes=1)

    assert remarks(plan_of(tight), NOW) == ["The cues take about 90 s, but the hard end comes after 60 s."]
    assert remarks(plan_of(rundown_of({"pause": 30}, most_minutes=1)), NOW) == []
