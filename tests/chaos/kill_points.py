"""Where in its life a run can be made to die: directly before or after a product function, by SIGKILL.

Nothing of the product is replaced: the function runs as it is, and the process ends beside it.
"""

import asyncio
import functools
import importlib
import inspect
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

Vendor = Literal["topview", "mingyan"]

RENDER_SECONDS = 1.0
_LEDGER = "tasks.ledger.store:Ledger"
_PROVIDERS: dict[Vendor, str] = {
    "topview": "tasks.providers.topview.provider:TopViewProvider",
    "mingyan": "tasks.providers.mingyan.provider:MingyanProvider",
}


class KillPoint(BaseModel):
    """One moment in the life of a run.

    Args:
        name: the moment, as the matrix shows it.
        function: ``module:name`` of the product function beside which the process dies; empty where it is killed from
            outside while the sandbox holds its call.
        when: before the function does anything, or once it is done.
        call: in which of its calls, counted from 1.
        given: count only calls that are given this value.
        render_seconds: how long the sandbox takes for the video.
        constants: ``module:NAME`` of constants of the product that are set otherwise, to reach the moment with a
            small video.
        from_call: ``module:name`` of the function before whose first call that is done.
        held: the call that the sandbox holds, and the fault that holds it.
        armed: a call of the sandbox and the fault that it suffers.
        stops: the process is only stopped there, by SIGSTOP, and may be told to go on.
        vendors: whose renders have such a moment.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    function: str = ""
    when: Literal["before", "after"] = "before"
    call: int = 1
    given: str = ""
    render_seconds: float = RENDER_SECONDS
    constants: dict[str, int] = {}
    from_call: str = ""
    held: tuple[str, str] | None = None
    armed: tuple[str, str] | None = None
    stops: bool = False
    vendors: tuple[Vendor, ...] = ("topview", "mingyan")

    def at(self, vendor: Vendor) -> Self:
        """The same moment with the functions of one provider."""
        return self.model_copy(update={"function": self.function.replace("PROVIDER", _PROVIDERS[vendor])})


POINTS = (
    KillPoint(name="before the intent", function=f"{_LEDGER}.reserve"),
    KillPoint(name="after the intent", function=f"{_LEDGER}.reserve", when="after"),
    KillPoint(name="right to submit taken, before the POST", function="PROVIDER.submit"),
    KillPoint(name="inside the POST, before it is accepted", held=("submit", "hold_before")),
    KillPoint(name="inside the POST, after it was accepted", held=("submit", "hold_after")),
    KillPoint(
        name="answer lost, before that is noted", function=f"{_LEDGER}.mark_ambiguous", armed=("submit", "lost_answer")
    ),
    KillPoint(name="answered, before the job id is stored", function=f"{_LEDGER}.mark_submitted"),
    KillPoint(name="job id stored, before the first poll", function=f"{_LEDGER}.mark_submitted", when="after"),
    KillPoint(name="inside the first poll", held=("query", "hold_before")),
    KillPoint(name="after the second poll", function="PROVIDER.query", when="after", call=2, render_seconds=6),
    KillPoint(name="success seen, before it is noted", function=f"{_LEDGER}.mark_succeeded"),
    KillPoint(name="success noted, before its charge is", function=f"{_LEDGER}.record_charge", vendors=("topview",)),
    KillPoint(name="in the download, half the bytes here", function="tasks.partial:PartialFile.add"),
    KillPoint(
        name="in the S3 upload, one part there",
        function="tasks.storage.client:S3Client.put_part",
        when="after",
        given="archive",
        # The store refuses to join parts that are as small as these, but nobody asks it to.
        from_call="tasks.archive:_check_video",
        constants={"tasks.storage.upload:PART_BYTES": 16 * 1024, "tasks.storage.upload:MIB": 16 * 1024},
    ),
    KillPoint(name="video there, before its record", function="tasks.archive:_commit"),
    KillPoint(name="archived, before the ledger notes it", function=f"{_LEDGER}.mark_archived"),
    KillPoint(name="before the label", function="tasks.label:burn_in"),
    KillPoint(name="before the publishing", function="tasks.publish:_deliver"),
    KillPoint(name="delivered, before the manifest", function="tasks.publish:write_poster"),
    KillPoint(name="published, before it is shown", function="tasks.publish:show"),
)


def arm(point: KillPoint, report: Path) -> None:
    """Let this process die at a point, and write that it was there directly before."""
    if point.constants:
        holder, name = _find(point.from_call)
        setattr(holder, name, _setting(getattr(holder, name), point.constants))
    if not point.function:
        return
    holder, name = _find(point.function)
    function = getattr(holder, name)
    if point.function.endswith("PartialFile.add"):
        setattr(holder, name, _half(function, point, report))
    else:
        setattr(holder, name, _deadly(function, point, report))


def _find(where: str) -> tuple[Any, str]:
    module, _, path = where.partition(":")
    *holders, name = path.split(".")
    return functools.reduce(getattr, holders, importlib.import_module(module)), name


def _setting(function: Callable[..., Any], constants: dict[str, int]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        for constant, value in constants.items():
            holder, name = _find(constant)
            setattr(holder, name, value)
        return function(*arguments, **named)

    return functools.wraps(function)(call)


def _deadly(function: Callable[..., Any], point: KillPoint, report: Path) -> Callable[..., Any]:
    calls = 0

    def is_the_one(given: tuple[Any, ...]) -> bool:
        nonlocal calls
        calls += not point.given or point.given in given
        return calls == point.call and (not point.given or point.given in given)

    if inspect.iscoroutinefunction(function):

        async def call(*arguments: Any, **named: Any) -> Any:
            now = is_the_one(arguments)
            if now and point.when == "before":
                die(point, report)
            answer = await function(*arguments, **named)
            if now and point.when == "after":
                die(point, report)
            return answer

        return functools.wraps(function)(call)

    def call_plain(*arguments: Any, **named: Any) -> Any:
        now = is_the_one(arguments)
        if now and point.when == "before":
            die(point, report)
        answer = function(*arguments, **named)
        if now and point.when == "after":
            die(point, report)
        return answer

    return functools.wraps(function)(call_plain)


def _half(function: Callable[..., Any], point: KillPoint, report: Path) -> Callable[..., Any]:
    """Keep half of the first chunk, so that a part of the file is really there, then die."""

    async def add(file: Any, chunk: bytes) -> None:
        # Requests' own media come through here too; only the result is called after the original.
        if not str(file._path).endswith("original.mp4.part"):
            await function(file, chunk)
            return
        await function(file, chunk[: len(chunk) // 2])
        await asyncio.to_thread(file._sink.flush)
        die(point, report)

    return add


def die(point: KillPoint, report: Path) -> None:
    """Write where this is, then end by SIGKILL: nothing is cleaned up. Or stop for a while, and go on."""
    tell(report, point=point.name)
    os.kill(os.getpid(), signal.SIGSTOP if point.stops else signal.SIGKILL)


def tell(report: Path, **facts: Any) -> None:
    """Write a report so that it outlives this process."""
    part = report.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(report)
