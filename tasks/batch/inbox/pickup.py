"""Bring one dropped file to its end, in steps of which each may be repeated.

The file stays under `inbox/` until everything else has happened, and every step before finds its own traces: the copy
carries the drop's id, the run has the drop's name as its idempotency key, notes are written over themselves. So a
process may die anywhere, and the next pass goes through the same steps to the same end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tasks.batch.inbox.checking import Checked, check_file, reason_text
from tasks.batch.inbox.drop import DONE, REJECTED, Drop
from tasks.storage import ObjectChanged, ObjectMissing, ObjectStore

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

STALE = timedelta(minutes=15)
"""A pass that has held a file for this long is taken for dead."""

FOR_GOOD = timedelta(days=3650)
MANIFEST_LIMIT = 512 * 1024 * 1024
RUN_NOTE, REASON_NOTE = ".run.txt", ".reason.txt"
DROP_ID = "drop"
"""Metadata of a moved file: which drop it is."""

log = logging.getLogger("studio.inbox")


class Verdict(StrEnum):
    """What became of a dropped file in a pass."""

    STARTED = "started"
    REJECTED = "rejected"
    WAITS = "left for the next pass"
    BROKEN = "unexpected error"


@dataclass(frozen=True)
class Picked:
    """A dropped file that has come to its end, or why it has not."""

    drop: Drop
    verdict: Verdict
    told: str = ""
    """In one sentence."""
    place: str = ""
    """s3:// address of the file now."""
    note: str = ""
    """s3:// address of what was written beside it."""
    rows: int = 0


@dataclass(frozen=True)
class StartedRun:
    """The run that works on a manifest, and where people see it."""

    name: str
    page: str


StartRun = Callable[[str, str, str], Awaitable[StartedRun]]
"""Starts a batch run for a manifest's address, under a name; the same key as a third argument never starts another."""


def _nobody(_step: str) -> None:
    """Nobody is told of the steps."""


@dataclass(frozen=True)
class Pickup:
    """Picks files up for one pass.

    Args:
        store: where the inbox is.
        ledger: where files are claimed.
        owner: id of the flow run that answers for them.
        start: starts a batch run.
        tell_rejected: says to others that a file was rejected, and why; may be called again for the same drop.
        after: told of every step that was made, for tests that end the process there.
    """

    store: ObjectStore
    ledger: "Ledger"
    owner: str
    start: StartRun
    tell_rejected: Callable[[Picked, Checked], None]
    after: Callable[[str], None] = _nobody
    stale_after: timedelta = STALE

    async def pick(self, drop: Drop) -> Picked | None:
        """Bring a file to its end; None when another pass has it, had it, or somebody has just replaced it.

        Raises:
            StudioError: a part of the studio is away; the file stays for the next pass.
        """
        if not await self.ledger.claim(drop.claim, self.owner, stale_after=self.stale_after):
            return None
        try:
            self.after("claimed")
            if not drop.is_still(await self.store.head(drop.facts.bucket, drop.facts.key)):
                return None
            checked = await self._check(drop)
            self.after("checked")
            return await (self._reject(drop, checked) if checked.problem_count else self._begin(drop, checked))
        except (ObjectChanged, ObjectMissing) as change:
            log.info("dropped file was replaced or taken away file=%s cause=%s", drop.path, change)
            return None
        finally:
            await self.ledger.release_claim(drop.claim, self.owner)

    async def _check(self, drop: Drop) -> Checked:
        if drop.facts.size > MANIFEST_LIMIT:
            checked = Checked()
            checked.add_problem(f"{drop.name} is larger than {MANIFEST_LIMIT:,} bytes. Split it into several files.")
            return checked
        with TemporaryDirectory() as folder:
            local = Path(folder) / "manifest"
            fetched = await self.store.get_file(drop.facts.bucket, drop.facts.key, local, limit=MANIFEST_LIMIT)
            if fetched.etag != drop.facts.etag:
                raise ObjectChanged(f"{drop.path} was replaced while it was read.")
            return await asyncio.to_thread(check_file, local, drop.name)

    async def _begin(self, drop: Drop, checked: Checked) -> Picked:
        place = await self._copy(drop, DONE, RUN_NOTE)
        address = f"s3://{drop.facts.bucket}/{place}"
        run = await self.start(address, checked.name or drop.stem, drop.claim)
        self.after("started")
        text = f"{drop.name}: {checked.rows:,} rows, worked on by the run {run.name}\n{run.page}\n"
        note = await self._note(drop, place + RUN_NOTE, text)
        await self._clear(drop)
        return Picked(drop, Verdict.STARTED, f"run {run.name}", address, note, checked.rows)

    async def _reject(self, drop: Drop, checked: Checked) -> Picked:
        place = await self._copy(drop, REJECTED, REASON_NOTE)
        text = reason_text(drop.name, checked.problems, checked.problem_count)
        note = await self._note(drop, place + REASON_NOTE, text)
        address = f"s3://{drop.facts.bucket}/{place}"
        picked = Picked(drop, Verdict.REJECTED, checked.problems[0], address, note, checked.rows)
        self.tell_rejected(picked, checked)
        self.after("told")
        await self._clear(drop)
        return picked

    async def _copy(self, drop: Drop, folder: str, note: str) -> str:
        """Copy it to the first place that is free, or find the copy that was made before; returns the key.

        Args:
            drop: the file.
            folder: where it goes.
            note: what is added to the key for the note beside it, whose place must be free as well.
        """
        bucket, id_ = drop.facts.bucket, str(drop.id)
        for key in drop.places(folder):
            # Two files that want the same place at the same moment would both find it free.
            place = f"inbox-place:{bucket}/{key}"
            if not await self.ledger.claim(place, id_, stale_after=FOR_GOOD):
                continue
            try:
                there, beside = [await self.store.head(bucket, name) for name in (key, key + note)]
                if any(found is not None and found.metadata.get(DROP_ID) != id_ for found in (there, beside)):
                    continue
                if there is None:
                    metadata = {DROP_ID: id_}
                    await self.store.copy(bucket, drop.facts.key, key, etag=drop.facts.etag, metadata=metadata)
            finally:
                await self.ledger.release_claim(place, id_)
            self.after("copied")
            return key
        raise AssertionError  # there is always another place

    async def _note(self, drop: Drop, key: str, text: str) -> str:
        await self.store.put_bytes(
            drop.facts.bucket,
            key,
            text.encode(),
            content_type="text/plain; charset=utf-8",
            metadata={DROP_ID: str(drop.id)},
        )
        self.after("noted")
        return f"s3://{drop.facts.bucket}/{key}"

    async def _clear(self, drop: Drop) -> None:
        """Take the file out of the inbox, unless somebody has just dropped another under its name."""
        if drop.is_still(await self.store.head(drop.facts.bucket, drop.facts.key)):
            await self.store.delete(drop.facts.bucket, drop.facts.key)
        self.after("cleared")
