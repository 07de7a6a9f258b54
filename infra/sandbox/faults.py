"""What can be made to go wrong: faults that wait for a call, and calls that are being held."""

import asyncio
import contextlib
import itertools
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.requests import Request

from infra.sandbox.records import Vendor

CALLS: dict[Vendor, tuple[str, ...]] = {
    "topview": (
        "upload_credential",
        "upload_put",
        "upload_check",
        "submit",
        "query",
        "result",
        "avatars",
        "voices",
        "ethnicities",
        "captions",
        "notice_check",
        "credit_detail",
        "credit_logs",
        "avatar_submit",
        "avatar_query",
    ),
    "mingyan": ("submit", "query", "result"),
    "zego": (
        "humans",
        "human",
        "timbres",
        "create",
        "text",
        "audio",
        "ws",
        "rtc",
        "action",
        "interrupt",
        "stop",
        "list",
        "status",
        "socket",
    ),
}
FaultKind = Literal[
    "lost_answer",
    "reset",
    "status",
    "business",
    "slow",
    "not_json",
    "unknown_word",
    "stuck",
    "fail",
    "expired",
    "truncated",
    "short",
    "wrong_md5",
    "empty",
    "html",
    "redirect",
    "hold_before",
    "hold_after",
]
# Of no meaning to other calls; the vendor's own code takes them when it accepts a job or answers a query.
ON_SUBMIT = frozenset({"stuck", "fail"})
ON_QUERY = frozenset({"unknown_word", "wrong_md5"})
_ON_RESULT = frozenset({"expired"})
_SUBMITS = frozenset({"submit", "avatar_submit", "create"})
_QUERIES = frozenset({"query", "avatar_query", "status"})
_CLIENT_LOOK_SECONDS = 0.1


class Fault(BaseModel):
    """One armed fault."""

    model_config = ConfigDict(extra="forbid")

    vendor: Vendor
    call: str
    fault: FaultKind
    times: int = Field(1, ge=1, description="How many calls it befalls.")
    args: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.call not in CALLS[self.vendor]:
            raise ValueError(f"{self.vendor} has no call {self.call!r}")
        wrong_place = (
            (self.fault in ON_SUBMIT and self.call not in _SUBMITS)
            or (self.fault in ON_QUERY and self.call not in _QUERIES)
            or (self.fault in _ON_RESULT and self.call != "result")
        )
        if wrong_place or (self.fault == "wrong_md5" and self.vendor != "mingyan"):
            raise ValueError(f"{self.fault!r} means nothing for {self.call!r} of {self.vendor}")
        return self


class FaultBook:
    """Armed faults, oldest first."""

    def __init__(self) -> None:
        self._armed: dict[int, Fault] = {}
        self._ids = itertools.count(1)

    def arm(self, fault: Fault) -> int:
        """Let a fault wait for its call; returns its id."""
        fault_id = next(self._ids)
        self._armed[fault_id] = fault.model_copy()
        return fault_id

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()

    def take(self, vendor: Vendor, call: str, kinds: Collection[str] | None = None) -> Fault | None:
        """The oldest fault for a call, used up by one.

        Args:
            vendor: whose call.
            call: which call.
            kinds: only these; None means all that need nothing of the vendor's own code.
        """
        for fault_id, fault in self._armed.items():
            wanted = fault.fault in kinds if kinds is not None else fault.fault not in ON_SUBMIT | ON_QUERY
            if (fault.vendor, fault.call) == (vendor, call) and wanted:
                fault.times -= 1
                if not fault.times:
                    del self._armed[fault_id]
                return fault
        return None


@dataclass
class _Held:
    vendor: str
    call: str
    released: asyncio.Event = field(default_factory=asyncio.Event)


class Holds:
    """Calls that wait until they are released or their client has gone."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._ids = itertools.count(1)

    def listing(self) -> list[dict[str, Any]]:
        """The held calls, as JSON."""
        return [{"id": hold_id, "vendor": held.vendor, "call": held.call} for hold_id, held in self._held.items()]

    def release(self) -> None:
        """Let all held calls go on."""
        for held in self._held.values():
            held.released.set()

    async def hold(self, request: Request, vendor: Vendor, call: str) -> bool:
        """Wait; returns False when the client went away first.

        The body must have been read before: looking for the client's end would swallow it.
        """
        hold_id, held = next(self._ids), _Held(vendor, call)
        self._held[hold_id] = held
        try:
            while not held.released.is_set():
                if await request.is_disconnected():
                    return False
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(held.released.wait(), _CLIENT_LOOK_SECONDS)
            return True
        finally:
            del self._held[hold_id]
