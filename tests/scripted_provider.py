"""A provider whose answers a test writes down beforehand, and which counts what it was asked."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

import pytest
from pydantic import JsonValue

from tasks import plan, registry, submit
from tasks.errors import Problem
from tasks.models import RenderRequest
from tasks.providers.base import (
    Estimate,
    IsTaken,
    JobStatus,
    MediaSet,
    Pace,
    ProbedMedia,
    ResultFile,
    SeenCharge,
    Sighting,
    SubmitOrder,
    nobody_has,
)


@dataclass
class ScriptedProvider:
    """Accepts every order as ``job-N`` unless a test puts errors in its way."""

    name: str = "local"
    account: str = "local"
    endpoint: str = "file:test"
    pace: Pace = field(default_factory=lambda: Pace(first=0.01, growth=1, longest=0.01, per_second=1000))
    submit_errors: list[Exception] = field(default_factory=list)
    sighting: Sighting = field(default_factory=lambda: Sighting(seen="absent"))
    query_errors: list[Exception] = field(default_factory=list)
    statuses: list[JobStatus] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    seen_charges: list[SeenCharge] = field(default_factory=list)
    hints_seen: list[list[str]] = field(default_factory=list)
    queries: int = 0

    def supports(self, request: RenderRequest) -> list[Problem]:
        return []

    async def check(self, request: RenderRequest, media: MediaSet) -> list[Problem]:
        return []

    def estimate(self, request: RenderRequest, media: MediaSet) -> Estimate:
        return Estimate(amount=Decimal(1), unit="credits")

    def payload(self, request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
        return {"request": request.model_dump(mode="json")}

    def mode(self, request: RenderRequest) -> str:
        return ""

    async def charges(self, since: datetime) -> list[SeenCharge]:
        return [charge for charge in self.seen_charges if charge.at >= since]

    async def upload(self, media: ProbedMedia) -> str:
        return media.sha256

    async def submit(self, order: SubmitOrder) -> str:
        if self.submit_errors:
            raise self.submit_errors.pop(0)
        self.orders.append(order.order_id)
        return f"job-{len(self.orders)}"

    async def look_up(self, order: SubmitOrder, hints: Sequence[str], is_taken: IsTaken = nobody_has) -> Sighting:
        self.hints_seen.append(list(hints))
        return self.sighting

    async def query(self, job_id: str) -> JobStatus:
        self.queries += 1
        if self.query_errors:
            raise self.query_errors.pop(0)
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    async def read_result(self, result: ResultFile, offset: int = 0) -> AsyncIterator[bytes]:
        yield b""


@contextmanager
def instead_of_all(scripted: ScriptedProvider) -> Iterator[ScriptedProvider]:
    """Put a scripted provider in the place of every provider of the table, for a block."""

    async def get(_name: str) -> ScriptedProvider:
        return scripted

    with pytest.MonkeyPatch.context() as patch:
        for module in (registry, submit, plan):
            patch.setattr(module, "get_provider", get)
        yield scripted
