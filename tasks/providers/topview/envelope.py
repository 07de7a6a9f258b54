"""TopView's envelope ``{code, message, result}`` and its table of codes, sections 1 and 9 of the vendor page."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import JsonValue

from tasks.errors import JobUnknown, ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http import Answer
from tasks.providers.topview.contract import PROVIDER, note, shown_name, unreadable

SUCCESS = "200"
NOT_FOUND = "4004"
_FIELDS = {"code", "message", "result"}
_LONGEST_MESSAGE = 300

Verdict = Literal["rejected", "busy", "unavailable"]
"""rejected: refused for good. busy: not accepted now. unavailable: nobody knows whether TopView acted."""


@dataclass(frozen=True)
class Code:
    """What a code means.

    Args:
        meaning: in the words of TopView's table.
        verdict: what follows for the call.
        fix: what a person can do.
        pause: seconds to wait before the same call is made again; None where nothing is advised.
    """

    meaning: str
    verdict: Verdict
    fix: str
    pause: float | None = None


_REPORT = "This should have been found before sending: report it with the request id."
_LATER = "Run the request again later."

CODES: dict[str, Code] = {
    "401": Code("unauthorized", "rejected", "Check user id and API key in the TopView credentials block."),
    "4000": Code("parameter error", "rejected", _REPORT),
    "4001": Code("data format mismatch", "rejected", _REPORT),
    "4002": Code("digital signature mismatch", "rejected", "Check the API key in the TopView credentials block."),
    "4003": Code("required parameter null", "rejected", _REPORT),
    NOT_FOUND: Code(
        "resource not found",
        "rejected",
        "Check avatar, voice and caption with `studio catalog topview`; run the request again to upload media anew.",
    ),
    "4005": Code("name duplicated", "rejected", "Give it another name."),
    "4006": Code("request refused", "rejected", "Ask TopView's support, with the request id."),
    "4007": Code("an unfinished task exists", "busy", "Wait until the other task of this account ends.", pause=30),
    "4100": Code("not enough credit", "rejected", "Top up the TopView account, then run the request again."),
    "5000": Code("internal error", "unavailable", _LATER),
    "5001": Code("internal call error", "unavailable", _LATER),
    "5003": Code("server busy", "busy", _LATER, pause=10),
    "5004": Code("I/O error", "unavailable", _LATER),
    "5005": Code("unknown error", "unavailable", _LATER),
    "6001": Code("security problem", "rejected", "Change avatar or speech: TopView's content check refused them."),
}
"""Section 9. A code that is not here says nothing, so nobody knows whether TopView acted."""


def open_envelope(answer: Answer, *, call: str, job_id: str = "") -> JsonValue:
    """Take the result out of an answer.

    Args:
        answer: what came over HTTP.
        call: name of the call, for messages and notes.
        job_id: the task that was asked for, where one was.

    Raises:
        JobUnknown: code 4004 to a question for a task.
        ProviderRejected, ProviderBusy, ProviderUnavailable: by the verdict on the code; the last also for no envelope.
    """
    facts: dict[str, Any] = {"status": answer.status, "request_id": answer.request_id, "job_id": job_id}
    body = answer.body
    if not isinstance(body, dict):
        raise unreadable(call, "no envelope", **facts)
    code = body.get("code")
    if isinstance(code, bool) or not isinstance(code, str | int):
        raise unreadable(call, "an envelope without a code", **facts)
    if not isinstance(code, str):
        note(call, "code is a number instead of a string")
    if answer.status != 200:
        note(call, f"HTTP {answer.status} instead of 200")
    for name in body.keys() - _FIELDS:
        note(call, f"unknown field {shown_name(name)} in the envelope")
    if str(code) == SUCCESS:
        return body.get("result")
    raise _error_of(str(code), str(body.get("message") or ""), answer, call=call, facts=facts)


def _error_of(code: str, message: str, answer: Answer, *, call: str, facts: dict[str, Any]) -> ProviderError:
    known = CODES.get(code)
    if known is None:
        note(call, f"unknown code {shown_name(code)}")
        known = Code("a code that is not documented", "unavailable", _LATER)
    said = f", {' '.join(message.split())[:_LONGEST_MESSAGE]!r}" if message else ""
    text = f"{PROVIDER} answered {call} with code {shown_name(code[:20])} ({known.meaning}){said}."
    facts = facts | {"provider": PROVIDER, "code": code[:20], "fix": known.fix}
    if known.verdict == "busy":
        return ProviderBusy(text, retry_after=answer.retry_after or known.pause, **facts)
    if known.verdict == "unavailable":
        return ProviderUnavailable(text, sent=True, retry_after=answer.retry_after, **facts)
    if code == NOT_FOUND and facts["job_id"]:
        facts["fix"] = "Check that the credentials block names the account that the job belongs to."
        return JobUnknown(text, **facts)
    return ProviderRejected(text, **facts)
