"""How long a show is, when it must be over, and how long its stream may live. All moments are aware."""

import math
import unicodedata
from collections.abc import Sequence
from datetime import datetime, timedelta

from tasks.errors import Problem
from tasks.providers.zego.assumptions import (
    CHARACTERS_PER_SECOND,
    RATE_THAT_DOUBLES,
    WIDE_CHARACTERS_PER_SECOND,
)
from tasks.show.contract import PlannedCue, PlannedLoop, ShowPlan
from tasks.show.driving import longest_silence
from tasks.show.places import Place
from tasks.show.rundown import LONGEST_HOURS, LoopCue, PauseCue, PipeCue, Rundown, SimpleCue, SpeechCue, TextCue

LONGEST_SECONDS = LONGEST_HOURS * 3600
MARGIN_SECONDS = 120
"""From the creation of a stream until it is up, and from the last word until it is surely closed."""
TALK_ALLOWANCE = 1.25
"""So much longer than estimated a show may take: texts are read slower, and a person may pause it."""
LATEST_START = timedelta(hours=1)
"""A run that waited for a worker may begin late; a start that is longer past is a mistake."""
SHORTEST_LOOP_SECONDS = 1.0
"""A loop that takes no time would do nothing but call the vendor, 10 times a second."""
IDLE_MARGIN_SECONDS = 5.0
"""For one try to keep the stream alive."""
IDLE_SHARE = 1.5
"""A stream is kept alive from a third of its idle time on, so it takes this much more than the longest silence."""

_LONGEST = timedelta(seconds=LONGEST_SECONDS)
_DIVIDE = "Divide the show into several."


def spoken_seconds(text: str, *, speed: float = 1.0) -> float:
    """Probable length of a text that is read aloud; speed 2 is twice as fast."""
    wide = sum(unicodedata.east_asian_width(sign) in "WF" for sign in text)
    return (wide / WIDE_CHARACTERS_PER_SECOND + (len(text) - wide) / CHARACTERS_PER_SECOND) / speed


def cue_seconds(cue: SimpleCue, recorded: float | None = None) -> float:
    """Probable length of a cue.

    Args:
        cue: of any simple kind.
        recorded: seconds of its recording, for cues that have one.
    """
    if recorded is not None:
        return recorded
    match cue:
        case TextCue():
            return spoken_seconds(cue.text, speed=2 ** ((cue.rate or 0) / RATE_THAT_DOUBLES))
        case SpeechCue():
            return spoken_seconds(cue.script, speed=cue.speed)
        case PauseCue():
            return cue.pause
        case PipeCue():
            return cue.seconds
    return cue.seconds if cue.kind == "action" else 0.0


def show_seconds(cues: Sequence[PlannedCue | PlannedLoop]) -> float | None:
    """Probable length of all cues; None when one of them does not end by itself."""
    total = 0.0
    for cue in cues:
        if isinstance(cue, PlannedCue):
            total += cue.seconds
        elif cue.loop.times is None:
            return None
        else:
            total += cue.loop.times * sum(inner.seconds for inner in cue.cues)
    return total


def hard_end(rundown: Rundown, now: datetime) -> datetime | None:
    """The moment at which the show must be over, as it was asked for."""
    if rundown.most_minutes is not None:
        return _start(rundown, now) + timedelta(minutes=rundown.most_minutes)
    return rundown.ends_at


def time_to_live(rundown: Rundown, seconds: float | None, now: datetime) -> int:
    """Seconds that the stream may live from its creation, which is at the start of the show (section 4.1).

    Args:
        rundown: of which ``time_problems`` found nothing wrong.
        seconds: probable length of the cues; None when only the hard end ends them.
        now: moment of planning.

    Raises:
        ValueError: there is neither a length nor a hard end.
    """
    if (end := hard_end(rundown, now)) is not None:
        life = (end - _start(rundown, now)).total_seconds()
    elif seconds is not None:
        life = seconds * TALK_ALLOWANCE
    else:
        raise ValueError("a show without an end of its own has no hard end.")
    return min(LONGEST_SECONDS, round(life) + MARGIN_SECONDS)


def time_problems(rundown: Rundown, now: datetime) -> list[Problem]:
    """What is wrong with the start and the ends of a rundown, before any length is known."""
    return _start_problems(rundown, now) + _end_problems(rundown, now) + _loop_problems(rundown)


def _start_problems(rundown: Rundown, now: datetime) -> list[Problem]:
    start = rundown.starts_at
    if start is not None and start < now - LATEST_START:
        return [Problem("starts_at", f"{start.isoformat()} is past.", "Give a later start, or none to begin at once.")]
    if start is not None and start > now + _LONGEST:
        wrong = f"{start.isoformat()} is more than {LONGEST_HOURS} hours ahead, and the run would wait for it."
        return [Problem("starts_at", wrong, "Schedule the run for shortly before it.")]
    return []


def _end_problems(rundown: Rundown, now: datetime) -> list[Problem]:
    end = hard_end(rundown, now)
    field = "most_minutes" if rundown.ends_at is None else "ends_at"
    if end is not None and end <= now:
        return [Problem(field, f"the show would be over at {end.isoformat()}, which is past.", "Give a later end.")]
    if end is not None and end > _start(rundown, now) + _LONGEST:
        wrong = f"the show would be over at {end.isoformat()}; no stream lives longer than {LONGEST_HOURS} hours."
        return [Problem(field, wrong, _DIVIDE)]
    return []


def _loop_problems(rundown: Rundown) -> list[Problem]:
    problems = []
    for number, cue in enumerate(rundown.cues, start=1):
        if not isinstance(cue, LoopCue) or cue.times is not None:
            continue
        if not _has_hard_end(rundown):
            wrong = "the loop goes on until the show's end, and the show has none."
            fix = "Give the loop a number of times, or the show ends_at or most_minutes."
            problems.append(Problem(f"cues.{number}.times", wrong, fix))
        if number < len(rundown.cues):
            wrong = "no cue after this loop would be reached, as it goes on until the show's end."
            problems.append(Problem(f"cues.{number}.times", wrong, "Give a number of times, or make it the last cue."))
    return problems


def length_problems(rundown: Rundown, cues: Sequence[PlannedCue | PlannedLoop]) -> list[Problem]:
    """What is wrong with the lengths of the show and of its loops, once all are known."""
    problems = []
    for cue in cues:
        if isinstance(cue, PlannedLoop) and sum(inner.seconds for inner in cue.cues) < SHORTEST_LOOP_SECONDS:
            wrong = f"one round takes less than {SHORTEST_LOOP_SECONDS:g} s."
            problems.append(Problem(f"cues.{cue.number}.loop", wrong, "Put a pause into it."))
    seconds = show_seconds(cues)
    if seconds is not None and not _has_hard_end(rundown) and seconds + MARGIN_SECONDS > LONGEST_SECONDS:
        wrong = f"they take about {seconds / 3600:.1f} hours; no stream lives longer than {LONGEST_HOURS}."
        problems.append(Problem("cues", wrong, _DIVIDE))
    return problems


def idle_problems(rundown: Rundown, cues: Sequence[Place]) -> list[Problem]:
    """Texts behind which the vendor might end the stream as idle, if no callback tells when they have been spoken."""
    found = ((place, idle_wrong(place.cue, rundown.idle_seconds)) for place in cues)
    fix = "Raise it, or divide the text."
    return [place.problem("text", wrong, fix) for place, wrong in found if wrong]


def idle_wrong(cue: SimpleCue, idle_seconds: float) -> str:
    """What is wrong with the length of a text for a stream with such an idle end; empty if nothing."""
    if not isinstance(cue, TextCue):
        return ""
    # While a text may still be spoken, nothing else can be said that would keep the stream alive.
    silence = longest_silence(cue_seconds(cue))
    needed = math.ceil(IDLE_SHARE * (silence + IDLE_MARGIN_SECONDS))
    if needed <= idle_seconds:
        return ""
    return (
        f"its end is only estimated, so up to {silence:.0f} s of silence may follow it, and ZEGO ends a stream that is "
        f"silent for idle_seconds ({idle_seconds:g}). idle_seconds must be at least {needed}."
    )


def remarks(plan: ShowPlan, now: datetime) -> list[str]:
    """What a person should know of a good rundown before it is performed."""
    told = []
    start = _start(plan.rundown, now)
    if plan.rundown.starts_at and plan.rundown.starts_at < now:
        told.append(f"The start {plan.rundown.starts_at.isoformat()} is past: the show begins at once.")
    if plan.hard_end is not None and plan.seconds is not None:
        room = (plan.hard_end - start).total_seconds()
        if plan.seconds > room:
            told.append(f"The cues take about {plan.seconds:.0f} s, but the hard end comes after {room:.0f} s.")
    return told


def _start(rundown: Rundown, now: datetime) -> datetime:
    return max(rundown.starts_at or now, now)


def _has_hard_end(rundown: Rundown) -> bool:
    return rundown.ends_at is not None or rundown.most_minutes is not None
