"""A free look at a batch before anything is spent: problems, what is there already, probable cost and time.

Nothing is uploaded to a provider, and no provider is asked to render.
"""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tasks.batch.manifest import ManifestRow, Normalised, RowProblem, Rows, normalise, read_shard
from tasks.batch.manifest.normalised import MOST_PROBLEMS
from tasks.batch.preview_media import MediaBook, RowMedia, Tell
from tasks.batch.preview_sums import Money, Sums, expected_seconds
from tasks.errors import Problem, RequestRefused
from tasks.ledger import State
from tasks.ledger.opening import open_existing_ledger
from tasks.models import RenderRequest
from tasks.plan import RenderPlan, check_media, plan_renders
from tasks.settings import get_settings
from tasks.step import plain_steps

if TYPE_CHECKING:
    from tasks.ledger.store import Ledger

MOST_DEEP_CHECKS = 200
"""Pairs of avatar and recording that a provider looks at with all its rules, faces included."""
_ROWS_AT_ONCE = 500
_SHARD = 10_000


class Preview(BaseModel):
    """What a batch would be. Videos are counted once, however many rows ask for the same one."""

    model_config = ConfigDict(frozen=True)

    rows: int = Field(description="Rows without problems.")
    bad_rows: int
    problems: list[RowProblem] = Field(description="The first of them.")
    problem_count: int
    videos: int = Field(description="Different videos that the rows ask for.")
    archived: int = Field(description="Of these, videos that are in the archive already.")
    under_way: int = Field(description="Of these, renders that were submitted before and are not paid for again.")
    unknown: int = Field(description="Of these, videos whose media were not looked into, so that nobody can tell.")
    media: int = Field(description="Different files that the rows name.")
    media_unchecked: int = Field(description="Links whose existence was not checked.")
    money: list[Money] = Field(description="Of the videos that are still to be rendered.")
    seconds: float | None = Field(description="Probable wall time; None where no history tells it.")
    untimed: list[str] = Field(description="Providers without history.")

    @property
    def to_render(self) -> int:
        """Videos that a run would have to submit, as far as known."""
        return self.videos - self.archived - self.under_way


async def preview(
    rows: Rows,
    folder: Path,
    *,
    tell: Tell,
    local: Mapping[str, Path] | None = None,
    all_media: bool = False,
    in_flight: int = 1000,
) -> Preview:
    """Look at a batch.

    Args:
        rows: of the manifest.
        folder: for temporary files; memory does not grow with the texts of the rows.
        tell: hears what is going on.
        local: files on this machine, by the address that stands for each in the rows; it may fill up as rows are read.
        all_media: look into all media, however many.
        in_flight: most renders at the same time.

    Raises:
        RequestRefused: the manifest is wrong as a whole.
        StorageError: the object store does not answer or denies access.
    """
    tell("reading the rows", None)
    book = MediaBook(folder, {} if local is None else local)
    found = await asyncio.to_thread(normalise, book.noting(rows), folder / "rows", _SHARD)
    looked_into = await book.look(all_media=all_media, tell=tell)
    async with open_existing_ledger() as ledger:
        look = _Look(book, ledger)
        with plain_steps():
            for number, chunk in enumerate(_chunks(found)):
                tell("looking at the rows", 100 * number * _ROWS_AT_ONCE / found.rows)
                await look.at(chunk)
        seconds, untimed = await expected_seconds(look.sums, ledger, in_flight, get_settings())
    return Preview(
        rows=found.rows - look.bad_rows,
        bad_rows=found.bad_rows + look.bad_rows,
        problems=(found.problems + look.problems)[:MOST_PROBLEMS],
        problem_count=found.problem_count + look.problem_count,
        videos=look.videos,
        archived=look.archived,
        under_way=look.under_way,
        unknown=look.unknown,
        media=len(book),
        media_unchecked=book.unchecked if not looked_into else 0,
        money=look.sums.money(),
        seconds=seconds,
        untimed=untimed,
    )


def _chunks(found: Normalised) -> Iterator[list[ManifestRow]]:
    rows = itertools.chain.from_iterable(map(read_shard, found.shards))
    while chunk := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        yield chunk


class _Planned(NamedTuple):
    """A row that some provider could render; the best plan comes first."""

    plans: Sequence[RenderPlan]
    is_known: bool


class _Look:
    """Goes over the rows of a batch once and adds up what it finds."""

    def __init__(self, book: MediaBook, ledger: "Ledger | None") -> None:
        self._book = book
        self._ledger = ledger
        self._seen: set[bytes] = set()
        # What a provider said about a pair of avatar and recording.
        self._checked: dict[tuple[str, ...], list[Problem]] = {}
        self.problems: list[RowProblem] = []
        self.problem_count = self.bad_rows = 0
        self.videos = self.archived = self.under_way = self.unknown = 0
        self.sums = Sums()

    async def at(self, rows: Sequence[ManifestRow]) -> None:
        """Look at some more rows."""
        new: dict[str, _Planned] = {}
        for row in rows:
            try:
                media = self._book.of(row.request)
                plans = await self._plans(row.request, media)
            except RequestRefused as refused:
                self._note(row.number, refused.problems)
                continue
            key = plans[0].render_key
            if bytes.fromhex(key) not in self._seen:
                self._seen.add(bytes.fromhex(key))
                new[key] = _Planned(plans, media.are_known)
        await self._weigh(list(new.values()))

    async def _plans(self, request: RenderRequest, media: RowMedia) -> list[RenderPlan]:
        """The plans of a row whose providers refuse nothing about it, the best first."""
        if media.problems:
            raise RequestRefused(media.problems)
        plans = await plan_renders(request, media.by_role)
        refused = {plan.provider: await self._deep_check(plan, request, media) for plan in plans}
        fit = [plan for plan in plans if not refused[plan.provider]]
        if not fit:
            raise RequestRefused([problem for problems in refused.values() for problem in problems])
        return fit

    async def _deep_check(self, plan: RenderPlan, request: RenderRequest, media: RowMedia) -> list[Problem]:
        """What the provider's own look at the media finds; rows with the same media share it."""
        if not media.by_role or not media.are_here:
            return []
        pair = (plan.provider, plan.mode, *(found.reference for found in media.by_role.values()))
        if pair not in self._checked:
            if len(self._checked) >= MOST_DEEP_CHECKS:
                return []
            self._checked[pair] = await check_media(plan, request, media.by_role)
        return self._checked[pair]

    async def _weigh(self, new: Sequence[_Planned]) -> None:
        """Count videos that no earlier row asked for, and add up what they would take."""
        known = [plan.render_key for planned in new if planned.is_known for plan in planned.plans]
        entries = await self._ledger.find_many(known) if self._ledger and known else {}
        for planned in new:
            self.videos += 1
            there = [entries[plan.render_key] for plan in planned.plans if plan.render_key in entries]
            if any(entry.state is State.ARCHIVED for entry in there):
                self.archived += 1
            elif any(entry.is_open and entry.state is not State.RESERVED for entry in there):
                self.under_way += 1
            else:
                self.unknown += not planned.is_known
                self.sums.add(planned.plans[0])

    def _note(self, number: int, problems: Sequence[Problem]) -> None:
        self.bad_rows += 1
        self.problem_count += len(problems)
        room = MOST_PROBLEMS - len(self.problems)
        self.problems += [
            RowProblem(number=number, column=problem.field, wrong=problem.wrong, fix=problem.fix)
            for problem in problems[:room]
        ]
