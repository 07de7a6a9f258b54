"""Ctrl-C ends a command as shells expect it."""

import asyncio
import os
import signal

import pytest

from deployments.cli.console import run_async


async def _interrupted_as(error: type[BaseException]) -> None:
    asyncio.get_running_loop().call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        raise error from None


@pytest.mark.parametrize("error", [asyncio.CancelledError, ConnectionError, RuntimeError])
def test_ctrl_c_is_told_from_an_error(error: type[BaseException]) -> None:
    """A library that makes an error of its own of the interrupt does not make a failure of it."""
    with pytest.raises(KeyboardInterrupt):
        run_async(_interrupted_as(error))


def test_errors_stay_errors() -> None:
    """Without Ctrl-C nothing is taken for it."""

    async def fails() -> None:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError, match="away"):
        run_async(fails())
