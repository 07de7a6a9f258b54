"""What `studio show check` does once it knows the studio's address, and what it prints."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.markup import escape

from deployments.batch_words import plain
from deployments.cli.console import Output
from deployments.show_files import RundownFile
from tasks.blocks import load_store
from tasks.scratch import scratch_folder
from tasks.settings import get_settings
from tasks.show.account import cost_of, load_zego
from tasks.show.checking import plan_show
from tasks.show.contract import PlannedCue, PlannedLoop, ShowPlan
from tasks.show.reading import read_show
from tasks.show.record import what_of
from tasks.show.timing import remarks
from tasks.step import plain_steps

_LONGEST_WORDS = 70


@dataclass(frozen=True)
class CheckedShow:
    """A good rundown, and what it means."""

    plan: ShowPlan
    cost: Decimal
    """Of the whole time to live: no failure costs more."""
    unit: str
    remarks: list[str]


async def check_show(output: Output, file: RundownFile) -> CheckedShow:
    """Take the way of a show up to where it would open its stream.

    Raises:
        RequestRefused: naming everything that is wrong with the rundown.
        ProviderError: the vendor's catalogue cannot be asked.
        StorageError: the object store does not answer or refuses.
    """
    with output.progress("checking the rundown") as progress, scratch_folder() as folder, plain_steps():
        address = await file.upload(await load_store(get_settings().storage_block))
        rundown = await read_show({"file": address}, folder)
        progress.update("asking for avatar and voices, decoding recordings")
        account = await load_zego()
        plan = await plan_show(rundown, folder, account)
    cost, unit = cost_of(plan.ttl, account.prices)
    return CheckedShow(plan, cost, unit, remarks(plan, datetime.now(UTC)))


def say_checked(output: Output, file: Path, checked: CheckedShow) -> int:
    """Show a good rundown: its cues, its length, and the bound of its cost."""
    plan = checked.plan
    output.result(
        file=str(file),
        avatar=plan.rundown.avatar,
        room=plan.rundown.room,
        seconds=plan.seconds,
        starts_at=plan.rundown.starts_at,
        hard_end=plan.hard_end,
        ttl=plan.ttl,
        cost={"most": checked.cost, "unit": checked.unit},
        cues=[_as_json(cue) for cue in _simple(plan)],
        remarks=checked.remarks,
    )
    output.rows(["cue", "kind", "what", "seconds"], [_row(cue) for outer in plan.cues for cue in _with_inner(outer)])
    output.say("")
    output.table(plain(plan.rundown.title or file.name), _facts(checked))
    for remark in checked.remarks:
        output.say(remark, style="yellow")
    output.say(f"\nNothing was spent. Next: studio show start {shlex.quote(str(file))}", style="bold green")
    return 0


def _facts(checked: CheckedShow) -> dict[str, str]:
    plan = checked.plan
    facts = {"avatar": plan.rundown.avatar, "room": plan.rundown.room}
    facts["begins"] = _moment(plan.rundown.starts_at) if plan.rundown.starts_at else "at once"
    facts["takes"] = "until its hard end" if plan.seconds is None else f"about {_length(plan.seconds)}"
    facts |= {"hard end": _moment(plan.hard_end)} if plan.hard_end else {}
    facts["stream lives"] = f"at most {_length(plan.ttl)}, whatever happens"
    return facts | {"costs": f"at most {checked.cost.normalize():f} {checked.unit}"}


def _simple(plan: ShowPlan) -> Iterator[PlannedCue]:
    for cue in plan.cues:
        yield from cue.cues if isinstance(cue, PlannedLoop) else [cue]


def _with_inner(cue: PlannedCue | PlannedLoop) -> list[PlannedCue | PlannedLoop]:
    return [cue, *cue.cues] if isinstance(cue, PlannedLoop) else [cue]


def _as_json(cue: PlannedCue) -> dict[str, Any]:
    facts = {"number": cue.number, "name": cue.cue.name, "kind": cue.cue.kind}
    return facts | {"what": what_of(cue.cue), "seconds": round(cue.seconds, 3)}


def _row(cue: PlannedCue | PlannedLoop) -> list[str]:
    if isinstance(cue, PlannedLoop):
        times = "until the end" if cue.loop.times is None else f"{cue.loop.times} times"
        cells = [cue.number, "loop", f"{cue.loop.name} {times}".strip(), ""]
    else:
        cells = [f"  {cue.number}" if "." in cue.number else cue.number, cue.cue.kind]
        named = f"{cue.cue.name}: " if cue.cue.name else ""
        cells += [f"{named}{what_of(cue.cue)}"[:_LONGEST_WORDS], f"{cue.seconds:.1f}"]
    return [escape(plain(cell)) for cell in cells]


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min {rest:02d} s" if hours else f"{minutes} min {rest:02d} s"
