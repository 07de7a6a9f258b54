"""`studio demo`: start the studio, produce one real video from the bundled presenter, copy it out, stop."""

import asyncio
import threading
from typing import Annotated, Any

import typer

from deployments.cli.console import Output, join_studio, run_command
from deployments.cli.display import StartDisplay
from infra.presenter import PRESENTER, SCRIPT
from infra.studio.config import StudioConfig, load_config
from infra.studio.lifecycle import launch, stop, wait_until_ready
from infra.studio.state import is_running

DEADLINE_SECONDS = 1800


def demo(
    *,
    keep_running: Annotated[bool, typer.Option("--keep-running", help="Leave the studio running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Produce one real talking video through the whole path, from nothing."""
    run_command(lambda output: _demo(output, load_config(), keep_running=keep_running), as_json=as_json)


def _demo(output: Output, config: StudioConfig, *, keep_running: bool) -> int:
    started = not is_running(config.lock_file)
    if started:
        _start(output, config)
    try:
        return _produce(output, config)
    finally:
        if started and not keep_running:
            output.say("stopping the studio; `make up` starts it again and keeps it running.")
            stop(config)


def _start(output: Output, config: StudioConfig) -> None:
    supervisor = launch(config, leash=False)
    try:
        with StartDisplay(output, threading.Event()) as display:
            wait_until_ready(config, supervisor, display.show)
    except KeyboardInterrupt:
        stop(config)
        raise


def _produce(output: Output, config: StudioConfig) -> int:
    join_studio(config)
    # Prefect reads the environment when it is imported.
    from deployments.rendering import render_and_follow, report, save_copies  # noqa: PLC0415 - see above

    rendered = asyncio.run(render_and_follow(output, _request(), deadline_seconds=DEADLINE_SECONDS))
    code = report(output, rendered, followed=True)
    if rendered.succeeded:
        video, manifest = config.root / "demo.mp4", config.root / "demo.json"
        asyncio.run(save_copies(rendered, video, manifest))
        output.say(f"\ncopies: {video} and {manifest}", style="bold")
        output.result(copies={"video": str(video), "manifest": str(manifest)})
    return code


def _request() -> dict[str, Any]:
    return {
        "title": "Welcome to the studio",
        "avatar": {"kind": "portrait", "image": str(PRESENTER)},
        "speech": {"kind": "script", "text": SCRIPT.read_text(encoding="utf-8").strip()},
        "tags": ["demo"],
    }
