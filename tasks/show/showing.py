"""What a show leaves on its run's page: a live table of its cues, a link to what is seen, and its record at the end."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.artifacts import TableArtifact, acreate_link_artifact, acreate_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.events import emit_event
from prefect.states import Cancelled, Completed, Failed

from tasks.show.account import ZegoAccount
from tasks.show.contract import CueOutcome, OpenStream, PerformedCue
from tasks.show.control import AS_WISHED, Ending, EndKind
from tasks.show.record import Line, ShowManifest, ShowRecord, what_of

CUES_KEY = "show-cues"
PREVIEW_KEY = "show-preview"
ENDED_EVENT = "studio.show.ended"
PAUSE_SECONDS = 2.0
"""An update costs the server a write and an event; people see no difference below this."""
DRAWING_SECONDS = 10.0
HELD = "held by a person"
MOST_LINES = 200
"""A day's loop has thousands of cues; the record in the archive has them all."""

log = logging.getLogger("studio.show")


@dataclass(frozen=True)
class Shown:
    """How a show went. Without a manifest no stream was opened."""

    ending: Ending
    manifest: ShowManifest | None = None
    location: str = ""


class CueTable:
    """The table of cues on the page of this run; a run that is called without Prefect has none."""

    def __init__(self, record: ShowRecord) -> None:
        self._record = record
        self._artifact: UUID | None = None
        self._drawn = -1

    async def keep_drawing(self) -> None:
        """Draw every change within two seconds or so; never returns."""
        while True:
            await self.draw()
            await asyncio.sleep(PAUSE_SECONDS)

    async def draw(self, *, is_last: bool = False) -> None:
        """Draw the table if something has changed or nothing more will; a show goes on without it."""
        changes = self._record.changes
        if FlowRunContext.get() is None or (self._drawn == changes and not is_last):
            return
        async with drawing(CUES_KEY):
            await self._draw(table_of(self._record), describe(self._record))
            self._drawn = changes

    async def _draw(self, lines: list[dict[str, str]], told: str) -> None:
        if self._artifact is None:
            self._artifact = await acreate_table_artifact(table=lines, key=CUES_KEY, description=told)
            return
        async with get_client() as client:
            data = await TableArtifact(table=lines).aformat()
            await client.update_artifact(self._artifact, ArtifactUpdate(data=data, description=told))


def table_of(record: ShowRecord) -> list[dict[str, str]]:
    """A line for each cue: what has happened, what is on air, and, once the show is over, what was not reached."""
    lines = record.lines if record.ending is None else record.all_lines()
    shown = [_row(line) for line in lines[-MOST_LINES:]] + [_on_air(line) for line in record.on_air]
    return shown or [{"cue": "", "outcome": "nothing has begun yet"}]


def describe(record: ShowRecord) -> str:
    """The show in one line of Markdown."""
    title = record.plan.rundown.title or f"room {record.plan.rundown.room}"
    told = f"{len(record.lines)} cues so far" if record.ending is None else str(record.ending)
    failed = record.count(CueOutcome.FAILED)
    held = f", {HELD}" if record.ending is None and record.is_held else ""
    refused = next((asked for asked in reversed(record.asked_for) if asked.refused), None)
    undone = f"; not done: {refused.do} ({refused.refused})" if refused else ""
    return f"**{title}**: {told}{f', {failed} failed' if failed else ''}{held}{undone}"


def _row(line: PerformedCue) -> dict[str, str]:
    return {
        "cue": f"{line.number} {line.name}".strip(),
        "kind": line.kind,
        "what": line.what,
        "planned": _minutes(line.planned_at),
        "began": _clock(line.began_at),
        "ended": _clock(line.ended_at),
        "drift": "" if line.drift_seconds is None else f"{line.drift_seconds:+.2f} s",
        "outcome": str(line.outcome),
        "end told by": _told_by(line),
        "reason": line.reason,
    }


def _on_air(line: Line) -> dict[str, str]:
    return {
        "cue": f"{line.number} {line.planned.cue.name}".strip(),
        "kind": line.planned.cue.kind,
        "what": what_of(line.planned.cue),
        "planned": "" if line.planned_at is None else _minutes(line.planned_at),
        "began": _clock(line.began_at),
        "outcome": "on air",
    }


def _told_by(line: PerformedCue) -> str:
    if not line.drive_id or line.outcome is not CueOutcome.DONE:
        return ""
    return "callback" if line.confirmed else "audio time"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{seconds % 60:04.1f}"


def _clock(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%H:%M:%S.%f}"[:-5] if moment else ""


async def show_preview(account: ZegoAccount, stream: OpenStream) -> None:
    """Link the page on which the sandbox shows the stream; the vendor itself has none, its rooms take a player."""
    if FlowRunContext.get() is None or not account.client.own_network:
        return
    async with drawing(PREVIEW_KEY):
        await acreate_link_artifact(
            link=f"{account.client.base_url}/preview/{stream.task_id}",
            link_text="Watch and hear the show",
            key=PREVIEW_KEY,
            description="The sandbox's preview, while the stream lives.",
        )


def tell_ended(manifest: ShowManifest, location: str) -> None:
    """Emit `studio.show.ended`, which others can react to."""
    if FlowRunContext.get() is None:
        return
    emit_event(
        ENDED_EVENT,
        resource={
            "prefect.resource.id": f"studio.show.{manifest.render_key}",
            "prefect.resource.name": manifest.title or manifest.room,
        },
        payload={
            "run": manifest.run_id,
            "room": manifest.room,
            "ending": str(manifest.ending.how),
            "record": location,
            "outcomes": {each.value: sum(cue.outcome is each for cue in manifest.cues) for each in CueOutcome},
        },
        id=uuid5(NAMESPACE_URL, f"{ENDED_EVENT}/{manifest.render_key}"),
    )


def show_state(shown: Shown) -> State[Any]:
    """Completed when the show ended as somebody wished and no cue failed; else failed, so that nobody overlooks it."""
    message = _told(shown)
    if shown.ending.how not in AS_WISHED or (shown.ending.how is EndKind.HARD_END and not _has_begun(shown.manifest)):
        return Failed(name="Broken off", message=message)
    failed = _count(shown.manifest, CueOutcome.FAILED)
    if failed:
        return Failed(name="Partly performed", message=f"{message} `{CUES_KEY}` on this page says why {failed} failed.")
    return Completed(message=message)


def cancelled_state(shown: Shown) -> State[Any]:
    """The last state of a show that a person cancelled."""
    return Cancelled(message=_told(shown))


def _told(shown: Shown) -> str:
    if shown.manifest is None:
        return f"{shown.ending}; no stream was opened, nothing was spent."
    cues, stream = shown.manifest.cues, shown.manifest.stream
    done = _count(shown.manifest, CueOutcome.DONE)
    seconds = stream.get("seconds")
    lived = f", the stream lived for {_minutes(float(seconds))}" if isinstance(seconds, int | float) else ""
    return f"{shown.ending}; {done} of {len(cues)} cues done{lived}. Record: {shown.location}"


def _has_begun(manifest: ShowManifest | None) -> bool:
    return manifest is not None and _count(manifest, CueOutcome.NOT_REACHED) < len(manifest.cues)


def _count(manifest: ShowManifest | None, outcome: CueOutcome) -> int:
    return sum(cue.outcome is outcome for cue in manifest.cues) if manifest else 0


@asynccontextmanager
async def drawing(what: str) -> AsyncIterator[None]:
    """Something for people's eyes, in the block: no show ends because it could not be drawn."""
    try:
        async with asyncio.timeout(DRAWING_SECONDS):
            yield
    except Exception as error:  # noqa: BLE001 - only a picture
        log.warning("not shown what=%s error=%r", what, error)
