"""The record of a show as it happened: a line per cue while it runs, and a manifest when it is over."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from tasks.ledger import Entry
from tasks.show.commands import ShowCommand
from tasks.show.contract import CueOutcome, PerformedCue, PlannedCue, PlannedLoop, ShowPlan
from tasks.show.control import Ending, EndKind
from tasks.show.cues import Played
from tasks.show.rundown import Rundown, SimpleCue

MANIFEST_VERSION: Literal[1] = 1
SHOWN_WORDS = 60

_CUT_OFF = "the process of the show ended in the middle of it"
_HOLDS = frozenset({"pause", "interrupt", "resume"})


class AskedFor(BaseModel):
    """A command of a person, as it was carried out."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    do: str
    words: str = ""
    cue: str = Field("", description="Number of the cue that it became, for what was to be said.")
    refused: str = ""


class ShowManifest(BaseModel):
    """The facts of one show. Seconds are those of the wall unless a field says otherwise."""

    model_config = ConfigDict(frozen=True)

    manifest_version: Literal[1] = MANIFEST_VERSION
    title: str
    run_id: str
    render_key: str
    account: str
    room: str
    stream_id: str
    task_id: str
    rundown: Rundown
    planned_seconds: float | None = Field(description="None with an endless loop.")
    ttl: int
    hard_end: AwareDatetime | None
    began_at: AwareDatetime = Field(description="When its run began.")
    created_at: AwareDatetime | None = Field(description="When the stream task was created.")
    streaming_at: AwareDatetime | None
    first_byte_at: AwareDatetime | None = Field(description="When the first PCM of a cue was sent.")
    ended_at: AwareDatetime | None = Field(description="When the stream had surely ended.")
    stream: dict[str, JsonValue] = Field(description="How the stream ended, as it was found when it was closed.")
    cost: Decimal | None
    unit: str | None
    ending: Ending
    cues: list[PerformedCue]
    asked_for: list[AskedFor]


@dataclass
class Line:
    """A cue that is on air."""

    planned: PlannedCue
    number: str
    planned_at: float | None
    """Seconds after the first cue began; None for what is not in the rundown."""
    began_at: datetime
    played: Played = field(default_factory=Played)


class ShowRecord:
    """What has happened in a show so far.

    Args:
        plan: of the show.
        clock: gives the present moment, aware.
    """

    def __init__(self, plan: ShowPlan, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.plan = plan
        self.began_at = clock()
        self.streaming_at: datetime | None = None
        self.first_byte_at: datetime | None = None
        self.ending: Ending | None = None
        self.lines: list[PerformedCue] = []
        self.on_air: list[Line] = []
        self.asked_for: list[AskedFor] = []
        self.changes = 0
        """Grows with every change, for whoever shows it."""
        self._zero: datetime | None = None
        self._clock = clock

    def begin(self, planned: PlannedCue, number: str, planned_at: float | None) -> Line:
        """Note that a cue begins now."""
        now = self._clock()
        self._zero = self._zero or now
        line = Line(planned, number, planned_at, began_at=now)
        self.on_air.append(line)
        self.changes += 1
        return line

    def end(self, line: Line, outcome: CueOutcome, reason: str = "") -> None:
        """Note how a cue ended."""
        self.on_air.remove(line)
        self.lines.append(self._performed(line, outcome, reason))
        self.changes += 1

    def note_command(self, command: ShowCommand, refused: str = "", *, cue: str = "") -> None:
        """Note what a person asked for, the number of the cue that it became, or why it could not be done."""
        asked = AskedFor(at=self._clock(), do=command.do, words=command.words, cue=cue, refused=refused)
        self.asked_for.append(asked)
        self.changes += 1

    @property
    def is_held(self) -> bool:
        """Whether somebody holds the show."""
        holds = (asked.do for asked in reversed(self.asked_for) if asked.do in _HOLDS and not asked.refused)
        return next(holds, "resume") != "resume"

    def note_unsaid(self, cues: Iterable[PlannedCue]) -> None:
        """Note what somebody wanted said and nobody heard, as the show was over first."""
        unsaid = {cue.number for cue in cues}
        refused = {"refused": "the show was over before it could be said"}
        self.asked_for = [
            asked.model_copy(update=refused) if asked.cue in unsaid else asked for asked in self.asked_for
        ]
        self.changes += 1

    def count(self, *outcomes: CueOutcome) -> int:
        """How many lines have one of these outcomes."""
        return sum(line.outcome in outcomes for line in self.lines)

    def all_lines(self) -> list[PerformedCue]:
        """What was performed, then each cue of the rundown that never began."""
        numbers = [line.number for line in self.lines] + [line.number for line in self.on_air]
        begun = {number.partition(",")[0] for number in numbers}
        return self.lines + [_not_reached(cue, at) for cue, at in each_once(self.plan) if cue.number not in begun]

    def lines_so_far(self) -> list[PerformedCue]:
        """The same in the middle of a show, as if it were cut off now."""
        cut = [self._performed(line, CueOutcome.INTERRUPTED, _CUT_OFF) for line in self.on_air]
        begun = len(self.lines)
        lines = self.all_lines()
        return lines[:begun] + cut + lines[begun:]

    def since_first_cue(self) -> float:
        """Seconds since the first cue began; 0 before."""
        return self._since_zero(self._clock())

    def _performed(self, line: Line, outcome: CueOutcome, reason: str) -> PerformedCue:
        at = self._since_zero(line.began_at)
        return PerformedCue(
            number=line.number,
            name=line.planned.cue.name,
            kind=line.planned.cue.kind,
            what=what_of(line.planned.cue),
            planned_seconds=round(line.planned.seconds, 3),
            planned_at=round(at if line.planned_at is None else line.planned_at, 3),
            began_at=line.began_at,
            ended_at=self._clock(),
            drift_seconds=None if line.planned_at is None else round(at - line.planned_at, 3),
            drive_id=line.played.drive_id,
            outcome=outcome,
            confirmed=line.played.confirmed,
            reason=reason,
        )

    def _since_zero(self, moment: datetime) -> float:
        return 0.0 if self._zero is None else (moment - self._zero).total_seconds()


def in_order(plan: ShowPlan) -> Iterator[tuple[PlannedCue, str, float]]:
    """Every cue as often as it is to be performed: with its number in the record, and its planned second."""
    at = 0.0
    for item in plan.cues:
        if isinstance(item, PlannedCue):
            yield item, item.number, at
            at += item.seconds
            continue
        for lap in itertools.count(1) if item.loop.times is None else range(1, item.loop.times + 1):
            for cue in item.cues:
                yield cue, f"{cue.number}, round {lap}", at
                at += cue.seconds


def each_once(plan: ShowPlan) -> Iterator[tuple[PlannedCue, float]]:
    """Every cue at its first planned second; behind an endless loop, as if that had one round."""
    at = 0.0
    for item in plan.cues:
        cues = item.cues if isinstance(item, PlannedLoop) else [item]
        laps = (item.loop.times or 1) if isinstance(item, PlannedLoop) else 1
        begin = at
        for cue in cues:
            yield cue, at
            at += cue.seconds
        at = begin + laps * (at - begin)


def _not_reached(cue: PlannedCue, at: float) -> PerformedCue:
    return PerformedCue(
        number=cue.number,
        name=cue.cue.name,
        kind=cue.cue.kind,
        what=what_of(cue.cue),
        planned_seconds=round(cue.seconds, 3),
        planned_at=round(at, 3),
        began_at=None,
        ended_at=None,
        drift_seconds=None,
        outcome=CueOutcome.NOT_REACHED,
        confirmed=False,
    )


def what_of(cue: SimpleCue) -> str:
    """A cue in a few words: what is said, which file, which gesture."""
    match cue.kind:
        case "text":
            told = cue.text
        case "speech":
            told = cue.script
        case "audio":
            told = str(cue.audio).partition("?")[0]
        case "pcm":
            told = str(cue.recording).partition("?")[0]
        case "pipe":
            told = f"pipe {cue.pipe}"
        case "action":
            told = cue.action
        case "pause":
            told = f"{cue.pause:g} s of silence"
    told = " ".join(told.split())
    return told if len(told) <= SHOWN_WORDS else f"{told[: SHOWN_WORDS - 1]}…"


def manifest_of(record: ShowRecord, entry: Entry, *, run_id: str, stream_id: str) -> ShowManifest:
    """The manifest of a show whose stream has been closed; before that, what it is if its process ends now.

    Args:
        record: what happened.
        entry: the ledger's row of the stream.
        run_id: of the flow run.
        stream_id: of the stream.
    """
    plan, rundown = record.plan, record.plan.rundown
    return ShowManifest(
        title=rundown.title,
        run_id=run_id,
        render_key=entry.render_key,
        account=entry.account,
        room=rundown.room,
        stream_id=stream_id,
        task_id=entry.job_id or "",
        rundown=rundown,
        planned_seconds=plan.seconds,
        ttl=plan.ttl,
        hard_end=plan.hard_end,
        began_at=record.began_at,
        created_at=entry.submitted_at,
        streaming_at=record.streaming_at,
        first_byte_at=record.first_byte_at,
        ending=record.ending or Ending(how=EndKind.BROKEN, reason=_CUT_OFF),
        cues=record.all_lines() if record.ending else record.lines_so_far(),
        asked_for=record.asked_for,
        **booked(entry),
    )


def booked(entry: Entry) -> dict[str, Any]:
    """The fields of a manifest that are known for certain only when the stream has been closed and booked."""
    return {
        "ended_at": entry.succeeded_at,
        "stream": entry.result or {},
        "cost": entry.charge if entry.charge is not None else entry.estimate,
        "unit": entry.unit,
    }
