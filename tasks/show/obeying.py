"""From a person's command to a wish of the show."""

import itertools
import logging
from uuid import UUID

from tasks.show.commands import ShowCommand, listen
from tasks.show.contract import PlannedCue, ShowPlan
from tasks.show.control import Control, CutKind, Ending, EndKind
from tasks.show.record import ShowRecord
from tasks.show.rundown import SpeechCue, TextCue
from tasks.show.timing import cue_seconds, idle_wrong

log = logging.getLogger("studio.show")


async def obey(run_id: UUID, control: Control, record: ShowRecord) -> None:
    """Carry out what people ask of the show of a run; never returns.

    Args:
        run_id: the flow run that commands are sent to.
        control: takes the wishes.
        record: notes what was asked for, and what could not be done.
    """
    numbers = itertools.count(1)
    async for command in listen(run_id):
        refused, cue = _carry_out(command, control, record, numbers)
        if refused:
            log.warning("not done do=%s reason=%s", command.do, refused)
        record.note_command(command, refused, cue=cue)


def _carry_out(
    command: ShowCommand, control: Control, record: ShowRecord, numbers: "itertools.count[int]"
) -> tuple[str, str]:
    """Turn a command into a wish; returns why it could not be done, if so, and the number of the cue it became."""
    if control.ending is not None:
        return "the show was over", ""
    match command.do:
        case "pause":
            control.hold()
        case "resume":
            control.resume()
        case "skip":
            if not record.on_air:
                return "nothing was on air", ""
            control.cut(CutKind.SKIP)
        case "interrupt":
            control.hold()
            control.cut(CutKind.INTERRUPT)
        case "stop":
            control.end(Ending(how=EndKind.STOPPED))
        case "say":
            number = f"say {next(numbers)}"
            try:
                control.say(words_of(command, record.plan, number), queue=command.queue)
            except ValueError as error:
                return str(error), ""
            return "", number
    return "", ""


def words_of(command: ShowCommand, plan: ShowPlan, number: str) -> PlannedCue:
    """The cue that says what a person wants said.

    Raises:
        ValueError: there is no voice for it, or it is too long for the show's idle end.
    """
    timbre = command.timbre or plan.rundown.timbre
    if command.text and not timbre:
        raise ValueError("no voice is given for this text, and the show has none. Give a timbre, or send it as script.")
    # A slip of the tongue of a person must not end the show.
    cue = (
        TextCue(text=command.text, timbre=timbre, on_failure="skip")
        if command.text
        else SpeechCue(script=command.script, on_failure="skip")
    )
    if wrong := idle_wrong(cue, plan.rundown.idle_seconds):
        raise ValueError(f"{wrong} Say it in several parts.")
    return PlannedCue(number=number, cue=cue, seconds=cue_seconds(cue))
