"""The first half of a row: from its request to an accepted submission, or to a video that is there already."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Protocol

from tasks.accept import submit_to_first
from tasks.batch.outcomes import row_of_video
from tasks.batch.row_file import RowFile
from tasks.batch.shelf import MediaShelf
from tasks.delivery import Delivery, delivery_of
from tasks.handout import hand_out
from tasks.ledger import BudgetExceeded, Entry
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.models import RenderRequest
from tasks.original import find_original
from tasks.plan import RenderPlan, plan_of, plan_renders
from tasks.providers.base import MediaSet
from tasks.publish import find_finished

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger


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
        ledger: where the submissions are.
        rows: the rows.
        folder: room on this machine.
        owner: id of the flow run that answers for the batch.
    """

    def __init__(self, ledger: "Ledger", rows: RowFile, folder: Path, *, owner: str) -> None:
        self._ledger, self._rows, self._folder, self._owner = ledger, rows, folder, owner
        self._shelf = MediaShelf(folder)
        # Rows that want what another row is rendering just now: by that row, and that row by render key.
        self._followers: dict[int, list[int]] = {}
        self._leaders: dict[str, int] = {}
        self._keys: dict[int, list[str]] = {}
        self._no_budget: BudgetExceeded | None = None

    def followers_of(self, number: int) -> list[int]:
        """The rows that waited for a row that has ended; nobody waits for it any more."""
        for key in self._keys.pop(number, []):
            self._leaders.pop(key, None)
        return self._followers.pop(number, [])

    async def begin(self, number: int) -> Begun | BatchRow | None:
        """Bring a row to an accepted submission, or to its outcome; None when it waits for another row of the batch.

        Raises:
            StudioError: why it has no video.
        """
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
            entry = await self._submit(plans, request, media, delivery)
        return Begun(self._rendering(number, request, entry), entry)

    def _waits(self, number: int, plans: list[RenderPlan]) -> bool:
        """Whether another row of this batch is at the same render; else this one leads from now on."""
        keys = [plan.render_key for plan in plans]
        leader = next((self._leaders[key] for key in keys if key in self._leaders), number)
        if leader != number:
            self._followers.setdefault(leader, []).append(number)
            return True
        self._leaders |= dict.fromkeys(keys, number)
        self._keys[number] = keys
        return False

    async def _hand_out_again(self, number: int, plans: list[RenderPlan], delivery: Delivery) -> BatchRow | None:
        """The row of a render that is archived, but not with these labels."""
        record = await find_original(plans)
        if record is None:
            return None
        with TemporaryDirectory(dir=self._folder) as folder:
            finished = await hand_out(record, plan_of(plans, record.render_key), delivery, Path(folder))
        return row_of_video(number, self._owner, finished, RowState.THERE)

    async def _submit(
        self, plans: list[RenderPlan], request: RenderRequest, media: MediaSet, delivery: Delivery
    ) -> Entry:
        if self._no_budget and not await self._is_under_way(plans):
            # Each further row would be refused in the same words, after the same work.
            raise self._no_budget
        try:
            return await submit_to_first(plans, request, media, delivery, self._owner)
        except BudgetExceeded as error:
            self._no_budget = error
            raise

    async def _is_under_way(self, plans: list[RenderPlan]) -> bool:
        found = await self._ledger.find_many([plan.render_key for plan in plans])
        return any(entry.is_open for entry in found.values())

    def _rendering(self, number: int, request: RenderRequest, entry: Entry) -> BatchRow:
        return BatchRow(
            number=number,
            run_id=self._owner,
            state=RowState.RENDERING,
            title=request.title,
            render_key=entry.render_key,
            provider=entry.provider,
            estimate=entry.estimate,
            unit=entry.unit or "",
            updated_at=datetime.now(UTC),
        )
