"""The `studio` program. A command's module is imported when the command is used, so that help comes at once.

A new command is one module with one function, or with a group of them, and one row in the table below.
"""

import importlib
import json
import sys
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS = {
    "up": ("deployments.cli.up:up", "Start the studio on this machine and keep it running."),
    "down": ("deployments.cli.down:down", "Stop the studio and make sure that nothing of it is left running."),
    "status": ("deployments.cli.status:status", "Show what runs, and the last runs."),
    "doctor": ("deployments.cli.doctor:doctor", "Check every part and say what to do."),
    "demo": ("deployments.cli.demo:demo", "Produce one real talking video from the bundled presenter."),
    "demo-show": ("deployments.cli.demo_show:demo_show", "Broadcast a three-minute show with every kind of cue."),
    "upload": ("deployments.cli.upload:upload", "Upload media to staging and print their addresses."),
    "open": ("deployments.cli.open:open_", "Print the links to the UI, a run and its video."),
    "render": ("deployments.cli.render:render", "Render one video and print where it is."),
    "batch": ("deployments.cli.batch:batch", "Render every row of a spreadsheet, and look at it first."),
    "show": ("deployments.cli.show_control:show", "Broadcast live shows, and speak to them while they are on air."),
    "catalog": ("deployments.cli.catalog:catalog", "List the avatars, voices and captions of a provider."),
    "costs": ("deployments.cli.costs:costs", "Show what renders cost, by month and account, and what the caps leave."),
    "settle": ("deployments.cli.settle:settle", "Decide about renders of which nobody knows whether they are paid."),
    "reconcile": ("deployments.cli.reconcile:reconcile", "Finish now what crashes and outages left behind."),
    "smoke": ("deployments.cli.smoke:smoke", "Try one cheapest real render at a provider; asks before it spends."),
}
"""Name, where it is, and the sentence shown in the list of commands."""

USAGE_ERROR = 2


class _LazyGroup(TyperGroup):
    """Knows its commands by name and imports only the one that is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - signature of base
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - signature of base
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name in COMMANDS else found, rest


def _load(name: str) -> Any:
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name)(found)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=False)
def _studio() -> None:
    """Digital Human Studio: talking videos from a presenter and a speech."""


def main() -> None:
    """Entry point of the `studio` program."""
    try:
        app()
    except SystemExit as end:
        if end.code == USAGE_ERROR and "--json" in sys.argv:
            # The explanation is on standard error; programs get their one object here too.
            print(json.dumps({"error": "the command line is not valid.", "fix": "studio --help"}))  # noqa: T201 - the answer
        raise


if __name__ == "__main__":
    main()
