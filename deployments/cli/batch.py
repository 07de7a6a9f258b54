"""`studio batch`: look at a manifest, render all of it, and see what became of it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.console import INTERRUPTED, Output, join_running_studio, run_async, run_command
from infra.studio.config import load_config

if TYPE_CHECKING:
    from deployments.batches import Followed

FOLLOW_SECONDS = 168 * 3600
FILE = Annotated[Path, typer.Argument(help="Manifest: CSV, JSONL or YAML with one video per row.", show_default=False)]
DEFAULTS = Annotated[Path | None, typer.Option(help="YAML or JSON file of fields that all rows share.")]
IN_FLIGHT = Annotated[int, typer.Option(min=1, max=50_000, help="Most renders at the same time.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

batch = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Render every row of a spreadsheet; `check` looks at it first, for free.",
)


@batch.command()
def check(
    file: FILE,
    *,
    defaults: DEFAULTS = None,
    all_media: Annotated[
        bool, typer.Option("--all-media", help="Fetch and look into all media, also above 200 files.")
    ] = False,
    in_flight: IN_FLIGHT = 1000,
    as_json: JSON = False,
) -> None:
    """Check every row, count what is there already, and estimate money and time. Spends nothing."""
    run_command(
        lambda output: _check(output, file, defaults, all_media=all_media, in_flight=in_flight), as_json=as_json
    )


def _check(output: Output, file: Path, defaults: Path | None, *, all_media: bool, in_flight: int) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.batch_files import ManifestFile  # noqa: PLC0415 - see above
    from deployments.batch_words import say_preview  # noqa: PLC0415 - see above
    from deployments.batches import check_batch  # noqa: PLC0415 - see above

    manifest = ManifestFile(file, defaults)
    seen = run_async(check_batch(output, manifest, all_media=all_media, in_flight=in_flight))
    return say_preview(
        output, manifest.path, seen, "" if defaults is None else f" --defaults {shlex.quote(str(defaults))}"
    )


@batch.command()
def run(
    file: FILE,
    *,
    defaults: DEFAULTS = None,
    name: Annotated[str | None, typer.Option(help="Name of the batch; without it that of the file.")] = None,
    in_flight: IN_FLIGHT = 1000,
    deadline: Annotated[
        float, typer.Option(min=0.01, max=168, metavar="HOURS", help="Longest time of the run, in hours.")
    ] = 12,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Render the good rows though others have mistakes.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Start the batch and do not wait for it.")] = False,
    as_json: JSON = False,
) -> None:
    """Render every row, follow the run, and print the counts and the link to the report."""
    options: dict[str, Any] = {"in_flight": in_flight, "hours": deadline}
    options |= {"name": name} if name else {}
    options |= {"bad_rows": "skip"} if skip_bad_rows else {}
    run_command(lambda output: _run(output, file, defaults, options, detach=detach), as_json=as_json)


def _run(output: Output, file: Path, defaults: Path | None, options: dict[str, Any], *, detach: bool) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.batch_files import ManifestFile  # noqa: PLC0415 - see above
    from deployments.batch_words import say_followed  # noqa: PLC0415 - see above
    from deployments.batches import follow_batch, start_batch  # noqa: PLC0415 - see above
    from deployments.rendering import run_page  # noqa: PLC0415 - see above

    cancel = ""

    async def start_and_follow() -> "Followed":
        nonlocal cancel
        run_id = await start_batch(output, ManifestFile(file, defaults), options)
        cancel = f"prefect flow-run cancel {run_id}"
        output.result(run_id=str(run_id), run=run_page(run_id))
        output.say(f"run  {run_page(run_id)}")
        return await follow_batch(output, run_id, 0 if detach else FOLLOW_SECONDS)

    try:
        followed = run_async(start_and_follow())
    except KeyboardInterrupt:
        if not cancel:
            raise
        output.fail("interrupted; the batch goes on.", fix=f"Cancel it in the UI, or with `{cancel}`.")
        return INTERRUPTED
    return say_followed(output, followed, detached=detach)


@batch.command()
def status(
    batch_id: Annotated[
        str | None, typer.Argument(metavar="BATCH", help="First digits of a batch's id.", show_default=False)
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many batches, or rows of the one.")] = 20,
    as_json: JSON = False,
) -> None:
    """Show the last batches and their outcomes, or one with its rows that have no video. Needs no running studio."""
    run_command(lambda output: _status(output, batch_id, limit), as_json=as_json)


def _status(output: Output, batch_id: str | None, limit: int) -> int:
    from deployments.batch_books import last_batches, one_batch, troubled_rows  # noqa: PLC0415 - loads too slowly
    from deployments.batch_words import say_batch, say_batches  # noqa: PLC0415 - loads too slowly

    if batch_id is None:
        return say_batches(output, run_async(last_batches(limit)))
    counted = run_async(one_batch(batch_id))
    return say_batch(output, counted, run_async(troubled_rows(counted.batch, limit)))


@batch.command()
def report(
    batch_id: Annotated[str, typer.Argument(metavar="BATCH", help="First digits of the batch's id.")],
    *,
    as_json: JSON = False,
) -> None:
    """Write a batch's report anew, with fresh links, and print where it is."""
    run_command(lambda output: _report(output, batch_id), as_json=as_json)


def _report(output: Output, batch_id: str) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.batch_books import write_again  # noqa: PLC0415 - see above
    from deployments.batch_words import say_report  # noqa: PLC0415 - see above

    return say_report(output, run_async(write_again(batch_id)))
