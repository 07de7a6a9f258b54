"""What the free look at a batch finds out about the media that its rows name, each looked at once."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tasks.batch.manifest import ManifestRow, Rows
from tasks.blocks import load_store
from tasks.errors import MediaRefused, Problem
from tasks.media import WantedMedia, bring_media, wanted_media
from tasks.models import RenderRequest
from tasks.probe import probe_media
from tasks.providers.base import MediaRole, ProbedMedia
from tasks.settings import get_settings
from tasks.staging import split_reference

MOST_PROBED = 200
"""Distinct files that are fetched unless all are asked for: the render key needs their digests."""
MOST_BYTES_KEPT = 2 * 1024**3
"""Room on this machine for fetched files, which the providers' deeper checks look into."""
_FETCHES = 4
_LOOKS = 32

T = TypeVar("T")
Tell = Callable[[str, float | None], None]
"""Says what is going on, and how far it is in percent."""


@dataclass(slots=True)
class _File:
    """One file that rows name."""

    wanted: WantedMedia
    media: ProbedMedia | None = None
    is_here: bool = False
    problems: tuple[Problem, ...] = ()


class RowMedia:
    """What is known of the media of one row."""

    def __init__(self, files: list[_File]) -> None:
        self._files = files
        self.by_role: dict[MediaRole, ProbedMedia] = {
            file.wanted.role: file.media or _stand_in(file.wanted) for file in files
        }
        """What was not looked into is stood in for by its address."""

    @property
    def problems(self) -> list[Problem]:
        """What is wrong with them."""
        return [problem for file in self._files for problem in file.problems]

    @property
    def are_known(self) -> bool:
        """Whether all were looked into, so that the render key is the real one."""
        return all(file.media for file in self._files)

    @property
    def are_here(self) -> bool:
        """Whether all are on this machine."""
        return all(file.is_here for file in self._files)


class MediaBook:
    """The distinct media of a batch, and what is known of each.

    Args:
        folder: where fetched files go.
        local: files on this machine, by the address that stands for each until it is uploaded.
    """

    def __init__(self, folder: Path, local: Mapping[str, Path]) -> None:
        self._folder = folder
        self._local = local
        self._files: dict[tuple[str, str], _File] = {}
        self._bytes_kept = 0
        self.unchecked = 0
        """Links of which not even the existence was checked."""

    def __len__(self) -> int:
        return len(self._files)

    def noting(self, rows: Rows) -> Rows:
        """The same rows, whose media are noted on their way."""
        for row in rows:
            for wanted in wanted_media(row.request) if isinstance(row, ManifestRow) else ():
                if (wanted.field, wanted.reference) not in self._files:
                    self._files[wanted.field, wanted.reference] = _File(wanted)
            yield row

    async def look(self, *, all_media: bool, tell: Tell) -> bool:
        """Look at all files, into each if they are few or all are asked for; returns whether it looked into them.

        Raises:
            StorageError: the object store does not answer or denies access.
        """
        into = all_media or len(self._files) <= MOST_PROBED
        done = 0

        async def work(file: _File) -> None:
            nonlocal done
            try:
                await (self._probe(file) if into else self._find(file))
            except MediaRefused as refused:
                file.problems = tuple(refused.problems)
            done += 1
            tell(f"looking at media, {done} of {len(self._files)}", 100 * done / len(self._files))

        await _each(self._files.values(), work, at_once=_FETCHES if into else _LOOKS)
        return into

    def of(self, request: RenderRequest) -> "RowMedia":
        """The media of one row."""
        return RowMedia([self._files[wanted.field, wanted.reference] for wanted in wanted_media(request)])

    async def _probe(self, file: _File) -> None:
        wanted = file.wanted
        local = self._local.get(wanted.reference)
        if local is not None:
            file.media = await _probe_local(wanted, local)
        else:
            name = hashlib.sha256(f"{wanted.field} {wanted.reference}".encode()).hexdigest()[:32]
            path = self._folder / f"{name}.media"
            file.media = await bring_media(wanted, path)
            if self._bytes_kept + file.media.size > MOST_BYTES_KEPT:
                path.unlink()
                return
            self._bytes_kept += file.media.size
        file.is_here = True

    async def _find(self, file: _File) -> None:
        wanted, settings = file.wanted, get_settings()
        if wanted.reference in self._local:
            return
        if not wanted.reference.startswith("s3://"):
            self.unchecked += 1
            return
        bucket, key = split_reference(wanted.reference)
        if bucket not in settings.readable_buckets:
            allowed = ", ".join(sorted(settings.readable_buckets))
            wrong = f"the bucket {bucket!r} may not be read from."
            raise MediaRefused([Problem(wanted.field, wrong, f"Put the file into one of {allowed}.")])
        store = await load_store(settings.storage_block)
        facts = await store.head(bucket, key)
        if facts is None:
            fix = "Upload it, or check the spelling of bucket and key."
            raise MediaRefused([Problem(wanted.field, f"{wanted.reference} does not exist.", fix)])
        _refuse_large(wanted, facts.size)


async def _probe_local(wanted: WantedMedia, path: Path) -> ProbedMedia:
    _refuse_large(wanted, (await asyncio.to_thread(path.stat)).st_size)
    return await probe_media(path, wanted.role, wanted.reference, get_settings(), field=wanted.field)


def _refuse_large(wanted: WantedMedia, size: int) -> None:
    if size > wanted.max_bytes:
        wrong = f"the file has {size} bytes; the limit is {wanted.max_bytes}."
        raise MediaRefused([Problem(wanted.field, wrong, "Use a smaller file.")])


def _stand_in(wanted: WantedMedia) -> ProbedMedia:
    """Facts for a file that nobody has seen: enough to tell it from others."""
    kinds = {"avatar.image": "image", "avatar.video": "video", "speech.audio": "audio"}
    return ProbedMedia.model_validate(
        {
            "role": wanted.role,
            "reference": wanted.reference,
            "path": Path(),
            "sha256": hashlib.sha256(wanted.reference.encode()).hexdigest(),
            "size": 0,
            "kind": kinds[wanted.field],
            "extension": "",
        }
    )


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, at_once: int) -> None:
    """Do the same with each item, with a few workers: a hundred thousand tasks would fill the memory."""
    rest = iter(items)

    async def worker() -> None:
        for item in rest:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
