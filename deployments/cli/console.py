"""What every command prints: rich text for people, or exactly one JSON object on standard output."""

import asyncio
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from infra.studio.config import StudioConfig, load_config, studio_environment
from infra.studio.state import is_running
from tasks.errors import StudioError, StudioUnavailable

T = TypeVar("T")

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells use it."""


class Output:
    """One command's voice.

    Args:
        as_json: print one JSON object at the end, and nothing else, on standard output.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(quiet=as_json, highlight=False)
        self._errors = Console(stderr=True, quiet=as_json, highlight=False)
        self._facts: dict[str, Any] = {}
        self._printed = False

    def say(self, text: str, *, style: str | None = None) -> None:
        """Print a line for people; text is taken literally."""
        self.console.print(text, style=style, markup=False, soft_wrap=True)

    def fail(self, message: str, *, fix: str = "") -> None:
        """Print what went wrong and what to do; in JSON the same as ``error`` and ``fix``."""
        self._facts |= {"error": message, "fix": fix}
        self._errors.print(f"[bold red]✗[/] {escape(message)}", soft_wrap=True)
        if fix:
            self._errors.print(f"  {escape(fix)}", soft_wrap=True)

    def table(self, title: str, facts: Mapping[str, Any]) -> None:
        """Print names and values below a title, for people."""
        rows = Table(title=escape(title), title_justify="left", show_header=False, box=None, pad_edge=False)
        rows.add_column(style="bold")
        rows.add_column(overflow="fold")
        for name, value in facts.items():
            rows.add_row(escape(str(name)), escape(str(value)))
        self.console.print(rows)

    def rows(self, columns: list[str], rows: list[list[str]], *, title: str = "") -> None:
        """Print a table with a header; cells may carry rich markup."""
        table = Table(*columns, title=title or None, title_justify="left", box=None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    def result(self, **facts: Any) -> None:
        """Facts of the JSON object, for programs; people do not see them."""
        self._facts |= facts

    def print_json(self) -> None:
        """Print the JSON object now, once; a command that goes on running calls this when its news is complete."""
        if self.as_json and not self._printed:
            self._printed = True
            sys.stdout.write(json.dumps(self._facts, default=str) + "\n")
            sys.stdout.flush()

    @contextmanager
    def progress(self, text: str) -> Iterator["LiveProgress"]:
        """Show a spinner with a text and, once a percentage is known, a bar."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn())
        shown = Progress(*columns, console=self.console, transient=True, disable=self.as_json)
        with shown:
            yield LiveProgress(shown, shown.add_task(text, total=None), self.console)


class LiveProgress:
    """A line that changes while something goes on; where there is no terminal, a new line per change of text."""

    def __init__(self, progress: Progress, task: TaskID, console: Console) -> None:
        self._progress = progress
        self._task = task
        self._console = console
        self._last = ""

    def update(self, text: str, percent: float | None = None) -> None:
        """Show a text and how far it is, 0 to 100; None when nobody knows."""
        if not self._console.is_terminal and text != self._last:
            self._console.print(text, markup=False)
        self._last = text
        known = percent is not None
        self._progress.update(
            self._task, description=escape(text), total=100 if known else None, completed=percent or 0
        )


def run_command(command: Callable[[Output], int], *, as_json: bool) -> NoReturn:
    """Run a command and end with its exit code. Errors become one message; a traceback goes to a file.

    Raises:
        typer.Exit: always.
    """
    output = Output(as_json=as_json)
    try:
        code = command(output)
    except StudioError as error:
        output.fail(error.message, fix=error.fix)
        code = 1
    except KeyboardInterrupt:
        output.fail("interrupted.")
        code = INTERRUPTED
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except Exception as error:  # noqa: BLE001 - last line of defence
        output.fail(f"{type(error).__name__}: {error}", fix=_keep_traceback())
        code = 1
    output.print_json()
    raise typer.Exit(code)


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed, also where a library made another error of it on the way.
    """

    async def whole() -> T:
        try:
            return await work
        except Exception:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from None
            raise

    return asyncio.run(whole())


def join_running_studio(config: StudioConfig) -> None:
    """Make this process a client of the running studio.

    Raises:
        StudioUnavailable: none runs in this home folder.
    """
    if not is_running(config.lock_file):
        raise StudioUnavailable(f"no studio runs in {config.root}.", fix="`studio up` starts it.")
    join_studio(config)


def join_studio(config: StudioConfig) -> None:
    """Make this process a client of the studio; call it before Prefect is imported, which reads the environment."""
    # Prefect's own remarks on standard error are for its developers.
    os.environ.update(studio_environment(config) | {"PREFECT_LOGGING_LEVEL": "ERROR"})


def _keep_traceback() -> str:
    """Write the current exception down; says where, or why not."""
    try:
        return f"The details are in {_write_traceback()}."
    except (OSError, StudioError) as error:
        return f"The details could not be written down: {error}"


def _write_traceback() -> Path:
    """Append the current exception to the log of the command line."""
    config = load_config()
    config.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = config.logs / "cli.log"
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    record = logging.getLogger("studio.cli").makeRecord(
        "studio.cli", logging.ERROR, __file__, 0, "command failed args=%s", (sys.argv[1:],), sys.exc_info()
    )
    handler.emit(record)
    handler.close()
    return path


def seconds_since(moment: float) -> str:
    """A duration for people, such as ``3 m 12 s``."""
    total = max(0, int(time.time() - moment))
    hours, minutes, seconds = total // 3600, total // 60 % 60, total % 60
    if hours:
        return f"{hours} h {minutes} m"
    return f"{minutes} m {seconds} s" if minutes else f"{seconds} s"
