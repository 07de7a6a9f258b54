"""What a digital human says now, as its audience hears it, and how well it was fed.

Nothing ticks: the state is worked out when somebody feeds or asks, so that a stream that nobody watches costs nothing.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from infra.sandbox.zego.heard import RATE, Converter, Heard
from infra.sandbox.zego.pace import SAMPLE_BYTES, Pace


class _Drive:
    """One drive's audio on its way to the audience."""

    def __init__(self, sample_rate: int) -> None:
        self.pace = Pace(sample_rate)
        self.converter = Converter(sample_rate)
        self.pending = bytearray()
        """Converted audio that was not heard yet."""
        self.changed = asyncio.Event()
        self.dropped = self.unfinished = False

    def tell(self) -> None:
        """Wake who waits for this drive."""
        self.changed.set()
        self.changed = asyncio.Event()

    def forget_audio(self) -> None:
        """Give the memory back: a show has thousands of drives."""
        self.pending.clear()
        self.converter.flush()


class Playout:
    """The mouth of one stream. It says one drive at a time: a new one cuts the one before. Used by the loop's thread.

    Audio is signed 16-bit little-endian mono in whole samples. Methods raise KeyError for a drive that never began.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._drives: dict[str, _Drive] = {}
        self._speaking: _Drive | None = None
        self._heard = Heard()

    # What the drives tell

    def begin(self, drive_id: str, sample_rate: int) -> None:
        """A drive's audio will come, at so many Hz.

        Raises:
            ValueError: the drive began before.
        """
        if drive_id in self._drives:
            raise ValueError(f"drive {drive_id} began before")
        self._advance()
        if self._speaking is not None:
            self._cut(self._speaking)
        self._speaking = self._drives[drive_id] = _Drive(sample_rate)

    def feed(self, drive_id: str, pcm: bytes) -> None:
        """Audio came. That of a drive which was dropped is ignored.

        Raises:
            ValueError: a sample is not whole, or the audio was declared complete before.
        """
        drive = self._drives[drive_id]
        if len(pcm) % SAMPLE_BYTES:
            raise ValueError(f"{len(pcm)} bytes are not whole samples of {SAMPLE_BYTES}")
        if drive.dropped or not pcm:
            return
        if drive.pace.complete:
            raise ValueError(f"drive {drive_id} is complete")
        self._advance()
        drive.pace.take(len(pcm), self._clock())
        drive.pending += drive.converter.convert(pcm)
        drive.tell()

    def finish(self, drive_id: str, *, unfinished: bool = False) -> None:
        """No more audio will come; ``unfinished`` when nobody said so, but nobody is there either."""
        drive = self._drives[drive_id]
        if drive.pace.complete or drive.dropped:
            return
        self._advance()
        drive.pace.complete, drive.unfinished = True, unfinished
        drive.pending += drive.converter.flush()
        drive.tell()

    def drop(self, drive_id: str) -> None:
        """Fall silent in the middle of it; does nothing to a drive that is over."""
        drive = self._drives[drive_id]
        self._advance()
        if drive is self._speaking:
            self._cut(drive)

    # What is asked

    async def wait_begun(self, drive_id: str) -> bool:
        """Wait until the first word is said; False for a drive that ended before."""
        drive = self._drives[drive_id]
        while not drive.dropped and not drive.pace.has_begun and not drive.pace.complete:
            await drive.changed.wait()
        while not drive.dropped and drive.pace.has_begun and drive.pace.at > self._clock():
            await self._pass(drive, drive.pace.at - self._clock())
        return drive.pace.has_begun and not drive.dropped

    async def wait_said(self, drive_id: str) -> bool:
        """Wait until all audio of a complete drive is played in real time; False if it was dropped before."""
        drive = self._drives[drive_id]
        while not drive.dropped:
            self._advance()
            if drive.pace.is_said:
                return True
            if drive.pace.complete:
                await self._pass(drive, max(0.0, drive.pace.at - self._clock()) + drive.pace.left)
            else:
                await drive.changed.wait()
        return False

    def facts(self, drive_id: str) -> dict[str, Any]:
        """How the audio of a drive came, as JSON: see ``Pace.facts``; ``unfinished`` if it just broke off."""
        drive = self._drives[drive_id]
        self._advance()
        return drive.pace.facts() | {"unfinished": drive.unfinished, "dropped": drive.dropped}

    def knows(self, drive_id: str) -> bool:
        """Whether a drive ever began."""
        return drive_id in self._drives

    @property
    def position(self) -> int:
        """The sample that is heard now, since the beginning of the stream."""
        return self._sample(self._clock())

    def heard_after(self, sample: int) -> tuple[int, bytes]:
        """What the audience heard from a sample on until now, and the sample that it begins with.

        Signed 16-bit mono at ``RATE``; sample 0 is the beginning of the stream, and the last minute is kept.
        """
        now = self._advance()
        self._heard.be_silent_until(self._sample(now))
        return self._heard.after(sample)

    # Inside

    async def _pass(self, drive: _Drive, seconds: float) -> None:
        """Let time pass, but notice a change of the drive."""
        try:
            async with asyncio.timeout(seconds):
                await drive.changed.wait()
        except TimeoutError:
            return

    def _sample(self, moment: float) -> int:
        return round((moment - self._began) * RATE)

    def _advance(self) -> float:
        """Say what was to be said until now, which is returned."""
        drive, now = self._speaking, self._clock()
        if drive is None or not drive.pace.has_begun or now <= drive.pace.at:
            return now
        begin = drive.pace.at
        until = begin + drive.pace.advance(now)
        self._heard.be_silent_until(self._sample(begin))
        size = max(0, self._sample(until) - self._heard.end) * SAMPLE_BYTES
        self._heard.add(bytes(drive.pending[:size]))
        del drive.pending[:size]
        if drive.pace.is_said:
            self._speaking = None
            drive.forget_audio()
        return now

    def _cut(self, drive: _Drive) -> None:
        self._speaking = None
        drive.dropped = True
        drive.forget_audio()
        drive.tell()
