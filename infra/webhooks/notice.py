"""Reading what was posted: bounded in size and time, strict about the job id, lenient about everything else."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, Request

LARGEST_BODY = 64 * 1024
"""Bytes; a notice repeats the query's result, which is a few kilobytes."""
LONGEST_UUID = 200

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_STATUS = re.compile(r"[A-Za-z0-9_ -]{1,40}")


class NoticeRefused(Exception):
    """What was posted is no notice.

    Args:
        status: HTTP status of the refusal.
        reason: one short sentence for whoever sent it.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Notice:
    """The few words of a notice that are used (topview.md, section 6.2); its result is left to the query."""

    job_id: str
    uuid: str
    """``noticeUuid``, to be echoed as it came; empty when it names none."""
    status: str
    """``success``, ``fail``, or a word that the page does not list; empty when it says none."""


async def read_body(request: Request, *, seconds: float) -> bytes:
    """Read a body of at most 64 KiB, whatever its announced length, within a deadline.

    Raises:
        NoticeRefused: 413 too large, 408 too slow, 400 cut off.
    """
    if int(request.headers.get("content-length") or 0) > LARGEST_BODY:
        raise NoticeRefused(413, "the body is too large")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise NoticeRefused(413, "the body is too large")
    except TimeoutError:
        raise NoticeRefused(408, "the body took too long") from None
    except ClientDisconnect:
        raise NoticeRefused(400, "the body was cut off") from None
    return bytes(body)


def read_fields(body: bytes) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        NoticeRefused: 400; it is not one.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise NoticeRefused(400, "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise NoticeRefused(400, "the body is not a JSON object")
    return fields


def read_notice(body: bytes) -> Notice:
    """Find job id, uuid and status in the body.

    Raises:
        NoticeRefused: 400; it is not a JSON object, or names no job.
    """
    fields = read_fields(body)
    job_id = fields.get("taskId")
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise NoticeRefused(400, "taskId is missing or is no job id")
    uuid = _text(fields.get("uuid"))
    if len(uuid) > LONGEST_UUID:
        raise NoticeRefused(400, "uuid is too long")
    status = _text(fields.get("status"))
    return Notice(job_id=job_id, uuid=uuid, status=status if _STATUS.fullmatch(status) else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
