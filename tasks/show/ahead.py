"""Blocking sources of sound, read by a thread one piece ahead of who listens."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor


async def read_ahead(pieces: Generator[bytes]) -> AsyncGenerator[bytes]:
    """Hand out what a blocking generator yields; while one piece is used, a thread prepares the next.

    The generator is run and closed by that thread alone. Its errors are raised here, after the pieces before them.
    """
    loop = asyncio.get_running_loop()
    # A thread of its own: the loop's few are shared with all that waits for files, and sound cannot wait.
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sound")
    coming = loop.run_in_executor(thread, next, pieces, None)
    try:
        while (piece := await coming) is not None:
            coming = loop.run_in_executor(thread, next, pieces, None)
            yield piece
    finally:
        if not coming.cancel() and not coming.cancelled():
            # Who stopped listening is not told of what would have gone wrong later.
            coming.exception()
        thread.submit(pieces.close)
        thread.shutdown(wait=False)
