"""Whether an order that got no answer was accepted: found by the ids of its uploads, which no other order has."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from tasks.errors import JobUnknown
from tasks.http import may_repeat_poll, patiently
from tasks.providers.base import IsTaken, Sighting, SubmitOrder
from tasks.providers.topview.assumptions import (
    CLOCK_SKEW,
    LOGGED_TASK_TYPE,
    MOST_HINTS,
    MOST_LOOK_UP_QUERIES,
    named_files,
    read_time,
)
from tasks.providers.topview.client import TopViewClient
from tasks.providers.topview.models import TaskAnswer

CALL_PATIENCE_SECONDS = 30
LOOK_UP_SECONDS = 300

log = logging.getLogger("studio.topview")

T = TypeVar("T")


async def look_up(client: TopViewClient, order: SubmitOrder, hints: Sequence[str], is_taken: IsTaken) -> Sighting:
    """Look for an order, first among the tasks that notices named, then in the credit log since it was sent.

    What is not found may still be queueing, or may never be charged, so the answer is never "absent".

    Raises:
        ProviderError: TopView could not be asked.
    """
    try:
        async with asyncio.timeout(LOOK_UP_SECONDS):
            job_id = await _Search(client, order, is_taken).find(hints)
    except TimeoutError:
        log.warning("look-up ended without result order=%s seconds=%d", order.order_id, LOOK_UP_SECONDS)
        return Sighting(seen="unknown")
    return Sighting(seen="accepted", job_id=job_id) if job_id else Sighting(seen="unknown")


class _Search:
    """The search for one order."""

    def __init__(self, client: TopViewClient, order: SubmitOrder, is_taken: IsTaken) -> None:
        self._client = client
        self._is_taken = is_taken
        self._order = order
        self._ours = frozenset(order.inputs.values())
        self._left = MOST_LOOK_UP_QUERIES
        self._asked: set[str] = set()

    async def find(self, hints: Sequence[str]) -> str | None:
        """The order's task, where it can be told from all others."""
        unproven = []
        for job_id in hints[:MOST_HINTS]:
            named = await self._files_of(job_id)
            if named is not None and named & self._ours:
                return job_id
            # A task with no uploads, or one whose answer does not name them, cannot be told from others by itself.
            if named is not None and not named:
                unproven.append(job_id)
        if self._order.sent_at is None or not (self._ours or unproven):
            return None
        logged = await self._logged_since(self._order.sent_at - CLOCK_SKEW, self._order.sent_at)
        # The notice came to an address that only this order gave out, and the money was taken since it was sent.
        # Whoever got hold of that address may name others, so several prove nothing.
        charged = [job_id for job_id in unproven if job_id in logged]
        if len(charged) == 1:
            return charged[0]
        return await self._by_uploads(logged) if self._ours else None

    async def _by_uploads(self, logged: Sequence[str]) -> str | None:
        for job_id in logged:
            if await self._is_taken(job_id):
                continue
            if job_id not in self._asked and (await self._files_of(job_id) or frozenset()) & self._ours:
                return job_id
            if not self._left:
                log.warning("look-up asked for all it may order=%s logged=%d", self._order.order_id, len(logged))
                return None
        return None

    async def _files_of(self, job_id: str) -> frozenset[str] | None:
        """The uploads that a task names; None where the account has no such task or no more may be asked."""
        if not self._left:
            return None
        self._left -= 1
        self._asked.add(job_id)
        try:
            answer: TaskAnswer = await patiently(may_repeat_poll, seconds=CALL_PATIENCE_SECONDS)(
                self._client.query, job_id
            )
        except JobUnknown:
            return None
        return named_files(answer.model_dump(by_alias=True))

    async def _logged_since(self, since: datetime, sent_at: datetime) -> list[str]:
        """Tasks that were charged since then, those charged nearest to the sending first."""
        nearness: dict[str, timedelta] = {}
        async for row in self._client.credit_log(since):
            at = read_time(row.date)
            # The filters of the log are TopView's affair: what it gives beyond them is left out here.
            if row.task_id and row.task_type in {LOGGED_TASK_TYPE, None} and (at is None or at >= since):
                nearness[row.task_id] = abs(at - sent_at) if at else timedelta()
        return sorted(nearness, key=lambda task_id: nearness[task_id])
