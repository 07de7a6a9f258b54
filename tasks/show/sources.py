"""Where the PCM of a cue comes from; one source is begun early, so that the audience does not wait for it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tasks.errors import StudioError
from tasks.show.contract import CueMedia, PlannedCue
from tasks.show.control import let_go
from tasks.show.pcm import file_pcm
from tasks.show.pipes import pipe_pcm
from tasks.show.rundown import PcmCue, PipeCue, SpeechCue

PREPARED = (PcmCue, SpeechCue)
"""A pipe is not opened early: its writer may speak when it is."""


class CueFailed(StudioError):
    """A cue could not be performed, or the vendor ended it as failed."""


@dataclass
class _Begun:
    """A source whose first piece of audio is on its way."""

    cue: PlannedCue
    frames: AsyncGenerator[bytes]
    first: asyncio.Task[bytes]


class Sources:
    """The sources of a show's streamed cues, at most one of them begun early. What was, is given up at its block's end.

    Args:
        sample_rate: of the PCM, in Hz.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._early: _Begun | None = None

    async def prepare(self, planned: PlannedCue) -> None:
        """Begin the source of a cue that comes soon; what goes wrong is told when it is performed."""
        if not isinstance(planned.cue, PREPARED) or (self._early is not None and self._early.cue is planned):
            return
        await self._give_up_early()
        self._early = self._begin(planned)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._give_up_early()

    async def _give_up_early(self) -> None:
        early, self._early = self._early, None
        if early is not None:
            await _give_up(early)

    @asynccontextmanager
    async def begun(self, planned: PlannedCue) -> AsyncIterator[tuple[bytes, AsyncGenerator[bytes]]]:
        """A source for the length of a block: its first piece of audio, which is there, and the rest.

        Raises:
            CueFailed: it has no audio.
            StudioError: it cannot be read.
        """
        early = self._early
        if early is not None and early.cue is planned:
            self._early, source = None, early
        else:
            source = self._begin(planned)
        try:
            first = await source.first
            if not first:
                raise CueFailed(
                    "its source gave no audio.", fix="Check the recording, the script or the pipe's writer."
                )
            async with aclosing(source.frames):
                yield first, source.frames
        finally:
            await _give_up(source)

    def _begin(self, planned: PlannedCue) -> _Begun:
        frames = self._frames_of(planned)
        return _Begun(planned, frames, asyncio.create_task(_first_of(frames)))

    def _frames_of(self, planned: PlannedCue) -> AsyncGenerator[bytes]:
        match planned.cue:
            case SpeechCue() as cue:
                from tasks.show.spoken import spoken_pcm  # noqa: PLC0415 - loads the voice's libraries

                return spoken_pcm(cue.script, voice=cue.voice, speed=cue.speed, sample_rate=self._sample_rate)
            case PipeCue() as cue:
                return pipe_pcm(cue.pipe, self._sample_rate, cue.seconds)
        return file_pcm(media_of(planned).path, self._sample_rate)


def media_of(planned: PlannedCue) -> CueMedia:
    """The recording of a cue that has one.

    Raises:
        CueFailed: the plan has none for it.
    """
    if planned.media is None:
        raise CueFailed(f"cue {planned.number} has no media.", fix="Check the rundown with `studio show check`.")
    return planned.media


async def _first_of(frames: AsyncGenerator[bytes]) -> bytes:
    return await anext(frames, b"")


async def _give_up(source: _Begun) -> None:
    await let_go(source.first)
    await source.frames.aclose()
