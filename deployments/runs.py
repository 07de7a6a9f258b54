"""Start a flow run and follow it over the Prefect API, as any other client would."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort, TaskRunSort
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from pydantic import JsonValue

from tasks.errors import Problem, RequestRefused, StudioUnavailable
from tasks.progress import PROGRESS_KEY
from tasks.showcase import VIDEO_TABLE_KEY

FLOW = "render-video"
DEPLOYMENT = f"{FLOW}/studio"
LOOK_SECONDS = 0.4


@dataclass(frozen=True)
class RunView:
    """A run as a person wants to see it."""

    run_id: UUID
    name: str
    state: str = field(metadata={"doc": "type, such as RUNNING"})
    state_name: str
    message: str
    step: str
    percent: float | None

    @property
    def ended(self) -> bool:
        """Whether it will not change any more; a crashed run is started again by an automation."""
        return self.state in {"COMPLETED", "FAILED", "CANCELLED"}


async def start_run(client: PrefectClient, form: str, given: dict[str, Any], deployment_name: str = DEPLOYMENT) -> UUID:
    """Start a run through its deployment and return its id.

    Args:
        client: of the studio's server.
        form: the one parameter of the flow.
        given: its fields.
        deployment_name: as ``flow/deployment``; without it, that of one video.

    Raises:
        RequestRefused: the form of the deployment does not allow the request.
        StudioUnavailable: the deployment is not registered.
    """
    try:
        deployment = await client.read_deployment_by_name(deployment_name)
        run = await client.create_flow_run_from_deployment(deployment.id, parameters={form: given})
    except ObjectNotFound:
        raise StudioUnavailable(
            f"the deployment {deployment_name} is not registered.",
            fix="Run `studio up`, or `studio doctor` to see why.",
        ) from None
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in {409, 422}:
            raise
        told = error.response.json().get("detail", error.response.text)
        raise RequestRefused([Problem(form, str(told), "Mend that field.")]) from None
    return run.id


async def follow_run(client: PrefectClient, run_id: UUID, deadline_seconds: float) -> AsyncIterator[RunView]:
    """Look at a run until it has ended or the deadline passes, one view per change."""
    end = time.monotonic() + deadline_seconds
    last: RunView | None = None
    crashed_since: float | None = None
    while time.monotonic() < end:
        view = await look_at(client, run_id)
        if view != last:
            yield view
            last = view
        if view.ended:
            return
        crashed_since = (crashed_since or time.monotonic()) if view.state == "CRASHED" else None
        # The automation answers within a second; a run that stays crashed will not come back by itself.
        if crashed_since and time.monotonic() - crashed_since > 15:
            return
        await asyncio.sleep(LOOK_SECONDS)


async def look_at(client: PrefectClient, run_id: UUID) -> RunView:
    """The run as it is now."""
    run = await client.read_flow_run(run_id)
    state = run.state
    this_run = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
    steps = await client.read_task_runs(flow_run_filter=this_run, sort=TaskRunSort.EXPECTED_START_TIME_DESC, limit=1)
    return RunView(
        run_id=run_id,
        name=run.name,
        state=state.type.value if state else "PENDING",
        state_name=(state.name if state else None) or "Pending",
        message=(state.message if state else None) or "",
        # Until a step starts its name carries a suffix.
        step=re.sub(r"-[0-9a-f]{3}$", "", steps[0].name) if steps else "",
        percent=await _percent(client, run_id),
    )


async def latest_run(client: PrefectClient) -> UUID | None:
    """Id of the render that was started last, None when there is none."""
    renders = FlowFilter(name=FlowFilterName(any_=[FLOW]))
    runs = await client.read_flow_runs(flow_filter=renders, sort=FlowRunSort.START_TIME_DESC, limit=1)
    return runs[0].id if runs else None


async def video_facts(client: PrefectClient, run_id: UUID) -> dict[str, str]:
    """The facts of the run's video, from its table artifact; empty when it made none."""
    data = await _artifact(client, run_id, VIDEO_TABLE_KEY)
    rows = json.loads(data) if isinstance(data, str) else []
    return {row["fact"]: row["value"] for row in rows}


async def _percent(client: PrefectClient, run_id: UUID) -> float | None:
    data = await _artifact(client, run_id, PROGRESS_KEY)
    return float(data) if isinstance(data, int | float) else None


async def _artifact(client: PrefectClient, run_id: UUID, key: str) -> JsonValue:
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(
            flow_run_id=ArtifactFilterFlowRunId(any_=[run_id]), key=ArtifactFilterKey(any_=[key])
        ),
        sort=ArtifactSort.UPDATED_DESC,
        limit=1,
    )
    data: JsonValue = found[0].data if found else None
    return data
