"""Reading a callback of ZEGO. Contract: zego.md, section 6.

The signature covers the moment of sending and a nonce, not what is told. So whoever has once seen a callback could sign
others with it: a signature is taken for one event only, and what a callback says stays a hint. It does tell when a
stream began and ended, by which its seconds are booked, but only within what the studio itself knows of its life.
``FailReason`` is left to the status call, whose answer is cleaned of the account's secrets, which are not known here.
"""

import hashlib
import json
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.webhooks.notice import NoticeRefused
from tasks.ledger.stream_models import StreamEvent
from tasks.providers.zego.signature import is_callback_genuine

FARTHEST = timedelta(days=7)
"""Events farther away in time are not kept: the ledger forgets them after as long, and no stream lives for two days."""
STREAM_WORDS = {1: "initialising", 2: "failed", 3: "streaming", 4: "stopping", 5: "stopped"}
"""Section 4.3."""
DRIVE_STATUSES = frozenset({1, 2, 3, 4, 5})
"""Section 5.5."""
MOST_SIGNATURES = 4096

_TELLING = ("EventType", "TaskId", "EventTime", "Detail")
_KINDS: dict[int, Literal["task", "drive"]] = {3: "task", 4: "drive"}
_LAST_MILLISECOND = 253_402_300_799_999
"""Of the year 9999, which is all that dates can hold."""
_Id = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]

log = logging.getLogger("studio.webhooks")


class _Part(BaseModel):
    """Leniently: fields that the page does not list are ignored, and a number may stand for its digits."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True, frozen=True)


P = TypeVar("P", bound=_Part)


class _Signed(_Part):
    signature: str = Field(alias="Signature", max_length=200, repr=False)
    timestamp: str = Field(alias="Timestamp", max_length=200)
    nonce: str = Field(alias="Nonce", max_length=200)
    kind: int = Field(alias="EventType")


class _Detail(_Part):
    status: int = Field(alias="Status")
    drive_id: Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,128}$")] = Field("", alias="DriveId")


class _Told(_Part):
    task_id: _Id = Field(alias="TaskId")
    happened: int = Field(alias="EventTime", ge=0, le=_LAST_MILLISECOND)
    detail: _Detail = Field(alias="Detail")


@dataclass(frozen=True)
class Callback:
    """What was posted, before anybody has looked whether the vendor sent it."""

    signed: _Signed
    fields: dict[str, Any] = field(repr=False)

    def is_genuine(self, secret: str) -> bool:
        """Whether somebody who knows the CallbackSecret signed it, compared in constant time."""
        return is_callback_genuine(secret, self.signed.timestamp, self.signed.nonce, self.signed.signature)

    def digest(self) -> bytes:
        """SHA-256 of what it tells, as it was sent but for the order of the fields.

        Raises:
            NoticeRefused: 400; it is nested too deeply.
        """
        try:
            text = json.dumps([self.fields.get(name) for name in _TELLING], sort_keys=True)
        except RecursionError:
            # The stack just sufficed for reading it.
            raise NoticeRefused(400, "the body is nested too deeply") from None
        return hashlib.sha256(text.encode()).digest()

    def event(self, received_at: datetime) -> StreamEvent | None:
        """What it tells; None where that is of a kind or status that the page does not list, or too far away in time.

        Raises:
            NoticeRefused: 400; it is of a known kind and lacks what that needs.
        """
        kind = _KINDS.get(self.signed.kind)
        if kind is None:
            log.info("callback of an unknown kind event_type=%s", self.signed.kind)
            return None
        told = _parse(_Told, self.fields)
        status, drive_id = told.detail.status, told.detail.drive_id if kind == "drive" else ""
        if status not in (STREAM_WORDS if kind == "task" else DRIVE_STATUSES):
            log.info("callback with an unknown status task_id=%s kind=%s status=%s", told.task_id, kind, status)
            return None
        if kind == "drive" and not drive_id:
            raise NoticeRefused(400, "DriveId is missing")
        happened_at = datetime.fromtimestamp(told.happened / 1000, UTC)
        if abs(received_at - happened_at) > FARTHEST:
            log.warning("callback of another time task_id=%s happened_at=%s", told.task_id, happened_at)
            return None
        return StreamEvent(
            task_id=told.task_id,
            kind=kind,
            drive_id=drive_id,
            status=status,
            happened_at=happened_at,
            received_at=received_at,
        )


class UsedSignatures:
    """Remembers what was told with a signature, so that it is good for nothing else; the newest few thousand.

    The vendor's own repetition of a callback tells the same and passes. Timestamp and Nonce do not name a signature:
    they are joined without a separator, so that the same text cut elsewhere, or swapped, gives the same one.
    """

    def __init__(self) -> None:
        self._used: OrderedDict[str, bytes] = OrderedDict()

    def is_good_for(self, callback: Callback) -> bool:
        """Whether the signature of this genuine callback has told nothing else; from now on it may not.

        Raises:
            NoticeRefused: as for ``Callback.digest``.
        """
        signature, told = callback.signed.signature, callback.digest()
        used = self._used.setdefault(signature, told)
        self._used.move_to_end(signature)
        if len(self._used) > MOST_SIGNATURES:
            self._used.popitem(last=False)
        return used == told


def read_callback(fields: dict[str, Any]) -> Callback:
    """Find the signed words and the kind among the fields of the body.

    Raises:
        NoticeRefused: 400; one of them is missing or no text.
    """
    return Callback(_parse(_Signed, fields), fields)


def _parse(model: type[P], fields: dict[str, Any]) -> P:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        # Names only: the values are a stranger's, or a signature.
        names = sorted({".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False)})
        raise NoticeRefused(400, f"missing or not as expected: {', '.join(names)}") from None
