"""When a drive has ended: by the vendor's callback where one comes, else by the time that its audio takes."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tasks.errors import StudioError
from tasks.providers.zego.assumptions import SHORTEST_SHARE
from tasks.show.contract import DriveState, StreamEvent

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

LOOK_SECONDS = 0.3
LEDGER_SECONDS = 3.0
"""A ledger that is away for longer than this leaves the decision to audio time; the show does not wait for it."""
OVERLAP = timedelta(seconds=10)
"""Rows that several processes write become visible in another order than their times say."""
EXACT_SLACK = 0.5
ROUGH_SLACK = 1.5
ROUGH_SHARE = 0.25
"""How much longer than estimated a text may take before it counts as spoken, without callbacks."""
LONGEST_FETCH = 12.0
"""How long the vendor may take to fetch a file before it speaks."""
QUEUE_SECONDS = 60.0
"""How long the vendor may leave a drive in its queue, once it has said that it is there."""
LATE_NOTICE_SECONDS = 10.0
"""How much later than audio time a callback may come while callbacks are known to come at all."""
MISSED_NOTICES = 2
"""So many ends without a callback, one after the other, and no more are waited for until one comes."""

DRIVE_STATES = {
    1: DriveState.QUEUED,
    2: DriveState.SPEAKING,
    3: DriveState.FAILED,
    4: DriveState.ENDED,
    5: DriveState.INTERRUPTED,
}
"""Section 5.5 of the vendor page."""
OVER = frozenset({DriveState.FAILED, DriveState.ENDED, DriveState.INTERRUPTED})
TASK_OVER = {2: "its start failed", 4: "the vendor is stopping it", 5: "the vendor stopped it"}
"""Statuses of section 4.3 after which nothing can be driven any more."""

log = logging.getLogger("studio.show")


@dataclass(frozen=True)
class DriveEnd:
    """How a drive ended, and whether the vendor said so."""

    state: DriveState
    confirmed: bool
    reason: str = ""


@dataclass(frozen=True)
class _Told:
    """The newest state of a drive, by the vendor's clock, and when we first saw that it speaks, by ours."""

    state: DriveState
    happened_at: datetime
    reason: str
    speaks_since: float | None


class DriveWatch:
    """Reads the callbacks of one stream from the ledger, where the webhooks put them.

    Args:
        ledger: the studio's.
        task_id: of the stream.
        expects: whether callbacks are set up, so that they are waited for before the first has come.
    """

    def __init__(self, ledger: "Ledger", task_id: str, *, expects: bool) -> None:
        self.stream_over: str = ""
        """Why the stream has ended, once the vendor has answered so; set by who asked."""
        self.in_doubt = asyncio.Event()
        """Set by a callback that tells the stream's end: the vendor is to be asked, as anybody may send callbacks."""
        self._ledger = ledger
        self._task_id = task_id
        self._expects = expects
        self._missed = 0
        self._after: datetime | None = None
        self._told: dict[str, _Told] = {}
        self._doubts: set[StreamEvent] = set()

    async def ended(self, drive_id: str, audio_seconds: float, *, slack: float = EXACT_SLACK) -> DriveEnd:
        """Wait for the end of a drive.

        Args:
            drive_id: as the vendor gave it.
            audio_seconds: how long it will still speak, from now on.
            slack: how much longer than that it may take, in seconds.

        Returns:
            The vendor's word; without one ENDED, unconfirmed, once the audio must be over.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while True:
            await self.look()
            told = self._told.get(drive_id)
            if told is not None and told.state in OVER:
                self._missed = 0
                return DriveEnd(told.state, confirmed=True, reason=told.reason)
            if self.stream_over:
                return DriveEnd(DriveState.FAILED, confirmed=True, reason=f"the stream ended: {self.stream_over}")
            since = asked if told is None or told.speaks_since is None else max(asked, told.speaks_since)
            queued = QUEUE_SECONDS if told is not None and told.state is DriveState.QUEUED else 0.0
            if loop.time() >= since + queued + audio_seconds + self._slack(slack):
                return self._by_audio_time(drive_id)
            await asyncio.sleep(LOOK_SECONDS)

    def _slack(self, own: float) -> float:
        return own + LATE_NOTICE_SECONDS if self._expects and self._missed < MISSED_NOTICES else own

    def _by_audio_time(self, drive_id: str) -> DriveEnd:
        if self._expects:
            self._missed += 1
            log.warning("no callback for the end of a drive drive=%s in_a_row=%d", drive_id, self._missed)
        return DriveEnd(DriveState.ENDED, confirmed=False)

    async def look(self) -> None:
        """Read what came since the last look; what cannot be read now is read by a later look."""
        try:
            async with asyncio.timeout(LEDGER_SECONDS):
                events = await self._ledger.stream_events(self._task_id, after=self._after)
        except (StudioError, TimeoutError) as error:
            log.warning("callbacks not read task=%s error=%s", self._task_id, type(error).__name__)
            return
        for event in events:
            self._note(event)
        if events:
            self._after = max(event.received_at for event in events) - OVERLAP

    def _note(self, event: StreamEvent) -> None:
        if event.kind == "task":
            if event.status in TASK_OVER and event not in self._doubts:
                self._doubts.add(event)
                self.in_doubt.set()
            return
        state = DRIVE_STATES.get(event.status)
        if state is None:
            return
        self._expects = True
        old = self._told.get(event.drive_id)
        since = old.speaks_since if old else None
        if state is DriveState.SPEAKING and since is None:
            since = asyncio.get_running_loop().time()
        # An end is final, whatever arrives after it; the rest is ordered by the vendor's clock.
        if old and (old.state in OVER or (old.happened_at > event.happened_at and state not in OVER)):
            state, happened_at, reason = old.state, old.happened_at, old.reason
        else:
            happened_at, reason = event.happened_at, event.reason
        self._told[event.drive_id] = _Told(state, happened_at, reason, since)


def rough_slack(seconds: float) -> float:
    """How much longer than estimated a text may take before it counts as spoken."""
    return ROUGH_SLACK + ROUGH_SHARE * seconds


def fetch_slack(seconds: float) -> float:
    """How much longer than it plays a file of the vendor's may take, which has to fetch it first."""
    return min(rough_slack(seconds), LONGEST_FETCH)


def longest_silence(seconds: float) -> float:
    """How long nothing may be said, without callbacks, until a text of so many estimated seconds counts as spoken."""
    return seconds - SHORTEST_SHARE * seconds + rough_slack(seconds)
