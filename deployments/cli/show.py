"""`studio show`: live shows. This module has the group and `check`; `show_control` has what acts on shows."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.console import Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config

show = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Broadcast live shows; `check` looks at a rundown first, for free.",
)


@show.command()
def check(
    file: Annotated[Path, typer.Argument(help="Rundown as YAML or JSON; local recordings are uploaded.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a rundown as a show would, and tell its length and what it may cost. Opens no stream, spends nothing."""
    run_command(lambda output: _check(output, file), as_json=as_json)


def _check(output: Output, file: Path) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.show_checking import check_show, say_checked  # noqa: PLC0415 - see above
    from deployments.show_files import RundownFile  # noqa: PLC0415 - see above

    return say_checked(output, file, run_async(check_show(output, RundownFile(file))))
