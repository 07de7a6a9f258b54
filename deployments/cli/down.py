"""`studio down`: stop the studio, and see to it that nothing of it is left."""

from typing import Annotated

import typer

from deployments.cli.console import Output, run_command
from infra.studio.config import load_config
from infra.studio.lifecycle import stop


def down(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Stop the studio and make sure that nothing of it is left running. Videos, runs and settings stay."""
    run_command(_down, as_json=as_json)


def _down(output: Output) -> int:
    config = load_config()
    stopped = stop(config)
    if stopped.was_running:
        output.say("the studio is stopped." + (" It did not stop in time and was killed." if stopped.forced else ""))
    elif not stopped.orphans:
        output.say(f"no studio runs in {config.root}.")
    if stopped.orphans:
        output.say(f"ended what was left of an earlier one: {', '.join(stopped.orphans)}.")
    output.result(was_running=stopped.was_running, orphans=stopped.orphans, forced=stopped.forced)
    return 0
