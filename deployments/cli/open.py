"""`studio open`: addresses of the UI, a run and its video, for a browser."""

import webbrowser
from typing import Annotated
from uuid import UUID

import typer

from deployments.cli.console import Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config
from tasks.errors import StudioError


def open_(
    run: Annotated[str, typer.Argument(help="Id of a run, or 'last' for the latest one.")] = "last",
    *,
    browser: Annotated[bool, typer.Option("--browser", help="Also open the video, or else the run.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the links to the UI, a run and its video."""
    run_command(lambda output: _open(output, run, browser=browser), as_json=as_json)


def _open(output: Output, run: str, *, browser: bool) -> int:
    config = load_config()
    join_running_studio(config)
    links = {"ui": config.ui_url} | run_async(_links(run))
    # Plain lines: a link that is folded into a table cannot be clicked or copied.
    for name, link in links.items():
        output.say(f"{name:<10}{link}")
    output.result(**links)
    if browser:
        webbrowser.open(links.get("video") or links.get("run") or links["ui"])
    return 0


async def _links(run: str) -> dict[str, str]:
    # Prefect reads the environment when it is imported.
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - see above
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415 - see above

    from deployments.rendering import run_page  # noqa: PLC0415 - see above
    from deployments.runs import latest_run, video_facts  # noqa: PLC0415 - see above

    async with get_client() as client:
        run_id = await latest_run(client) if run == "last" else _parse(run)
        if run_id is None:
            return {}
        try:
            await client.read_flow_run(run_id)
        except ObjectNotFound:
            raise StudioError(f"there is no run {run_id}.", fix="`studio status --json` has the ids.") from None
        facts = await video_facts(client, run_id)
    links = {"run": run_page(run_id)}
    return links | {name: facts[fact] for name, fact in (("video", "link"), ("manifest", "manifest")) if fact in facts}


def _parse(run: str) -> UUID:
    try:
        return UUID(run)
    except ValueError:
        raise StudioError(
            f"{run!r} is not the id of a run.", fix="Copy it from `studio status --json` or the UI, or say 'last'."
        ) from None
