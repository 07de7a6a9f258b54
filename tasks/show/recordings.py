"""The recordings of a show: fetched once each, decoded to their end, and what is wrong with each where it is used."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tasks.errors import MediaRefused, Problem
from tasks.media import WantedMedia, bring_media
from tasks.providers.base import ProbedMedia
from tasks.settings import get_settings
from tasks.show.contract import CueMedia
from tasks.show.places import Place
from tasks.show.rundown import AudioCue, PcmCue, SimpleCue

FETCHABLE = ("mp3", "wav")
"""Section 5.1: what the vendor plays from a link."""

_AT_ONCE = 4


class Recordings:
    """The recordings of a rundown, here on this machine, by reference.

    Args:
        found: those with which nothing is wrong as such.
    """

    def __init__(self, found: dict[str, ProbedMedia]) -> None:
        self._found = found

    def of(self, cue: SimpleCue) -> CueMedia | None:
        """The recording of a cue; None for cues of other kinds, and for one that was refused."""
        media = self._found.get(_named_by(cue)[1])
        if media is None or media.seconds is None:
            return None
        return CueMedia(reference=media.reference, path=media.path, seconds=media.seconds, sha256=media.sha256)

    def problems(self, cues: Sequence[Place]) -> list[Problem]:
        """What the vendor would refuse in recordings that it fetches by a link."""
        problems = []
        for place in cues:
            media = self._found.get(_named_by(place.cue)[1])
            if media is None or not isinstance(place.cue, AudioCue):
                continue
            if media.extension not in FETCHABLE:
                wrong = f"the vendor plays MP3 and WAV files, and this is {media.extension.upper()}."
                problems.append(place.problem("audio", wrong, "Export it as MP3, or give it as recording instead."))
            elif place.cue.channel != "mixed" and media.channels == 1:
                wrong = f"the file has one channel, so there is no {place.cue.channel} one."
                problems.append(place.problem("channel", wrong, "Leave it out."))
        return problems


async def bring_recordings(cues: Sequence[Place], folder: Path) -> tuple[Recordings, list[Problem]]:
    """Fetch and probe every recording that cues name, each reference once.

    Args:
        cues: all simple cues of a rundown.
        folder: where the files go, for the life of the run.

    Returns:
        The recordings, and what is wrong with any of them, at every cue that names it.

    Raises:
        StorageError: the object store does not answer or denies access.
    """
    references = list(dict.fromkeys(named for place in cues if (named := _named_by(place.cue)[1])))
    free = asyncio.Semaphore(_AT_ONCE)

    async def bring(number: int, reference: str) -> ProbedMedia:
        wanted = WantedMedia("speech", "speech.audio", reference, get_settings().max_audio_bytes)
        async with free:
            return await bring_media(wanted, folder / f"recording-{number}.media")

    outcomes = await asyncio.gather(*(bring(*item) for item in enumerate(references, 1)), return_exceptions=True)
    found: dict[str, ProbedMedia] = {}
    refused: dict[str, MediaRefused] = {}
    for reference, outcome in zip(references, outcomes, strict=True):
        if isinstance(outcome, MediaRefused):
            refused[reference] = outcome
        elif isinstance(outcome, BaseException):
            raise outcome
        else:
            found[reference] = outcome
    recordings = Recordings(found)
    return recordings, _refusals(cues, refused) + recordings.problems(cues)


def _refusals(cues: Sequence[Place], refused: dict[str, MediaRefused]) -> list[Problem]:
    problems = []
    for place in cues:
        name, reference = _named_by(place.cue)
        if reference in refused:
            problems += [place.problem(name, found.wrong, found.fix) for found in refused[reference].problems]
    return problems


def _named_by(cue: SimpleCue) -> tuple[str, str]:
    """The field that names a cue's recording, and the reference; both empty for cues of other kinds."""
    if isinstance(cue, AudioCue):
        return "audio", cue.audio
    if isinstance(cue, PcmCue):
        return "recording", cue.recording
    return "", ""
