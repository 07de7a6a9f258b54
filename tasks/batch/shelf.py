"""The media of a batch: each file is fetched and probed once, however many rows name it."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import MediaRefused
from tasks.media import WantedMedia, bring_media, refused_together, wanted_media
from tasks.models import RenderRequest
from tasks.providers.base import MediaRole, ProbedMedia

_Key = tuple[MediaRole, str]

MOST_BYTES = 2 * 1024**3
"""Room on this machine for files that no row is using just now."""

log = logging.getLogger("studio.batch")


@dataclass(slots=True)
class _Item:
    """One file, or the reason why it cannot be used."""

    found: asyncio.Future[ProbedMedia | MediaRefused]
    path: Path
    users: int = 0


class MediaShelf:
    """Files that rows share. What is refused is refused for every row that names it; what may pass is not kept.

    Args:
        folder: where they are kept for the life of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._items: dict[_Key, _Item] = {}
        self._idle: OrderedDict[_Key, int] = OrderedDict()
        """Bytes of the files that no row is using, idle for longest first."""
        self._count = 0
        self._idle_bytes = 0

    @asynccontextmanager
    async def media_of(self, request: RenderRequest) -> AsyncIterator[dict[MediaRole, ProbedMedia]]:
        """The media of one request, for the length of a block.

        Raises:
            MediaRefused: naming everything that is wrong with any of the files.
            StorageError: the object store does not answer or denies access.
        """
        async with AsyncExitStack() as stack:
            media: dict[MediaRole, ProbedMedia] = {}
            refusals: list[MediaRefused] = []
            for wanted in wanted_media(request):
                found = await stack.enter_async_context(self._use(wanted))
                if isinstance(found, MediaRefused):
                    refusals.append(found)
                else:
                    media[wanted.role] = found
            if refusals:
                raise refused_together(refusals)
            yield media

    @asynccontextmanager
    async def _use(self, wanted: WantedMedia) -> AsyncIterator[ProbedMedia | MediaRefused]:
        key = (wanted.role, wanted.reference)
        item = self._items.get(key)
        is_first = item is None
        if item is None:
            self._count += 1
            path = self._folder / f"shared-{self._count}.media"
            item = self._items[key] = _Item(asyncio.get_running_loop().create_future(), path)
        else:
            self._idle_bytes -= self._idle.pop(key, 0)
        item.users += 1
        try:
            if is_first:
                await self._bring(key, item, wanted)
            # Cancelling one row must not take the file from the others.
            yield await asyncio.shield(item.found)
        finally:
            item.users -= 1
            if item.users == 0 and self._items.get(key) is item and (size := _size(item)):
                self._idle[key] = size
                self._idle_bytes += size
                self._make_room()

    async def _bring(self, key: _Key, item: _Item, wanted: WantedMedia) -> None:
        try:
            item.found.set_result(await bring_media(wanted, item.path))
        except MediaRefused as refused:
            # What was fetched and then refused is a whole file.
            item.path.unlink(missing_ok=True)
            if refused.passing:
                del self._items[key]
            item.found.set_result(refused)
        except BaseException as error:
            item.path.unlink(missing_ok=True)
            del self._items[key]
            outage = error if isinstance(error, Exception) else RuntimeError("the row that fetched it was cancelled")
            item.found.set_exception(outage)
            # Whoever waits for it sees the error; nobody may be waiting.
            item.found.exception()
            raise

    def _make_room(self) -> None:
        """Throw away what was idle longest, until the rest has room."""
        while self._idle_bytes > MOST_BYTES:
            key, size = self._idle.popitem(last=False)
            self._idle_bytes -= size
            self._items.pop(key).path.unlink(missing_ok=True)


def _size(item: _Item) -> int:
    """Bytes on the disk; a refusal has none."""
    found = item.found.result() if item.found.done() and not item.found.exception() else None
    return found.size if isinstance(found, ProbedMedia) else 0
