"""ZEGO's envelope ``{Code, Message, RequestId, Data}`` and its table of codes; sections 1.4 and 7 of its page."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue

from tasks.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http import Answer
from tasks.providers.contract import note_difference
from tasks.providers.zego.assumptions import BUSY_PAUSE, NOT_STREAMING_PAUSE, RATE_PAUSE, STREAM_LIMIT_PAUSE
from tasks.providers.zego.clock import told_skew
from tasks.providers.zego.models import PROVIDER, unreadable

SUCCESS = "0"
DIGITAL_HUMAN_UNKNOWN = "400000003"
TIMBRE_UNKNOWN = "400000004"
_SIGNATURE_EXPIRED = "100000004"
_FIELDS = {"Code", "Message", "RequestId", "Data"}
_LONGEST_MESSAGE = 300
_LONGEST_CODE = 20
_LONGEST_REQUEST_ID = 100


class StreamGone(ProviderRejected):
    """The stream task is unknown or stopped already: to whoever wanted it ended, that is success."""


class StreamIdTaken(ProviderRejected):
    """A stream of this StreamId exists: after a lost answer, probably the very one that was asked for."""


class SignatureExpired(ProviderRejected):
    """The time in the signature is too far from the vendor's: nothing was done, a fresh signature may be tried."""


class NotStreaming(ProviderBusy):
    """The stream is not up yet: the call may be made when its status is 3."""


class AtStreamLimit(ProviderBusy):
    """The account has no stream left, or the vendor no machine: one more may start when another ends."""


@dataclass(frozen=True)
class Code:
    """What a code means.

    Args:
        meaning: in the words of the vendor's table.
        verdict: what follows for the call: ``ProviderUnavailable`` where nobody knows whether the vendor acted.
        fix: what a person can do.
        pause: seconds to wait before the same call is made again; None where it is not to be.
    """

    meaning: str
    verdict: type[ProviderError]
    fix: str
    pause: float | None = None


_LATER = "Try again later."
_SUPPORT = "Ask ZEGO's support, with the request id."
_CREDENTIALS = "Check AppID and ServerSecret in the ZEGO credentials block."
_CATALOG = "Take another one from `studio catalog zego`."

CODES: dict[str, Code] = {
    _SIGNATURE_EXPIRED: Code("signature expired", SignatureExpired, "Set this machine's clock, best by NTP."),
    "100000005": Code("signature wrong", ProviderRejected, _CREDENTIALS),
    "400000001": Code("invalid parameter", ProviderRejected, "Correct what the message names."),
    "400000002": Code("service not enabled", ProviderRejected, "Let ZEGO's support switch it on for this AppID."),
    DIGITAL_HUMAN_UNKNOWN: Code("digital human not found", ProviderRejected, _CATALOG),
    TIMBRE_UNKNOWN: Code("timbre not found", ProviderRejected, _CATALOG),
    "400000005": Code("task not found", StreamGone, "The stream has ended; start a new show."),
    "400000006": Code("stream not started yet", NotStreaming, "Wait until it streams.", NOT_STREAMING_PAUSE),
    "400000007": Code("stream already stopped", StreamGone, "The stream has ended; start a new show."),
    "400000008": Code(
        "stream concurrency limit exceeded", AtStreamLimit, "Wait until another show ends.", STREAM_LIMIT_PAUSE
    ),
    "400000009": Code("timbre unsupported by this stream", ProviderRejected, _CATALOG),
    "400000010": Code(
        "the avatar's internal configuration is broken", ProviderRejected, f"Choose another avatar. {_SUPPORT}"
    ),
    "400000015": Code(
        "stream id already exists", StreamIdTaken, "End that stream, or start a new show, which has an id of its own."
    ),
    "400000016": Code("avatar model version error", ProviderRejected, _SUPPORT),
    "400010000": Code("system error", ProviderUnavailable, f"{_LATER} {_SUPPORT}"),
    "400010001": Code("no permission for this API", ProviderRejected, "Let ZEGO's support allow it for this AppID."),
    "400010002": Code("system busy", ProviderBusy, _LATER, BUSY_PAUSE),
    "400010007": Code("insufficient resources", AtStreamLimit, f"{_LATER} {_SUPPORT}", STREAM_LIMIT_PAUSE),
    "400010009": Code("rate limited", ProviderBusy, _LATER, RATE_PAUSE),
}
"""Section 7. A code that is not here says nothing, so nobody knows whether the vendor acted."""


def is_envelope(body: JsonValue) -> bool:
    """Whether a body decides by itself, whatever the HTTP status, which is not documented."""
    return isinstance(body, dict) and _code_of(body) is not None


def open_envelope(answer: Answer, call: str, task_id: str = "") -> JsonValue:
    """Take ``Data`` out of an answer; None where there is none.

    Args:
        answer: what came over HTTP.
        call: the action, for messages and notes.
        task_id: the stream task that was asked about, where one was.

    Raises:
        StreamGone: codes 400000005 and 400000007.
        StreamIdTaken: code 400000015.
        SignatureExpired: code 100000004, with the measured difference of the clocks.
        ProviderRejected: other codes that say no for good.
        NotStreaming: code 400000006.
        AtStreamLimit: codes 400000008 and 400010007.
        ProviderBusy: other codes that say "not now".
        ProviderUnavailable: a code that does not say what was done, or no envelope.
    """
    body = answer.body
    facts = facts_of(answer, task_id)
    code = _code_of(body) if isinstance(body, dict) else None
    if not isinstance(body, dict) or code is None:
        raise unreadable(call, "something that is no envelope", **facts)
    if answer.status != 200:
        note_difference(PROVIDER, call, f"HTTP {answer.status} with an envelope")
    for name in body.keys() - _FIELDS:
        note_difference(PROVIDER, call, f"unknown field {name!r} in the envelope")
    if code == SUCCESS:
        return body.get("Data")
    raise _error_of(code, str(body.get("Message") or ""), answer, call, facts)


def facts_of(answer: Answer, task_id: str = "") -> dict[str, Any]:
    """What an error about this answer tells: HTTP status, the vendor's request id, and the task."""
    said = answer.body.get("RequestId") if isinstance(answer.body, dict) else None
    request_id = str(said)[:_LONGEST_REQUEST_ID] if said else answer.request_id
    return {"status": answer.status, "request_id": request_id, "job_id": task_id}


def _code_of(body: dict[str, JsonValue]) -> str | None:
    code = body.get("Code")
    if isinstance(code, bool) or not isinstance(code, int | str):
        return None
    return str(code)[:_LONGEST_CODE]


def _error_of(code: str, message: str, answer: Answer, call: str, facts: dict[str, Any]) -> ProviderError:
    known = CODES.get(code)
    if known is None:
        note_difference(PROVIDER, call, f"unknown code {code!r}")
        known = Code("a code that is not documented", ProviderUnavailable, f"{_LATER} {_SUPPORT}")
    said = f", {' '.join(message.split())[:_LONGEST_MESSAGE]!r}" if message else ""
    text = f"{PROVIDER} answered {call} with code {ascii(code)[1:-1]} ({known.meaning}){said}."
    facts = facts | {"provider": PROVIDER, "code": code, "fix": known.fix}
    if issubclass(known.verdict, ProviderBusy):
        return known.verdict(text, retry_after=answer.retry_after or known.pause, **facts)
    if issubclass(known.verdict, ProviderUnavailable):
        return known.verdict(text, sent=True, retry_after=answer.retry_after, **facts)
    if known.verdict is SignatureExpired:
        text = f"{text} {told_skew(answer.date, datetime.now(UTC))}"
    return known.verdict(text, **facts)
