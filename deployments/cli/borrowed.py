"""A studio for the length of a command: the one that runs, or one that is started for it and stopped afterwards."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from deployments.cli.console import Output
from deployments.cli.display import StartDisplay
from infra.studio.config import StudioConfig
from infra.studio.lifecycle import launch, require_sandbox, stop, wait_until_ready, wait_until_taken_over
from infra.studio.state import is_running


@contextmanager
def borrowed_studio(output: Output, config: StudioConfig, *, keep_running: bool) -> Iterator[None]:
    """Have a studio that is ready, within the block.

    Args:
        output: where its start and stop are shown.
        config: which studio, and whether it must have a sandbox.
        keep_running: do not stop one that was started here.

    Raises:
        StudioUnavailable: a part did not start, or the one that runs has no sandbox and needs one.
    """
    started = not is_running(config.lock_file)
    if started:
        _start(output, config)
    else:
        require_sandbox(config, wait_until_taken_over(config, lambda _state: None))
    try:
        yield
    finally:
        if started and not keep_running:
            again = "make up SANDBOX=1" if config.sandbox else "make up"
            output.say(f"stopping the studio; `{again}` starts it again and keeps it running.")
            stop(config)


def _start(output: Output, config: StudioConfig) -> None:
    supervisor = launch(config, leash=False)
    try:
        with StartDisplay(output, threading.Event()) as display:
            wait_until_ready(config, supervisor, display.show)
    except KeyboardInterrupt:
        stop(config)
        raise
