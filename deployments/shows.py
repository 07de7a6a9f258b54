"""What the commands of `studio show` do once they know the studio's address: start shows, find them, speak to them."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from pydantic import ValidationError

from deployments.runs import RunView, look_at, start_run
from deployments.show_files import RundownFile
from tasks.blocks import load_store
from tasks.errors import StudioError
from tasks.settings import get_settings
from tasks.show.commands import ShowCommand, send_command
from tasks.show.showing import CUES_KEY, PREVIEW_KEY

FLOW = "broadcast-show"
DEPLOYMENT = f"{FLOW}/studio"
UNDER_WAY = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})
"""States that a show does not come back from: it is never started again by itself."""
SHOWN_DIGITS = 8
"""How much of a run's id is shown to people."""
_LOOK_SECONDS = 0.7
_SEARCHED = 200

Line = dict[str, str]
"""A line of the record, by the titles of its columns."""


@dataclass(frozen=True)
class ShowView:
    """A show as it was last seen."""

    view: RunView
    lines: list[Line]
    """Its cues as they happened, the one on air last."""
    told: str
    """The show in a few words; empty before it is on air."""
    preview: str
    """Where it can be watched; empty where the vendor has no such page."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.view.state in ENDED


async def start_show(file: RundownFile) -> UUID:
    """Upload a rundown with its recordings, and start its show; returns the id of the run.

    Raises:
        StorageError: the object store does not answer or refuses.
        StudioUnavailable: the deployment is not registered.
    """
    address = await file.upload(await load_store(get_settings().storage_block))
    async with get_client() as client:
        return await start_run(client, "show", {"file": address}, DEPLOYMENT)


async def last_shows(limit: int) -> list[FlowRun]:
    """The runs whose time has come, the newest first."""
    async with get_client() as client:
        return await _runs(client, FlowRunFilter(expected_start_time=_not_later()), limit)


async def shows_under_way() -> list[FlowRun]:
    """The runs that wait for a worker, prepare a show, or are on air."""
    async with get_client() as client:
        return await _runs(client, _under_way(), _SEARCHED)


async def find_show(digits: str | None) -> FlowRun:
    """The show whose run's id begins like this; without digits the one that is under way.

    Raises:
        StudioError: there is none, or there are several.
    """
    async with get_client() as client:
        if digits is None:
            return _only(await _runs(client, _under_way(), _SEARCHED))
        prefix = digits.strip().lower()
        if not re.fullmatch("[0-9a-f-]{4,36}", prefix):
            raise StudioError(f"{digits!r} is no id of a show.", fix="`studio show list` has the ids.")
        found = [run for run in await _runs(client, None, _SEARCHED) if str(run.id).startswith(prefix)]
    if not found:
        raise StudioError(f"there is no show that begins with {prefix}.", fix="`studio show list` has the ids.")
    if len(found) > 1:
        raise StudioError(f"several shows begin with {prefix}.", fix="Give more digits.")
    return found[0]


async def tell_show(digits: str | None, wish: dict[str, Any]) -> FlowRun:
    """Send a command to a show; returns its run.

    Args:
        digits: first digits of the run's id; None means the only show that is under way.
        wish: fields of the command.

    Raises:
        StudioError: there is no such show, it is over, or the command is none.
    """
    try:
        command = ShowCommand(**wish)
    except ValidationError as error:
        told = "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        raise StudioError(told, fix="`studio show say --help` tells what can be said.") from None
    run = await find_show(digits)
    if run.state is not None and run.state.type.value in ENDED:
        raise StudioError(f"the show {run.name} is over: {run.state.name}.", fix="`studio show list` has the others.")
    await send_command(run.id, command)
    return run


async def look_at_show(client: PrefectClient, run_id: UUID) -> ShowView:
    """A show as it is now."""
    cues = await _artifact(client, run_id, CUES_KEY)
    preview = await _artifact(client, run_id, PREVIEW_KEY)
    link = preview.data if preview and isinstance(preview.data, str) else ""
    lines = json.loads(cues.data) if cues and isinstance(cues.data, str) else []
    return ShowView(
        view=await look_at(client, run_id),
        lines=lines,
        told=re.sub(r"[*]{2}", "", (cues.description or "") if cues else ""),
        # A link artifact is Markdown: [text](address).
        preview=link.rpartition("](")[2].removesuffix(")"),
    )


async def follow_show(run_id: UUID, deadline_seconds: float) -> AsyncIterator[ShowView]:
    """Look at a show until it is over or the deadline passes; at least once."""
    end = time.monotonic() + deadline_seconds
    async with get_client() as client:
        while True:
            seen = await look_at_show(client, run_id)
            yield seen
            if seen.is_over or time.monotonic() >= end:
                return
            await asyncio.sleep(_LOOK_SECONDS)


def _only(found: list[FlowRun]) -> FlowRun:
    if not found:
        fix = "`studio show list` has those that are over; `studio show status SHOW` shows one of them."
        raise StudioError("no show is under way.", fix=fix)
    if len(found) > 1:
        names = ", ".join(f"{str(run.id)[:SHOWN_DIGITS]} ({run.name})" for run in found[:5])
        raise StudioError(f"several shows are under way: {names}.", fix="Name the one that you mean.")
    return found[0]


def _under_way() -> FlowRunFilter:
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=UNDER_WAY))
    return FlowRunFilter(state=states, expected_start_time=_not_later())


def _not_later() -> FlowRunFilterExpectedStartTime:
    """Leaves out what schedules plan for the days to come."""
    return FlowRunFilterExpectedStartTime(before_=datetime.now(UTC))


async def _runs(client: PrefectClient, wanted: FlowRunFilter | None, limit: int) -> list[FlowRun]:
    return await client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        flow_run_filter=wanted,
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=limit,
    )


async def _artifact(client: PrefectClient, run_id: UUID, key: str) -> Artifact | None:
    this_run = ArtifactFilterFlowRunId(any_=[run_id])
    wanted = ArtifactFilter(flow_run_id=this_run, key=ArtifactFilterKey(any_=[key]))
    found = await client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=1)
    return found[0] if found else None
