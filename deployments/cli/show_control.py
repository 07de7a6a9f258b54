"""`studio show`: start live shows, look at them, and speak to them while they are on air."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.console import INTERRUPTED, Output, join_running_studio, run_async, run_command
from deployments.cli.show import show
from infra.studio.config import load_config

if TYPE_CHECKING:
    from uuid import UUID

    from deployments.shows import ShowView

FOLLOW_SECONDS = 30 * 3600
FILE = Annotated[Path, typer.Argument(help="Rundown as YAML or JSON; local recordings are uploaded.")]
SHOW = Annotated[
    str | None,
    typer.Argument(
        metavar="SHOW", help="First digits of its run's id; not needed while one is under way.", show_default=False
    ),
]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@show.command()
def start(
    file: FILE,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Start the show and do not follow it.")] = False,
    as_json: JSON = False,
) -> None:
    """Start a show, print each cue as it happens, and its outcome."""
    run_command(lambda output: _start(output, file, detach=detach), as_json=as_json)


def _start(output: Output, file: Path, *, detach: bool) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.rendering import run_page  # noqa: PLC0415 - see above
    from deployments.show_files import RundownFile  # noqa: PLC0415 - see above
    from deployments.show_words import show_id  # noqa: PLC0415 - see above
    from deployments.shows import start_show  # noqa: PLC0415 - see above

    run_id = run_async(start_show(RundownFile(file)))
    output.result(run_id=str(run_id), run=run_page(run_id))
    output.say(f"run  {run_page(run_id)}")
    if detach:
        output.say(f"`studio show status {show_id(run_id)}` shows it.")
        return 0
    return _follow(output, run_id, FOLLOW_SECONDS)


@show.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many shows.")] = 20,
    as_json: JSON = False,
) -> None:
    """Show the shows that are under way or over, their streams and costs, and streams that were left behind."""
    run_command(lambda output: _list(output, limit), as_json=as_json)


def _list(output: Output, limit: int) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.show_books import read_streams  # noqa: PLC0415 - see above
    from deployments.show_words import say_shows  # noqa: PLC0415 - see above
    from deployments.shows import last_shows, shows_under_way  # noqa: PLC0415 - see above

    async def read() -> int:
        runs = await last_shows(limit)
        return say_shows(output, runs, await read_streams(runs, [run.id for run in await shows_under_way()]))

    return run_async(read())


@show.command()
def status(
    which: SHOW = None,
    *,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until the show is over.")] = False,
    as_json: JSON = False,
) -> None:
    """Show one show: what is on air, its stream, and its cues so far."""
    run_command(lambda output: _status(output, which, follow=follow), as_json=as_json)


def _status(output: Output, which: str | None, *, follow: bool) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.shows import find_show  # noqa: PLC0415 - see above

    run = run_async(find_show(which))
    return _follow(output, run.id, FOLLOW_SECONDS if follow else 0)


@show.command()
def pause(which: SHOW = None, *, as_json: JSON = False) -> None:
    """Hold the show after the cue that is on air; the stream stays up."""
    _tell(which, {"do": "pause"}, "holds after the cue that is on air; `studio show resume` goes on", as_json=as_json)


@show.command()
def resume(which: SHOW = None, *, as_json: JSON = False) -> None:
    """Go on with a show that is held."""
    _tell(which, {"do": "resume"}, "goes on within two seconds", as_json=as_json)


@show.command()
def skip(which: SHOW = None, *, as_json: JSON = False) -> None:
    """Cut the cue that is on air and go on with the next."""
    _tell(which, {"do": "skip"}, "goes on with its next cue within two seconds", as_json=as_json)


@show.command()
def interrupt(which: SHOW = None, *, as_json: JSON = False) -> None:
    """Cut what is being said and hold the show."""
    _tell(
        which,
        {"do": "interrupt"},
        "is silent within two seconds and holds; `studio show resume` goes on",
        as_json=as_json,
    )


@show.command()
def stop(which: SHOW = None, *, as_json: JSON = False) -> None:
    """End the show now and close its stream."""
    _tell(which, {"do": "stop"}, "ends within two seconds, and its stream is closed", as_json=as_json)


@show.command()
def say(
    words: Annotated[str, typer.Argument(help="What is to be said.")],
    which: SHOW = None,
    *,
    queue: Annotated[
        bool, typer.Option("--queue", help="After the cue that is on air, instead of cutting it.")
    ] = False,
    own_voice: Annotated[
        bool, typer.Option("--own-voice", help="With the studio's own voice (English), not the vendor's.")
    ] = False,
    timbre: Annotated[str, typer.Option(help="Voice of the vendor's; without it the show's.")] = "",
    as_json: JSON = False,
) -> None:
    """Say something that is not in the rundown, now or after the cue that is on air; then the show goes on."""
    if own_voice and timbre:
        raise typer.BadParameter("Give --own-voice or --timbre, not both.")
    wish = {"do": "say", "script" if own_voice else "text": words, "timbre": timbre, "queue": queue}
    _tell(which, wish, f"says it {'after the cue that is on air' if queue else 'within two seconds'}", as_json=as_json)


def _tell(which: str | None, wish: dict[str, Any], effect: str, *, as_json: bool) -> None:
    run_command(lambda output: _send(output, which, wish, effect), as_json=as_json)


def _send(output: Output, which: str | None, wish: dict[str, Any], effect: str) -> int:
    join_running_studio(load_config())
    # Prefect reads the environment when it is imported.
    from deployments.show_words import show_id  # noqa: PLC0415 - see above
    from deployments.shows import tell_show  # noqa: PLC0415 - see above

    run = run_async(tell_show(which, wish))
    output.result(run_id=str(run.id), name=run.name, state=run.state_name, **wish)
    later = "" if run.state is not None and run.state.is_running() else " It has not begun yet; it does so then."
    output.say(f"✓ asked: {run.name} ({show_id(run.id)}) {effect}.{later}", style="bold green")
    return 0


def _follow(output: Output, run_id: "UUID", deadline_seconds: float) -> int:
    from deployments.show_books import stream_of  # noqa: PLC0415 - after the environment
    from deployments.show_words import say_view, show_id  # noqa: PLC0415 - after the environment

    async def follow() -> int:
        seen = await watch_show(output, run_id, deadline_seconds)
        return say_view(output, seen, await stream_of(run_id), judged=deadline_seconds > 0)

    try:
        return run_async(follow())
    except KeyboardInterrupt:
        output.fail("interrupted; the show goes on.", fix=f"End it with `studio show stop {show_id(run_id)}`.")
        return INTERRUPTED


async def watch_show(output: Output, run_id: "UUID", deadline_seconds: float) -> "ShowView":
    """Print each cue of a show once it is over, until the show is or the deadline passes; 0 looks once.

    Returns:
        The show as it was last seen.
    """
    from deployments.show_words import Ticker  # noqa: PLC0415 - after the environment
    from deployments.shows import follow_show  # noqa: PLC0415 - after the environment

    with output.progress("waiting for a worker") as progress:
        ticker = Ticker(output, progress)
        async for seen in follow_show(run_id, deadline_seconds):
            ticker.show(seen)
    return seen
