"""What `studio reconcile` does once it knows the studio's address: start a pass, follow it, and show its report."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound
from rich.markup import escape

from deployments.cli.console import Output
from deployments.rendering import run_page
from deployments.runs import RunView, follow_run, look_at
from tasks.errors import StudioUnavailable
from tasks.pass_report import REPORT_KEY

DEPLOYMENT = "reconcile/studio"
FOLLOW_SECONDS = 2 * 3600


@dataclass(frozen=True)
class Reconciled:
    """A pass as it was last seen, and the lines of its report."""

    view: RunView
    lines: list[dict[str, str]]


async def reconcile_and_follow(output: Output, parameters: dict[str, Any]) -> Reconciled:
    """Start a pass through its deployment and follow it to its end.

    Args:
        output: where progress is shown.
        parameters: of the flow `reconcile`.

    Raises:
        StudioUnavailable: the deployment is not registered, or the studio does not answer.
    """
    async with get_client() as client:
        try:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            raise StudioUnavailable(
                f"the deployment {DEPLOYMENT} is not registered.", fix="Run `studio up`, or `studio doctor` to see why."
            ) from None
        run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
        output.say(f"run  {run_page(run.id)}")
        view = await look_at(client, run.id)
        with output.progress("waiting for a worker") as progress:
            async for seen in follow_run(client, run.id, FOLLOW_SECONDS):
                view = seen
                progress.update(f"{view.state_name.lower()} · {view.step}".rstrip(" ·"))
        return Reconciled(view, await _report_lines(client, run.id))


async def _report_lines(client: PrefectClient, run_id: UUID) -> list[dict[str, str]]:
    this_run = ArtifactFilterFlowRunId(any_=[run_id])
    found = await client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=this_run, key=ArtifactFilterKey(any_=[REPORT_KEY])), limit=1
    )
    data = found[0].data if found else None
    lines: list[dict[str, str]] = json.loads(data) if isinstance(data, str) else []
    return lines


def report(output: Output, reconciled: Reconciled) -> int:
    """Show what was found and done; 0 when the pass came to its end, also if something needs a person."""
    view, lines = reconciled.view, reconciled.lines
    page = run_page(view.run_id)
    output.result(run_id=str(view.run_id), run=page, state=view.state_name, message=view.message, report=lines)
    if lines:
        columns = ["verdict", "render", "provider", "title", "state", "what was done"]
        output.rows(columns, [[_plain(line.get(column, "")) for column in columns] for line in lines])
        for line in lines:
            if line.get("next step"):
                output.say(f"\n{line['render']}: {line['next step']}")
    if view.state == "CANCELLED":
        output.fail("another pass is running already.", fix=f"Wait for it, then run this again: {page}")
        return 1
    if view.state != "COMPLETED":
        output.fail(f"{view.state_name}: {view.message}", fix=f"The run's page has the log: {page}")
        return 1
    output.say(f"\n✓ {view.message}", style="bold green")
    return 0


def _plain(text: str) -> str:
    """Words of strangers, without what a terminal would obey."""
    return escape("".join(character if character.isprintable() else "\ufffd" for character in text))
