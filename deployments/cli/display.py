"""How the start of the studio looks: a table that changes in place, or a line per part where there is no terminal."""

import threading
import time
from types import TracebackType
from typing import Self

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from deployments.cli.console import Output
from infra.studio.config import StudioConfig
from infra.studio.state import StudioState

_MARKS = {"waiting": "[dim]·[/]", "ready": "[green]✓[/]", "failed": "[red]✗[/]", "stopped": "[dim]·[/]"}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧"


def addresses(config: StudioConfig, state: StudioState) -> dict[str, str]:
    """Where a person or a program finds the studio, by words for people."""
    facts = {
        "Prefect UI": config.ui_url,
        "Prefect API": config.api_url,
        "S3": f"http://{config.s3_endpoint}",
        "webhooks": config.webhook_address,
    }
    return facts | ({"sandbox": config.sandbox_address} if state.sandbox else {})


def address_facts(config: StudioConfig, state: StudioState) -> dict[str, str]:
    """The same for the JSON object."""
    return dict(zip(("ui", "api", "s3", "webhooks", "sandbox"), addresses(config, state).values(), strict=False))


class StartDisplay:
    """Shows the parts while they start.

    Args:
        output: where to.
        stop_asked: once set, the next look at the state ends the wait with KeyboardInterrupt.
    """

    def __init__(self, output: Output, stop_asked: threading.Event) -> None:
        self._output = output
        self._stop_asked = stop_asked
        self._live = Live(console=output.console, refresh_per_second=8)
        self._told: set[str] = set()
        self._terminal = output.console.is_terminal and not output.as_json

    def __enter__(self) -> Self:
        if self._terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            self._live.stop()

    def show(self, state: StudioState) -> None:
        """Show a state of the studio.

        Raises:
            KeyboardInterrupt: a stop was asked for.
        """
        if self._stop_asked.is_set():
            raise KeyboardInterrupt
        if self._terminal:
            self._live.update(_table(state))
            return
        for name, part in state.parts.items():
            if part.phase in {"ready", "failed"} and name not in self._told:
                self._told.add(name)
                self._output.say(f"{name} {part.phase} {part.seconds or 0:.1f} s {part.address}".rstrip())


def _table(state: StudioState) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, part in state.parts.items():
        spinner = _SPINNER[int(time.monotonic() * len(_SPINNER)) % len(_SPINNER)]
        seconds = f"{part.seconds:.1f} s" if part.seconds is not None else ""
        note = part.address if part.phase == "ready" else (part.detail.splitlines() or [part.phase])[0]
        table.add_row(_MARKS.get(part.phase, f"[cyan]{spinner}[/]"), name, seconds, f"[dim]{escape(note)}[/]")
    return table
