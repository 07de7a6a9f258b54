"""Whether the vendor has the avatar of a rundown, its actions and its voices (section 3 of the vendor page)."""

from collections.abc import Sequence

from tasks.errors import Problem, ProviderRejected
from tasks.providers.zego.client import ZegoClient
from tasks.providers.zego.envelope import DIGITAL_HUMAN_UNKNOWN
from tasks.show.places import Place
from tasks.show.rundown import ActionCue, Rundown, TextCue

_SHOWN_ACTIONS = 12


async def cast_problems(client: ZegoClient, rundown: Rundown, cues: Sequence[Place]) -> list[Problem]:
    """Ask the vendor's catalogue for everything that a rundown names.

    Args:
        client: calls of the account.
        rundown: what was asked for.
        cues: all its simple cues.

    Raises:
        ProviderError: the catalogue cannot be asked.
    """
    try:
        human = await client.digital_human(rundown.avatar)
    except ProviderRejected as refused:
        if refused.code != DIGITAL_HUMAN_UNKNOWN:
            raise
        wrong = f"zego has no digital human {rundown.avatar!r}."
        problems = [Problem("avatar", wrong, "Take one from `studio catalog zego`.")]
        return problems + await _timbre_problems(client, rundown, cues, avatar="")
    problems = _action_problems(human.action_names, cues)
    return problems + await _timbre_problems(client, rundown, cues, avatar=rundown.avatar)


def _action_problems(known: list[str], cues: Sequence[Place]) -> list[Problem]:
    fix = "The avatar has none; take the cue out."
    if known:
        more = " and others: `studio catalog zego`" if len(known) > _SHOWN_ACTIONS else ""
        fix = f"It has {', '.join(known[:_SHOWN_ACTIONS])}{more}."
    return [
        place.problem("action", f"the avatar has no action {place.cue.action!r}.", fix)
        for place in cues
        if isinstance(place.cue, ActionCue) and place.cue.action not in known
    ]


async def _timbre_problems(
    client: ZegoClient, rundown: Rundown, cues: Sequence[Place], *, avatar: str
) -> list[Problem]:
    """Voices that are missing or unknown.

    Args:
        client: calls of the account.
        rundown: what was asked for.
        cues: all its simple cues.
        avatar: id of the avatar, whose private voices count too; empty when there is none.
    """
    texts = [(place, place.cue.timbre) for place in cues if isinstance(place.cue, TextCue)]
    wanted = {timbre for _, own in texts if (timbre := own or rundown.timbre)}
    if rundown.timbre:
        wanted.add(rundown.timbre)
    unknown = await _unknown(client, wanted, avatar)
    problems = []
    if rundown.timbre in unknown:
        problems.append(Problem("timbre", _no_such(rundown.timbre), _TAKE_ONE))
    for place, own in texts:
        if own in unknown:
            problems.append(place.problem("timbre", _no_such(own), _TAKE_ONE))
        elif not own and not rundown.timbre:
            fix = "Give it or the whole show a timbre; `studio catalog zego` lists them."
            problems.append(place.problem("timbre", "no voice is given for this text.", fix))
    return problems


_TAKE_ONE = "Take one from `studio catalog zego`."


def _no_such(timbre: str | None) -> str:
    return f"zego has no timbre {timbre!r} for this avatar."


async def _unknown(client: ZegoClient, wanted: set[str], avatar: str) -> set[str]:
    """Those of the wanted voices that are neither public nor the avatar's own: one list does not hold both."""
    unknown = set(wanted)
    for digital_human_id in ("", avatar) if avatar else ("",):
        if not unknown:
            break
        async for timbre in client.timbres(digital_human_id=digital_human_id):
            unknown.discard(timbre.timbre_id)
            if not unknown:
                break
    return unknown
