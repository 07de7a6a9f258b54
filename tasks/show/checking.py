"""Everything that is wrong with a rundown, at once and before anything is created; then the plan of the show."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tasks.addresses import why_unfetchable
from tasks.blocks import load_store
from tasks.errors import Problem, RequestRefused, StudioError
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount
from tasks.show.casting import cast_problems
from tasks.show.contract import PlannedCue, PlannedLoop, ShowPlan
from tasks.show.pipes import pipe_path
from tasks.show.places import Place, places
from tasks.show.recordings import Recordings, bring_recordings
from tasks.show.rundown import (
    TELLING,
    AudioCue,
    LoopCue,
    PauseCue,
    PcmCue,
    PipeCue,
    Rundown,
    SimpleCue,
    SpeechCue,
)
from tasks.show.timing import (
    cue_seconds,
    hard_end,
    idle_problems,
    length_problems,
    remarks,
    show_seconds,
    time_problems,
    time_to_live,
)
from tasks.step import step

log = logging.getLogger("studio.show")


@step("check the rundown")
async def plan_show(rundown: Rundown, folder: Path, account: ZegoAccount) -> ShowPlan:
    """Check a rundown against the clock, the vendor's catalogue and its own recordings, and plan it. Spends nothing.

    Args:
        rundown: what was asked for.
        folder: where recordings go; they are needed for the life of the show.
        account: whose avatars and voices are meant.

    Raises:
        RequestRefused: naming everything that is wrong, and the way out.
        ProviderError: the catalogue cannot be asked.
        StudioUnavailable: the ledger, which shares out the vendor's rate, does not answer.
        StorageError: the object store does not answer or denies access.
    """
    now = datetime.now(UTC)
    cues = list(places(rundown))
    problems = time_problems(rundown, now) + idle_problems(rundown, cues)
    # Opened first, as a call waits only a moment for its turn.
    async with open_ledger():
        problems += await cast_problems(account.client, rundown, cues)
    problems += await _link_problems(cues, vendor_is_inside=bool(account.client.own_network))
    problems += await asyncio.to_thread(_source_problems, cues)
    problems += [] if account.unverified_socket else _socket_problems(cues, rundown.idle_seconds)
    recordings, refused = await bring_recordings(cues, folder)
    planned = [_planned(str(number), cue, recordings) for number, cue in enumerate(rundown.cues, start=1)]
    # Without its recordings nobody knows how long a show is.
    problems += refused or length_problems(rundown, planned)
    if problems:
        raise RequestRefused(sorted(problems, key=_place_of))
    seconds = show_seconds(planned)
    ttl = time_to_live(rundown, seconds, now)
    plan = ShowPlan(rundown=rundown, cues=planned, seconds=seconds, ttl=ttl, hard_end=hard_end(rundown, now))
    for remark in remarks(plan, now):
        log.warning("rundown remark=%r", remark)
    told = "endless" if seconds is None else f"{seconds:.1f}"
    log.info("rundown checked cues=%d seconds=%s ttl=%d", len(cues), told, ttl)
    return plan


def _planned(number: str, cue: SimpleCue | LoopCue, recordings: Recordings) -> PlannedCue | PlannedLoop:
    if isinstance(cue, LoopCue):
        inner = [_planned_cue(f"{number}.{place}", looped, recordings) for place, looped in enumerate(cue.loop, 1)]
        return PlannedLoop(number=number, loop=cue, cues=inner)
    return _planned_cue(number, cue, recordings)


def _planned_cue(number: str, cue: SimpleCue, recordings: Recordings) -> PlannedCue:
    media = recordings.of(cue)
    return PlannedCue(number=number, cue=cue, seconds=cue_seconds(cue, media.seconds if media else None), media=media)


async def _link_problems(cues: Sequence[Place], *, vendor_is_inside: bool) -> list[Problem]:
    """The vendor fetches the files of audio cues itself."""
    place = next((place for place in cues if isinstance(place.cue, AudioCue)), None)
    if place is None:
        return []
    address = (await load_store(get_settings().storage_block)).public_address
    wrong = why_unfetchable(address, vendor_is_inside=vendor_is_inside)
    if not wrong:
        return []
    return [
        place.problem(
            "audio",
            f"zego fetches the file itself, but cannot from {address!r}: {wrong}.",
            "Set 'Public endpoint' in the storage block to an address of the object store that the internet reaches, "
            "or give the file as recording instead.",
        )
    ]


def _socket_problems(cues: Sequence[Place], idle_seconds: float) -> list[Problem]:
    """What needs the drive socket, where its certificate is not accepted: speech from here, and silence that lasts."""
    problems = []
    for place in cues:
        if isinstance(place.cue, PcmCue | SpeechCue | PipeCue):
            wrong, other = "it is streamed", "give text or audio instead"
        elif isinstance(place.cue, PauseCue) and place.cue.pause >= idle_seconds:
            wrong, other = "the stream is to be kept alive", f"raise idle_seconds of the show ({idle_seconds:g})"
        else:
            continue
        field = next(name for name, kind in TELLING.items() if kind == place.cue.kind)
        problems.append(place.problem(field, f"{wrong}, but {_NOT_ACCEPTED}.", f"{_ACCEPT}, or {other}."))
    return problems


_NOT_ACCEPTED = "the ZEGO block does not accept the drive socket's certificate, which nobody can verify"
_ACCEPT = "Switch on 'Accept the drive socket's certificate unseen' in the block"


def _source_problems(cues: Sequence[Place]) -> list[Problem]:
    """What this machine cannot say itself: scripts that its voice cannot read, pipes that cannot be made."""
    problems = []
    for place in cues:
        if isinstance(place.cue, SpeechCue):
            problems += _script_problems(place, place.cue)
        elif isinstance(place.cue, PipeCue):
            problems += _pipe_problems(place, place.cue)
    return problems


def _script_problems(place: Place, cue: SpeechCue) -> list[Problem]:
    from tasks.show.spoken import check_spoken  # noqa: PLC0415 - heavy imports only where used

    return [place.problem(found.field, found.wrong, found.fix) for found in check_spoken(cue)]


def _pipe_problems(place: Place, cue: PipeCue) -> list[Problem]:
    try:
        pipe_path(cue.pipe)
    except StudioError as error:
        return [place.problem("pipe", error.message, error.fix)]
    return []


def _place_of(problem: Problem) -> list[int]:
    """Sorts by cue; what is wrong with the show as a whole comes first."""
    return [int(part) for part in problem.field.split(".") if part.isdigit()]
