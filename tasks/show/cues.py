"""How each kind of cue is performed on a stream that is up: one function per kind, vendor page section 5."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_delay, wait_random_exponential

from tasks.errors import ProviderBusy, ProviderError, ProviderUnavailable
from tasks.providers.zego.speaking import Sent, speak
from tasks.show.account import ZegoAccount
from tasks.show.contract import PROVIDER, DriveState, OpenStream, PlannedCue
from tasks.show.driving import EXACT_SLACK, DriveWatch, fetch_slack, rough_slack
from tasks.show.rundown import ActionCue, AudioCue, PauseCue, Rundown, TextCue
from tasks.show.sources import CueFailed, Sources, media_of

CALL_SECONDS = 15.0
"""A call that has no answer by then is made again: a live show does not wait for a dead connection."""
PATIENCE_SECONDS = 40.0
"""How long a cue is offered to a vendor who is busy or away, before the cue has failed."""
LONGEST_PAUSE = 4.0
SOCKET_PAUSE = 1.0
HUSH_SECONDS = 3.0
CHANNELS: Mapping[str, Literal[0, 1, 2]] = {"mixed": 0, "left": 1, "right": 2}
"""VoiceChannel of section 5.1."""

T = TypeVar("T")

log = logging.getLogger("studio.show")


@dataclass
class Played:
    """What is known of a cue while it is performed, also when it is cut."""

    drive_id: str = ""
    confirmed: bool = False
    state: DriveState = DriveState.ENDED


class Stage:
    """A stream that cues are performed on, one at a time.

    Args:
        account: who pays, and its client.
        stream: the stream, which is up.
        watch: tells when drives end.
        rundown: voice and sample rate of the show.
        links: where the vendor fetches the audio files, by their sha256.
    """

    def __init__(
        self,
        account: ZegoAccount,
        stream: OpenStream,
        watch: DriveWatch,
        rundown: Rundown,
        links: Mapping[str, str],
    ) -> None:
        self.client = account.client
        self.task_id = stream.task_id
        self.watch = watch
        self.rundown = rundown
        self.links = links
        self.sources = Sources(rundown.sample_rate)
        self.turn = asyncio.Lock()
        """Held while something is said."""
        self.quiet_since = asyncio.get_running_loop().time()
        """Since when nothing is said, in loop time; the vendor's idle time runs from here."""
        self.first_byte_at: datetime | None = None
        """When the first PCM of a cue was sent."""
        self.may_speak = False
        """Whether something may be speaking whose end nobody has seen: the next drive has to cut it."""
        self._is_asking = False
        self._unverified = account.unverified_socket

    async def perform(self, planned: PlannedCue, played: Played) -> None:
        """Perform a cue to its end.

        Args:
            planned: the cue.
            played: is filled in on the way.

        Raises:
            CueFailed: the source or the vendor failed while it was performed.
            StreamGone: the stream has ended.
            StudioError: the vendor refused it, or was away for longer than the show can wait.
        """
        await _PERFORMED[planned.cue.kind](self, planned, played)

    async def hush(self) -> None:
        """Cut what is being said and drop what is queued; where that fails, the next drive or Stop cuts it."""
        if not self.may_speak:
            return
        try:
            async with asyncio.timeout(HUSH_SECONDS):
                await _again(HUSH_SECONDS)(self.client.interrupt, self.task_id)
        except (ProviderError, TimeoutError) as error:
            log.warning("speech not interrupted task=%s error=%s", self.task_id, type(error).__name__)
            return
        # A call that was given up on its way may arrive only now.
        self.may_speak, self._is_asking = self._is_asking, False

    @asynccontextmanager
    async def speaking(self, played: Played) -> AsyncIterator[None]:
        """Something is said within the block, and nothing else.

        Args:
            played: has a drive's id once the vendor has taken something; before that, nothing was said.
        """
        async with self.turn:
            try:
                yield
                self.may_speak = False
            finally:
                if played.drive_id:
                    self.quiet_since = asyncio.get_running_loop().time()

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, again while the vendor is busy or away."""

        async def once() -> T:
            try:
                async with asyncio.timeout(CALL_SECONDS):
                    return await call()
            except TimeoutError as error:
                raise ProviderUnavailable(
                    f"{PROVIDER} has not answered within {CALL_SECONDS:g} s.", sent=True, provider=PROVIDER
                ) from error

        return await _again(PATIENCE_SECONDS)(once)

    async def drive(self, call: Callable[[bool], Awaitable[T]]) -> T:
        """Make a call that begins a drive, again while the vendor is busy or away.

        Args:
            call: makes it; is told whether something may be speaking already, such as an earlier try without an answer,
                which it has to cut: people would hear the cue twice, or much later.
        """

        async def once() -> T:
            # Both stay when nobody waits for the answer any more.
            has_to_cut, self.may_speak, self._is_asking = self.may_speak, True, True
            try:
                begun = await call(has_to_cut)
            except ProviderError as error:
                self.may_speak = has_to_cut or (isinstance(error, ProviderUnavailable) and error.sent)
                self._is_asking = False
                raise
            self._is_asking = False
            return begun

        return await self.ask(once)

    async def send(self, frames: Callable[[], AsyncIterator[bytes]], played: Played) -> Sent:
        """Send PCM over a socket of its own; at the return up to a second or so of it has not been said yet.

        Args:
            frames: gives the audio; is asked again when a socket did not open, which has taken none of it.
            played: gets the drive's id.

        Raises:
            ProviderUnavailable: no socket opened, or it broke.
        """
        until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            # A new socket cuts whatever speaks, so a repeat after a lost answer needs no special care.
            drive = await self.drive(lambda _has_to_cut: self.client.drive_ws(self.task_id))
            played.drive_id = drive.drive_id
            rate = self.rundown.sample_rate
            try:
                return await speak(drive, frames(), sample_rate=rate, unverified=self._unverified)
            except ProviderUnavailable as error:
                if error.sent or asyncio.get_running_loop().time() > until:
                    raise
                log.warning("drive socket not open yet drive=%s", drive.drive_id)
                await asyncio.sleep(SOCKET_PAUSE)

    async def until_said(self, played: Played, seconds: float, *, slack: float = EXACT_SLACK) -> None:
        """Wait for the end of a drive that speaks for so many seconds, give or take some slack.

        Raises:
            CueFailed: the vendor could not say it.
        """
        end = await self.watch.ended(played.drive_id, seconds, slack=slack)
        played.state, played.confirmed = end.state, end.confirmed
        if end.state is DriveState.FAILED:
            raise CueFailed(
                f"{PROVIDER} ended drive {played.drive_id} as failed{f': {end.reason}' if end.reason else ''}.",
                fix="Check the cue's text or file with `studio show check`.",
            )


async def _text(stage: Stage, planned: PlannedCue, played: Played) -> None:
    cue = planned.cue
    assert isinstance(cue, TextCue)  # noqa: S101 - for the type checker
    timbre = cue.timbre or stage.rundown.timbre or ""

    async def call(has_to_cut: bool) -> str:  # noqa: FBT001 - one fact, named
        return await stage.client.drive_text(
            stage.task_id,
            cue.text,
            timbre=timbre,
            rate=cue.rate,
            pitch=cue.pitch,
            volume=cue.volume,
            interrupt=has_to_cut,
        )

    async with stage.speaking(played):
        played.drive_id = await stage.drive(call)
        await stage.until_said(played, planned.seconds, slack=rough_slack(planned.seconds))


async def _audio(stage: Stage, planned: PlannedCue, played: Played) -> None:
    cue = planned.cue
    assert isinstance(cue, AudioCue)  # noqa: S101 - for the type checker
    url, channel = stage.links[media_of(planned).sha256], CHANNELS[cue.channel]

    async def call(has_to_cut: bool) -> str:  # noqa: FBT001 - one fact, named
        return await stage.client.drive_audio(stage.task_id, url, channel=channel, interrupt=has_to_cut)

    async with stage.speaking(played):
        played.drive_id = await stage.drive(call)
        # Its length is known, but not how long the vendor takes to fetch it.
        await stage.until_said(played, planned.seconds, slack=fetch_slack(planned.seconds))


async def _pcm(stage: Stage, planned: PlannedCue, played: Played) -> None:
    """Stream a source once its first audio is there: a slow start of it must cut nothing, nor starve a socket."""
    async with stage.sources.begun(planned) as (first, rest), stage.speaking(played):
        sent = await stage.send(lambda: _behind(first, rest), played)
        stage.first_byte_at = stage.first_byte_at or sent.first_byte_at
        said = (datetime.now(UTC) - sent.first_byte_at).total_seconds() if sent.first_byte_at else 0.0
        await stage.until_said(played, max(0.0, sent.seconds - said))


async def _action(stage: Stage, planned: PlannedCue, _played: Played) -> None:
    cue = planned.cue
    assert isinstance(cue, ActionCue)  # noqa: S101 - for the type checker
    await stage.ask(lambda: stage.client.act(stage.task_id, cue.action))
    await asyncio.sleep(cue.seconds)


async def _wait(_stage: Stage, planned: PlannedCue, _played: Played) -> None:
    cue = planned.cue
    assert isinstance(cue, PauseCue)  # noqa: S101 - for the type checker
    await asyncio.sleep(cue.pause)


_PERFORMED: Mapping[str, Callable[[Stage, PlannedCue, Played], Awaitable[None]]] = {
    "text": _text,
    "audio": _audio,
    "pcm": _pcm,
    "speech": _pcm,
    "pipe": _pcm,
    "action": _action,
    "pause": _wait,
}


async def _behind(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


def _again(seconds: float) -> AsyncRetrying:
    """Calls again while the vendor is busy or away, for so long."""
    return AsyncRetrying(
        retry=retry_if_exception_type((ProviderBusy, ProviderUnavailable)),
        stop=stop_after_delay(seconds),
        wait=_pause,
        before_sleep=_report,
        reraise=True,
    )


def _pause(state: RetryCallState) -> float:
    """As long as the vendor asked for, within reason for a live show."""
    error: Any = state.outcome.exception() if state.outcome else None
    asked: float = getattr(error, "retry_after", None) or 0.0
    return min(LONGEST_PAUSE, max(asked, _growing(state)))


_growing = wait_random_exponential(multiplier=0.3, max=LONGEST_PAUSE)


def _report(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    log.warning("cue not accepted yet attempt=%d cause=%s", state.attempt_number, type(error).__name__)
