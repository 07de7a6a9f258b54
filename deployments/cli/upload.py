"""`studio upload`: bring files of this machine into the staging bucket, where requests can name them."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.console import Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config


def upload(
    files: Annotated[list[Path], typer.Argument(help="Pictures, clips or recordings.", exists=True, dir_okay=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Upload media to staging and print their addresses for the form and the API; they are kept for a week."""
    run_command(lambda output: _upload(output, files), as_json=as_json)


def _upload(output: Output, files: list[Path]) -> int:
    join_running_studio(load_config())
    addresses = run_async(_stage(files))
    for path, address in addresses.items():
        output.say(f"{path}  {address}")
    output.result(files=addresses)
    return 0


async def _stage(files: list[Path]) -> dict[str, str]:
    # Prefect reads the environment when it is imported.
    from tasks.blocks import load_store  # noqa: PLC0415 - see above
    from tasks.settings import get_settings  # noqa: PLC0415 - see above
    from tasks.staging import stage_file  # noqa: PLC0415 - see above

    store = await load_store(get_settings().storage_block)
    return {str(path): await stage_file(store, path) for path in files}
