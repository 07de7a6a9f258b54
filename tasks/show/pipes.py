"""Live PCM that another program writes into a named pipe of the studio's home."""

import asyncio
import fcntl
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tasks.errors import StudioUnavailable
from tasks.settings import get_settings
from tasks.show.pcm import SAMPLE_BYTES

PATIENCE_SECONDS = 60.0
"""How long a show waits for the first sound, and for more after a silence without any data."""

_READ_BYTES = 16 * 1024


def pipe_path(name: str) -> Path:
    """The pipe of a name, which is made if it is not there; only this user may write into it.

    Raises:
        StudioUnavailable: something else lies at its place, or it cannot be made.
    """
    path = get_settings().root / "pipes" / name
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.mkfifo(path, 0o600)
        mode = path.stat().st_mode
    except OSError as error:
        raise StudioUnavailable(
            f"the pipe {path} cannot be made ({error.strerror}).", fix="Check the rights of the studio's home folder."
        ) from error
    if not stat.S_ISFIFO(mode):
        raise StudioUnavailable(f"{path} is no pipe.", fix="Move it away, or choose another name.")
    return path


async def pipe_pcm(
    name: str, sample_rate: int, seconds: float, *, patience: float = PATIENCE_SECONDS
) -> AsyncGenerator[bytes]:
    """Hand out what another program writes, as it comes, until it closes the pipe or has written enough.

    The writer is held back by the pipe if it is faster than the show. A writer that leaves without a word is not the
    end: the next one is waited for.

    Args:
        name: of the pipe.
        sample_rate: of the audio, which is signed 16-bit little-endian mono.
        seconds: of audio after which it ends.
        patience: seconds to wait for data.

    Yields:
        PCM as it was written, in pieces of whole samples.

    Raises:
        StudioUnavailable: no data came for ``patience``, another show reads the pipe, or there is no pipe.
    """
    path = pipe_path(name)
    left = round(seconds * sample_rate) * SAMPLE_BYTES
    async with aclosing(_written(path, patience)) as pieces:
        rest = b""
        async for piece in pieces:
            data = (rest + piece)[:left]
            whole = len(data) - len(data) % SAMPLE_BYTES
            rest = data[whole:]
            left -= whole
            if whole:
                yield data[:whole]
            if not left:
                return


async def _written(path: Path, patience: float) -> AsyncGenerator[bytes]:
    """What is written until the first writer that wrote anything leaves."""
    until = asyncio.get_running_loop().time() + patience
    has_come = False
    while not has_come:
        async with _reading(path) as reader:
            while True:
                try:
                    async with asyncio.timeout(patience) if has_come else asyncio.timeout_at(until):
                        piece = await reader.read(_READ_BYTES)
                except TimeoutError:
                    raise _silent(path, patience, has_come=has_come) from None
                if not piece:
                    break
                has_come = True
                yield piece


@asynccontextmanager
async def _reading(path: Path) -> AsyncGenerator[asyncio.StreamReader]:
    # Without a writer a blocking open would hold a thread until one comes.
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StudioUnavailable(
            f"another show reads the pipe {path}.", fix="Give each show a pipe of its own."
        ) from error
    reader = asyncio.StreamReader(limit=_READ_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    try:
        yield reader
    finally:
        if not file.closed:
            # The transport closes it a little later; the next show may come sooner.
            fcntl.flock(file, fcntl.LOCK_UN)
        transport.close()


def _silent(path: Path, patience: float, *, has_come: bool) -> StudioUnavailable:
    what = "nothing more came" if has_come else "nobody wrote"
    return StudioUnavailable(
        f"{what} through the pipe {path} for {patience:g} s.",
        fix="Start the program that writes there, and let it write silence in its pauses.",
    )
