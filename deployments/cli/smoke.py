"""`studio smoke`: one cheapest real render at a provider, asking before it spends, and what was not as documented."""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.console import INTERRUPTED, Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config
from tasks.errors import StudioError
from tasks.models import ProviderName

if TYPE_CHECKING:
    from deployments.rendering import Rendered
    from deployments.smoke import RunLog, SmokePlan

FOLLOW_SECONDS = 2 * 3600


def smoke(
    *,
    provider: Annotated[ProviderName, typer.Option(help="Who renders.")],
    avatar_id: Annotated[
        str | None, typer.Option(help="TopView's stock avatar; without it, the first of the catalogue.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make a new render, even if the same one is in the archive.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before money is spent.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make one cheapest real render, to see whether a provider works as documented. Asks before it spends."""
    if avatar_id is not None and provider != "topview":
        raise typer.BadParameter("--avatar-id is for topview.")
    run_command(
        lambda output: _smoke(output, provider, avatar_id=avatar_id or "", again=again, yes=yes), as_json=as_json
    )


def _smoke(output: Output, name: ProviderName, *, avatar_id: str, again: bool, yes: bool) -> int:
    if name != "local" and not yes:
        require_somebody()
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.smoke import listening, make_plan  # noqa: PLC0415 - see above

    try:
        with tempfile.TemporaryDirectory(prefix="smoke-") as folder, listening() as met:
            plan = run_async(make_plan(name, Path(folder), avatar_id=avatar_id, again=again))
            show_plan(output, plan)
            if not plan.is_free and not yes:
                ask()
            rendered, log = run_async(_render(output, plan))
    except KeyboardInterrupt:
        output.fail("interrupted; a run that was started goes on.", fix="`studio open` shows it; cancel it in the UI.")
        return INTERRUPTED
    return conclude(output, rendered, log, met)


async def _render(output: Output, plan: "SmokePlan") -> tuple["Rendered", "RunLog"]:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - after the environment

    from deployments.rendering import render_and_follow  # noqa: PLC0415 - after the environment
    from deployments.smoke import read_run_log  # noqa: PLC0415 - after the environment

    rendered = await render_and_follow(output, plan.request, deadline_seconds=FOLLOW_SECONDS)
    async with get_client() as client:
        return rendered, await read_run_log(client, rendered.view.run_id)


def require_somebody() -> None:
    """Raises StudioError where nobody can be asked."""
    if not sys.stdin.isatty():
        raise StudioError(
            "a smoke test may cost money, and nobody can be asked here.",
            fix="Add --yes if you mean it; nothing was submitted.",
        )


def ask() -> None:
    """Ask on standard error, as standard output may belong to a program.

    Raises:
        StudioError: the answer is no.
    """
    require_somebody()
    try:
        sure = typer.confirm("This may cost money. Go on?", default=False, err=True)
    except typer.Abort:
        sure = False
    if not sure:
        raise StudioError("not started; nothing was submitted or spent.")


def show_plan(output: Output, plan: "SmokePlan") -> None:
    """Say who will be paid, where, for what, and how much."""
    estimate = plan.estimate
    output.result(
        provider=plan.provider,
        account=plan.account,
        endpoint=plan.endpoint,
        sandbox=plan.is_sandbox,
        renders=plan.what,
        estimate=estimate.amount,
        unit=estimate.unit,
        balance=plan.balance,
    )
    where = f"{plan.endpoint} (sandbox, not the real vendor)" if plan.is_sandbox else plan.endpoint
    facts = {"account": plan.account, "endpoint": where, "renders": plan.what, "estimate": price_of(plan)}
    output.table(f"Smoke test of {plan.provider}", facts | ({"balance": plan.balance} if plan.balance else {}))
    if plan.is_sandbox:
        output.say(
            "This is the sandbox, not the real vendor: it shows that the studio works, not that the vendor does."
        )


def price_of(plan: "SmokePlan") -> str:
    """The estimate in words."""
    if plan.is_free:
        return "free"
    if plan.estimate.amount is None:
        return f"unknown price; write it into STUDIO_PRICES under {plan.provider}"
    return f"{plan.estimate.amount} {plan.estimate.unit}".strip()


def conclude(output: Output, rendered: "Rendered", log: "RunLog", met: list[str]) -> int:
    """Report the render as `studio render` does, then what differed from the documented contract."""
    from deployments.rendering import report  # noqa: PLC0415 - after the environment

    code = report(output, rendered, followed=True)
    differences = list(dict.fromkeys([*met, *log.differences]))
    output.result(differences=differences, log_complete=log.is_complete)
    if differences:
        output.say("\nwhat differed from the documented contract:", style="bold")
        for line in differences:
            output.say(f"  {line}")
    elif was_archived(rendered):
        output.say("\nThe video was archived before, so the provider was not asked; --again makes a new render.")
    else:
        output.say("\nnothing differed from the documented contract.")
    if not log.is_complete:
        output.say("The run's log is not complete yet; its page shows all of it.")
    return code


def was_archived(rendered: "Rendered") -> bool:
    """Whether the run found the video instead of having it rendered."""
    return rendered.succeeded and "nothing was rendered" in rendered.view.message
