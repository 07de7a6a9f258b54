"""`studio demo-show`: broadcast a show with every kind of cue on the sandbox, and print what happened.

Everything is real but the vendor, whom the sandbox plays: callbacks, the drive socket, pacing, and a page on which the
show is seen and heard.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.borrowed import borrowed_studio
from deployments.cli.console import INTERRUPTED, Output, join_studio, run_async, run_command
from deployments.cli.show_control import watch_show
from infra.studio.config import StudioConfig, load_config

DEADLINE_SECONDS = 900


def demo_show(
    *,
    short: Annotated[bool, typer.Option("--short", help="Half a minute instead of three.")] = False,
    keep_running: Annotated[bool, typer.Option("--keep-running", help="Leave the studio running.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Broadcast a three-minute show with every kind of cue in the sandbox; ends with 1 if a stream is left."""
    run_command(
        lambda output: _demo(output, load_config(sandbox=True), short=short, keep_running=keep_running),
        as_json=as_json,
    )


def _demo(output: Output, config: StudioConfig, *, short: bool, keep_running: bool) -> int:
    with borrowed_studio(output, config, keep_running=keep_running):
        join_studio(config)
        try:
            return run_async(_broadcast(output, config, short=short))
        except KeyboardInterrupt:
            fix = "If this command started the studio, it stops it now, and the show too; else `studio show stop` does."
            output.fail("interrupted.", fix=fix)
            return INTERRUPTED


async def _broadcast(output: Output, config: StudioConfig, *, short: bool) -> int:
    # Prefect reads the environment when it is imported.
    from deployments.demo_rundown import ROOM, feed_pipe, write_rundown  # noqa: PLC0415 - see above
    from deployments.show_books import read_record, stream_of, streams_in  # noqa: PLC0415 - see above
    from deployments.show_files import RundownFile  # noqa: PLC0415 - see above
    from deployments.show_words import say_record, say_view  # noqa: PLC0415 - see above
    from deployments.shows import start_show  # noqa: PLC0415 - see above
    from tasks.ledger.opening import open_ledger  # noqa: PLC0415 - see above
    from tasks.show.account import load_zego  # noqa: PLC0415 - see above

    account = await load_zego()
    with tempfile.TemporaryDirectory() as folder:
        # Opened first, as a call waits only a moment for its turn.
        async with open_ledger():
            rundown = await write_rundown(account.client, Path(folder), is_short=short)
        file = RundownFile(rundown)
        run_id = await start_show(file)
    feeding = asyncio.create_task(feed_pipe())
    try:
        seen = await watch_show(output, run_id, DEADLINE_SECONDS)
    finally:
        feeding.cancel()
    entry = await stream_of(run_id)
    code = say_view(output, seen, entry, judged=True)
    if code == 0 and entry is not None:
        record = await read_record(entry)
        code = say_record(output, record)
        copy = config.root / "demo-show.json"
        copy.write_text(record.model_dump_json(indent=2), encoding="utf-8")
        output.say(f"\nrecord  {entry.location}\ncopy    {copy}")
        output.result(copy=str(copy))
    left = await streams_in(account, ROOM)
    output.result(streams_left=left)
    if left:
        output.fail(f"streams are left at the vendor: {', '.join(left)}.", fix="`studio reconcile` closes them.")
        return 1
    output.say(
        "\n✓ no stream is left at the vendor; played by the sandbox, whose costs are made up.", style="bold green"
    )
    return code
