"""What `studio render` does once it knows the request and the studio's address."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import get_current_settings

from deployments.cli.console import Output
from deployments.requests import local_files, stage_local_files
from deployments.runs import RunView, follow_run, look_at, start_run, video_facts
from tasks.blocks import load_store
from tasks.errors import StudioError
from tasks.publish import MANIFEST_LIMIT
from tasks.request import read_request
from tasks.settings import get_settings
from tasks.staging import split_reference

WAIT_STEP = "wait for the render"


@dataclass(frozen=True)
class Rendered:
    """A run as it was last seen, and the facts of its video."""

    view: RunView
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether there is a video that passed its checks."""
        return self.view.state == "COMPLETED"


async def render_and_follow(output: Output, request: dict[str, Any], *, deadline_seconds: float) -> Rendered:
    """Check, stage, start and follow one render.

    Args:
        output: where progress is shown.
        request: the fields of the form; media may be local files.
        deadline_seconds: how long to follow; 0 starts the run and looks at it once.

    Raises:
        RequestRefused: before anything is started, naming every field that is wrong.
        StudioUnavailable: the studio does not answer.
    """
    _check_before_staging(request)
    request = await stage_local_files(request)
    async with get_client() as client:
        run_id = await start_run(client, "request", request)
        output.say(f"run  {run_page(run_id)}")
        view = await look_at(client, run_id)
        if deadline_seconds > 0:
            view = await _follow(output, client, view, deadline_seconds)
        return Rendered(view, await video_facts(client, run_id))


def report(output: Output, rendered: Rendered, *, followed: bool) -> int:
    """Say how it ended; 0 when there is a video or nobody waited for it, 1 otherwise."""
    view, page = rendered.view, run_page(rendered.view.run_id)
    output.result(run_id=str(view.run_id), run=page, state=view.state_name, message=view.message, video=rendered.facts)
    if not followed:
        return 0
    if not rendered.succeeded:
        output.fail(f"{view.state_name}: {view.message}", fix=f"The run's page has the log: {page}")
        return 1
    output.say(f"\n✓ {view.message}\n", style="bold green")
    # Plain lines: a link that is folded into a table cannot be clicked or copied.
    for name, value in rendered.facts.items():
        output.say(f"{name:<16}{value}")
    return 0


async def save_copies(rendered: Rendered, video: Path, manifest: Path) -> None:
    """Copy the video and its manifest out of the archive.

    Raises:
        StudioError: the run left no video.
    """
    if "video" not in rendered.facts:
        raise StudioError("the run left no video to copy.", fix=f"See {run_page(rendered.view.run_id)}.")
    settings = get_settings()
    store = await load_store(settings.storage_block)
    await store.get_file(*split_reference(rendered.facts["video"]), video, limit=settings.max_result_bytes)
    await store.get_file(*split_reference(rendered.facts["manifest"]), manifest, limit=MANIFEST_LIMIT)


def run_page(run_id: UUID) -> str:
    """Address of the run in the Prefect UI."""
    settings = get_current_settings()
    ui = settings.ui_url or (settings.api.url or "").removesuffix("/api")
    return f"{ui}/runs/flow-run/{run_id}"


def _check_before_staging(request: dict[str, Any]) -> None:
    """Refuse what the form refuses before anything is uploaded; local paths stand in for their later addresses."""
    checked = dict(request)
    for group, name, path in local_files(request):
        checked[group] = {**checked[group], name: f"s3://staging/{path.name or 'file'}"}
    read_request(checked)


async def _follow(output: Output, client: PrefectClient, view: RunView, deadline_seconds: float) -> RunView:
    with output.progress("waiting for a worker") as progress:
        async for seen in follow_run(client, view.run_id, deadline_seconds):
            view = seen
            percent = view.percent if view.step == WAIT_STEP else None
            # Prefect's word for starting the run's process, which here would sound like a submission.
            state = "starting" if view.state_name == "Submitting" else view.state_name.lower()
            progress.update(f"{state} · {view.step}".rstrip(" ·"), percent)
    return view
