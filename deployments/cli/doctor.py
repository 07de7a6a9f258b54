"""`studio doctor`: look at everything the studio needs, and say what to do about what is wrong."""

import dataclasses
from typing import Annotated

import typer
from rich.markup import escape

from deployments.cli.console import Output, join_studio, run_async, run_command
from infra.studio.checks import Check, check_home, check_installation, check_leftovers
from infra.studio.config import StudioConfig, load_config
from infra.studio.lifecycle import current_state
from infra.studio.live_checks import check_contents, check_ledger, check_parts
from infra.studio.state import StudioState, read_state

_MARKS = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "skipped": "[dim]·[/]"}


def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check every part and say what to do. Ends with 1 when something is wrong; a studio that is off is not wrong."""
    run_command(_doctor, as_json=as_json)


def _doctor(output: Output) -> int:
    config = load_config()
    join_studio(config)
    with output.progress("looking"):
        checks = run_async(examine(config))
    failed = [check for check in checks if check.verdict == "failed"]
    output.rows(
        ["", "check", "result", "what to do"],
        [[_MARKS[check.verdict], *map(escape, (check.name, check.found, check.fix))] for check in checks],
    )
    count = "one thing needs" if len(failed) == 1 else f"{len(failed)} things need"
    output.say(f"\n{count} attention." if failed else "\neverything is fine.")
    output.result(healthy=not failed, home=str(config.root), checks=[dataclasses.asdict(check) for check in checks])
    return 1 if failed else 0


async def examine(config: StudioConfig) -> list[Check]:
    """Make all checks that make sense now."""
    checks = [*check_installation(), *check_home(config), await check_ledger(config)]
    state = current_state(config)
    if state is None:
        return [*checks, *check_leftovers(config), _not_running(read_state(config.state_file))]
    checks += [check async for check in check_parts(config, state)]
    checks += [check async for check in check_contents(config)]
    return checks


def _not_running(last: StudioState | None) -> Check:
    if last and last.phase == "failed":
        return Check("studio", "failed", f"the last start failed: {last.error}", last.fix)
    if last and last.phase != "stopped":
        return Check("studio", "failed", "its supervisor was killed", "Run `studio up`; it cleans up first.")
    return Check("studio", "skipped", "is not running", "`studio up` starts it.")
