"""`studio up`: start the studio, show how it comes up, and keep it running until it is stopped."""

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from deployments.cli.console import INTERRUPTED, Output, run_async, run_command
from deployments.cli.display import StartDisplay, address_facts, addresses
from infra.studio.config import StudioConfig, load_config
from infra.studio.lifecycle import (
    AlreadyRunning,
    current_state,
    launch,
    probe_parts,
    require_sandbox,
    stop,
    wait_until_ready,
    wait_until_taken_over,
)
from infra.studio.state import PartState, StudioState, is_running, read_state
from infra.studio.supervisor import titles
from tasks.errors import StudioUnavailable

_WATCH_SECONDS = 0.5


def up(
    *,
    prefect_port: Annotated[
        int | None, typer.Option(help="Port of the Prefect server and UI; remembered for the next start.")
    ] = None,
    s3_port: Annotated[int | None, typer.Option(help="S3 port of the object store; remembered.")] = None,
    webhook_port: Annotated[int | None, typer.Option(help="Port for notices of providers; remembered.")] = None,
    sandbox_port: Annotated[int | None, typer.Option(help="Port of the sandbox; remembered.")] = None,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Let a sandbox on this machine stand in for the paid providers.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the studio is ready.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when the studio is ready.")] = False,
) -> None:
    """Start the studio on this machine and keep it running.

    Ctrl-C stops it, all of it. With --detach it runs until `studio down`. State stays in the home folder.
    """
    ports = {
        "prefect_port": prefect_port,
        "s3_port": s3_port,
        "webhook_port": webhook_port,
        "sandbox_port": sandbox_port,
    }
    run_command(
        lambda output: _up(output, load_config(sandbox=sandbox or None, **ports), detach=detach), as_json=as_json
    )


def _up(output: Output, config: StudioConfig, *, detach: bool) -> int:
    if is_running(config.lock_file):
        return _attach(output, config)
    with _stop_signals() as stopping:
        supervisor = launch(config, leash=not detach)
        try:
            with StartDisplay(output, stopping) as display:
                state = wait_until_ready(config, supervisor, display.show)
        except AlreadyRunning:
            return _attach(output, config)
        except KeyboardInterrupt:
            _stop(output, config, supervisor)
            output.fail("interrupted before the studio was ready.")
            return INTERRUPTED
        _announce(output, config, state, "ready")
        if detach:
            output.say("`studio down` stops it.")
            return 0
        output.say("Ctrl-C stops it.")
        _watch(output, config, supervisor, stopping)
        if stopping.is_set():
            _stop(output, config, supervisor)
            return 0
    last = read_state(config.state_file)
    if last and last.phase == "failed":
        raise StudioUnavailable(last.error, fix=last.fix)
    output.say("the studio was stopped.")
    return 0


def _attach(output: Output, config: StudioConfig) -> int:
    """Say that the studio runs already, if it does so on the wanted ports and its parts answer."""
    output.say(f"a studio already runs in {config.root}.")
    with _stop_signals() as stopping, StartDisplay(output, stopping) as display:
        state = wait_until_taken_over(config, display.show)
    if state.ports != config.ports:
        running = ", ".join(f"{name.removesuffix('_port')} {port}" for name, port in state.ports.items())
        raise StudioUnavailable(
            f"the studio in {config.root} already runs on other ports: {running}.",
            fix="Stop it first with `studio down`, or leave the ports out.",
        )
    require_sandbox(config, state)
    troubles = {name: reason for name, reason in run_async(probe_parts(config, state)).items() if reason}
    if troubles:
        told = "; ".join(f"{titles(config)[name]}: {reason}" for name, reason in troubles.items())
        raise StudioUnavailable(
            f"a studio runs, but not all of it answers. {told}", fix="Run `studio down`, then `studio up`."
        )
    _announce(output, config, state, "already running")
    return 0


def _announce(output: Output, config: StudioConfig, state: StudioState, word: str) -> None:
    output.say(
        f"\nstudio {word} in {state.seconds or 0:.1f} s" if word == "ready" else f"\nstudio {word}", style="bold"
    )
    output.table("", addresses(config, state))
    if state.sandbox:
        output.say("TopView, mingyan and ZEGO are played by the sandbox: nothing is sent to them and nothing is paid.")
    output.result(
        state=word,
        home=str(config.root),
        **address_facts(config, state),
        seconds=state.seconds,
        parts={name: part.seconds for name, part in state.parts.items()},
        pid=state.supervisor.pid,
    )
    output.print_json()


def _watch(
    output: Output, config: StudioConfig, supervisor: subprocess.Popen[bytes], stopping: threading.Event
) -> None:
    """Tell of every part that dies and comes back, until somebody stops the studio."""
    seen: dict[str, PartState] = {}
    while supervisor.poll() is None and not stopping.is_set():
        state = current_state(config)
        for name, part in (state.parts if state else {}).items():
            before = seen.get(name)
            if before and before.phase != part.phase and part.phase in {"restarting", "failed", "ready"}:
                output.say(f"{titles(config).get(name, name)} {part.phase}. {part.detail}".rstrip())
            seen[name] = part
        stopping.wait(_WATCH_SECONDS)


def _stop(output: Output, config: StudioConfig, supervisor: subprocess.Popen[bytes]) -> None:
    output.say("stopping…")
    stop(config)
    supervisor.wait(timeout=config.stop_seconds)
    output.say("the studio is stopped.")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Ctrl-C, SIGTERM and a closed terminal ask for a clean stop instead of ending this process."""
    asked = threading.Event()

    def ask(_number: int, _frame: Any) -> None:
        if asked.is_set():
            # The second time a person does not want to wait; the leash still stops the studio behind us.
            raise KeyboardInterrupt
        asked.set()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
