"""The first half of a row: from its request to an accepted submission, or to a video that is there already."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from tasks.accept import submit_to_first
from tasks.batch.admission import Admission
from tasks.batch.outcomes import row_of_video
from tasks.batch.row_file import RowFile
from tasks.batch.shelf import MediaShelf
from tasks.delivery import Delivery, delivery_of
from tasks.handout import hand_out
from tasks.ledger import Entry
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.models import RenderRequest
from tasks.original import find_original
from tasks.plan import RenderPlan, plan_of, plan_renders
from tasks.publish import find_finished


@dataclass(frozen=True)
class Begun:
    """A row whose render was accepted, and its record until it has ended."""

    row: BatchRow
    entry: Entry


class Beginner(Protocol):
    """How rows are begun."""

    async def begin(self, number: int) -> Begun | BatchRow | None:
        """Bring a row to an accepted submission, or to its outcome; None when it waits for another row of the batch."""
        ...

    def followers_of(self, number: int) -> list[int]:
        """The rows that waited for a row that has ended; nobody waits for it any more."""
        ...


class Intake:
    """Begins rows by having them rendered.

    Args:
        rows: the rows.
        folder: room on this machine.
        owner: id of the flow run that answers for the batch.
        admission: says who may be submitted.
        announce: keeps the record of a row that is about to be submitted.
    """

    def __init__(
        self,
        rows: RowFile,
        folder: Path,
        *,
        owner: str,
        admission: Admission,
        announce: Callable[[BatchRow], Awaitable[None]],
    ) -> None:
        self._rows, self._folder, self._owner = rows, folder, owner
        self._admission, self._announce = admission, announce
        self._shelf = MediaShelf(folder)
        # Rows that want what another row is rendering just now: by that row, and that row by render key.
        self._followers: dict[int, list[int]] = {}
        self._leaders: dict[str, int] = {}
        self._keys: dict[int, set[str]] = {}
        self._led: set[int] = set()

    def followers_of(self, number: int) -> list[int]:
        """The rows that waited for a row that has ended; nobody waits for it any more, nor do they for anybody."""
        for key in self._keys.pop(number, ()):
            if self._leaders.get(key) == number:
                del self._leaders[key]
        followers = self._followers.pop(number, [])
        self._led.update(followers)
        self._led.discard(number)
        return followers

    async def begin(self, number: int) -> Begun | BatchRow | None:
        """Bring a row to an accepted submission, or to its outcome; None when it waits for another row of the batch.

        Raises:
            StudioError: why it has no video.
        """
        self._admission.check()
        request = self._rows.request(number)
        async with self._shelf.media_of(request) as media:
            delivery = delivery_of(request, media)
            plans = await plan_renders(request, media)
            if self._waits(number, plans):
                return None
            if finished := await find_finished(plans, delivery):
                return row_of_video(number, self._owner, finished, RowState.THERE)
            if there := await self._hand_out_again(number, plans, delivery):
                return there

            async def offer() -> Entry:
                # Whoever takes care of a killed or cancelled run finds the render by this record.
                await self._announce(self._rendering(number, request, plans[0]))
                return await submit_to_first(plans, request, media, delivery, self._owner, patience_seconds=0)

            entry = await self._admission.admitted(plans, offer)
        return Begun(self._rendering(number, request, entry), entry)

    def _waits(self, number: int, plans: list[RenderPlan]) -> bool:
        """Whether another row of this batch is at the same render; else this one leads from now on."""
        if number in self._led:
            return False
        keys = {plan.render_key for plan in plans}
        leader = next((self._leaders[key] for key in keys if key in self._leaders), number)
        if leader != number:
            self._followers.setdefault(leader, []).append(number)
            return True
        self._leaders |= dict.fromkeys(keys, number)
        self._keys.setdefault(number, set()).update(keys)
        return False

    async def _hand_out_again(self, number: int, plans: list[RenderPlan], delivery: Delivery) -> BatchRow | None:
        """The row of a render that is archived, but not with these labels."""
        record = await find_original(plans)
        if record is None:
            return None
        with TemporaryDirectory(dir=self._folder) as folder:
            finished = await hand_out(record, plan_of(plans, record.render_key), delivery, Path(folder))
        return row_of_video(number, self._owner, finished, RowState.THERE)

    def _rendering(self, number: int, request: RenderRequest, source: Entry | RenderPlan) -> BatchRow:
        estimate, unit = (
            (source.estimate, source.unit or "")
            if isinstance(source, Entry)
            else (source.estimate.amount, source.estimate.unit)
        )
        return BatchRow(
            number=number,
            run_id=self._owner,
            state=RowState.RENDERING,
            title=request.title,
            render_key=source.render_key,
            provider=source.provider,
            estimate=estimate,
            unit=unit,
            updated_at=datetime.now(UTC),
        )
