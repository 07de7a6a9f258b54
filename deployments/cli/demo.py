"""`studio demo`: start the studio, produce one real video from the bundled presenter, copy it out, stop.

For a paid provider the sandbox stands in: the whole path is real, and the video comes from the local renderer.
"""

import asyncio
import tempfile
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.console import Output, join_studio, run_command
from deployments.cli.display import StartDisplay
from infra.studio.config import StudioConfig, load_config
from infra.studio.lifecycle import launch, require_sandbox, stop, wait_until_ready, wait_until_taken_over
from infra.studio.state import is_running

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
    started = not is_running(config.lock_file)
    if started:
        _start(output, config)
    else:
        require_sandbox(config, wait_until_taken_over(config, lambda _state: None))
    try:
        return _produce(output, config, provider)
    finally:
        if started and not keep_running:
            again = "make up SANDBOX=1" if config.sandbox else "make up"
            output.say(f"stopping the studio; `{again}` starts it again and keeps it running.")
            stop(config)


def _start(output: Output, config: StudioConfig) -> None:
    supervisor = launch(config, leash=False)
    try:
        with StartDisplay(output, threading.Event()) as display:
            wait_until_ready(config, supervisor, display.show)
    except KeyboardInterrupt:
        stop(config)
        raise


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

    rendered = asyncio.run(produce())
    code = report(output, rendered, followed=True)
    output.result(sandbox=provider in _NAMES)
    if rendered.succeeded:
        output.say(f"\ncopies: {video} and {manifest}", style="bold")
        output.result(copies={"video": str(video), "manifest": str(manifest)})
        if provider in _NAMES:
            output.say(f"rendered by the sandbox, not by {_NAMES[provider]}; its costs are made up.")
    return code
