"""A file in the making: written under a temporary name, hashed on the way, capped, then promoted or gone."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tasks.errors import StudioUnavailable


class TooLarge(Exception):
    """More bytes came than may be kept."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes or more")
        self.size = size


@dataclass(frozen=True)
class WholeFile:
    """A complete file on this machine. Digests in hex."""

    path: Path
    size: int
    sha256: str
    md5: str


class PartialFile:
    """Collects chunks for one file; made by ``partial_file``."""

    def __init__(self, path: Path, sink: BinaryIO, max_bytes: int) -> None:
        self.size = 0
        self._path = path
        self._sink = sink
        self._max_bytes = max_bytes
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    @property
    def sha256(self) -> str:
        """SHA-256 of what was collected so far, in hex."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """MD5 of what was collected so far, in hex."""
        return self._md5.hexdigest()

    async def add(self, chunk: bytes) -> None:
        """Append a chunk.

        Raises:
            TooLarge: the cap would be passed; the chunk is not kept.
        """
        if self.size + len(chunk) > self._max_bytes:
            raise TooLarge(self.size + len(chunk))
        await asyncio.to_thread(self._keep, chunk)
        self.size += len(chunk)

    def _keep(self, chunk: bytes) -> None:
        with _disk_errors(self._path):
            self._sink.write(chunk)
        self._sha256.update(chunk)
        self._md5.update(chunk)


@contextlib.asynccontextmanager
async def partial_file(path: Path, max_bytes: int) -> AsyncIterator[PartialFile]:
    """Collect a file beside its final name; it appears there when the block ends well, else nothing is left.

    Args:
        path: final name; its folder exists.
        max_bytes: most bytes kept.

    Raises:
        StudioUnavailable: the disk is full or cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with _disk_errors(part):
            sink = await asyncio.to_thread(part.open, "wb")
        with sink:
            yield PartialFile(part, sink, max_bytes)
            with _disk_errors(part):
                await asyncio.to_thread(sink.flush)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk_errors(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StudioUnavailable(
            f"cannot write {part} ({error.strerror}).", fix="Free space on the disk of STUDIO_HOME, then run it again."
        ) from error
