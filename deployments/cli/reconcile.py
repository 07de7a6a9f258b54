"""`studio reconcile`: finish now what crashes and outages left behind, instead of at the next scheduled pass."""

from typing import Annotated, Any

import typer

from deployments.cli.console import INTERRUPTED, Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config


def reconcile(
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Look at everything unfinished, not only at what nobody attends to.")
    ] = False,
    minutes: Annotated[int, typer.Option(min=1, max=60, help="Nothing new is begun after so many minutes.")] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Finish what was left behind, and show what needs a person. Submits nothing."""
    parameters: dict[str, Any] = {"minutes": minutes} | ({"unattended_minutes": 0} if now else {})
    run_command(lambda output: _reconcile(output, parameters), as_json=as_json)


def _reconcile(output: Output, parameters: dict[str, Any]) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.reconciling import reconcile_and_follow, report  # noqa: PLC0415 - see above

    try:
        reconciled = run_async(reconcile_and_follow(output, parameters))
    except KeyboardInterrupt:
        output.fail("interrupted; a pass that was started goes on.", fix="The Prefect UI shows it.")
        return INTERRUPTED
    return report(output, reconciled)
