"""`studio demo`: start the studio, produce one real video from the bundled presenter, copy it out, stop.

For a paid provider the sandbox stands in: the whole path is real, and the video comes from the local renderer.
"""

import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.borrowed import borrowed_studio
from deployments.cli.console import Output, join_studio, run_async, run_command
from infra.studio.config import StudioConfig, load_config

DEADLINE_SECONDS = 1800


class DemoProvider(StrEnum):
    """Who renders the demo."""

    LOCAL = "local"
    TOPVIEW = "topview"
    MINGYAN = "mingyan"


_NAMES = {DemoProvider.TOPVIEW: "TopView", DemoProvider.MINGYAN: "mingyan"}


def demo(
    *,
    provider: Annotated[
        DemoProvider, typer.Option(help="Who renders; topview and mingyan are played by the sandbox.")
    ] = DemoProvider.LOCAL,
    keep_running: Annotated[bool, typer.Option("--keep-running", help="Leave the studio running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Produce one real talking video through the whole path, from nothing."""
    sandbox = True if provider in _NAMES else None
    run_command(
        lambda output: _demo(output, load_config(sandbox=sandbox), provider, keep_running=keep_running),
        as_json=as_json,
    )


def _demo(output: Output, config: StudioConfig, provider: DemoProvider, *, keep_running: bool) -> int:
    with borrowed_studio(output, config, keep_running=keep_running):
        return _produce(output, config, provider)


def _produce(output: Output, config: StudioConfig, provider: DemoProvider) -> int:
    join_studio(config)
    # Prefect reads the environment when it is imported.
    from deployments.demo_request import demo_request  # noqa: PLC0415 - see above
    from deployments.rendering import Rendered, render_and_follow, report, save_copies  # noqa: PLC0415 - see above

    suffix = f"-{provider}" if provider in _NAMES else ""
    video, manifest = config.root / f"demo{suffix}.mp4", config.root / f"demo{suffix}.json"

    async def produce() -> Rendered:
        with tempfile.TemporaryDirectory() as folder:
            request = await demo_request(provider, Path(folder))
            rendered = await render_and_follow(output, request, deadline_seconds=DEADLINE_SECONDS)
        if rendered.succeeded:
            await save_copies(rendered, video, manifest)
        return rendered

    rendered = run_async(produce())
    code = report(output, rendered, followed=True)
    output.result(sandbox=provider in _NAMES)
    if rendered.succeeded:
        output.say(f"\ncopies: {video} and {manifest}", style="bold")
        output.result(copies={"video": str(video), "manifest": str(manifest)})
        if provider in _NAMES:
            output.say(f"rendered by the sandbox, not by {_NAMES[provider]}; its costs are made up.")
    return code
