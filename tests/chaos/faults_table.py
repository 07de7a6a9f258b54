"""The faults and what must come of each: one row per fault.

A row is rendered once with its fault, then again after the fault is over, and where a person is needed, a third time
after the person has looked. Expected are the run's state, the ledger's, and how many submissions the vendor accepted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.faults_lane import RENDER_DEADLINE_SECONDS, Vendor

ALWAYS = 1000
SHORT = 4.0
"""A deadline in seconds for runs that are to meet it."""
LONGER_THAN_THAT = {"render_seconds": 8}


@dataclass(frozen=True)
class Armed:
    """One fault of the sandbox."""

    call: str
    fault: str
    times: int = 1
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """What is seen after a run; ``says`` are words of its message."""

    state: str
    ledger: str
    submissions: int
    says: str = ""


DONE = Expected("Completed", "archived", 1, "s3://archive/")
DONE_AT_SECOND = Expected("Completed", "archived", 2, "s3://archive/")
WAITS = Expected("Still running", "submitted", 1, "run the same request again")
NOT_NOW = Expected("Not accepted now", "reserved", 0, "again later")
DOUBT = Expected("Needs a person", "ambiguous", 1, "studio settle")
EMPTY_DOUBT = Expected("Needs a person", "ambiguous", 0, "studio settle")
AT_VENDOR = Expected("Failed", "succeeded", 1, "again")


@dataclass(frozen=True, eq=False)
class Fault:
    """One row.

    Args:
        name: for the table.
        armed: what the sandbox does wrong during the first run.
        first: how the first run ends; by vendor where they differ.
        again: how the same request ends once the fault is over.
        vendors: whose row it is.
        settings: of the sandbox, during the first run.
        disturb: name of what else is done during the first run.
        seconds_of_disturbance: how long that lasts.
        clock: seconds by which the first run's clock is wrong.
        deadline: seconds that the first run waits for the render.
        is_reconciled: nobody repeats the request; `reconcile` passes by instead.
        is_slow: only run by ``make chaos``.
    """

    name: str
    armed: tuple[Armed, ...] = ()
    first: Expected | Mapping[Vendor, Expected] = DONE
    again: Expected | Mapping[Vendor, Expected] = DONE
    vendors: tuple[Vendor, ...] = ("topview", "mingyan")
    settings: Mapping[str, Any] = field(default_factory=dict)
    disturb: str = ""
    seconds_of_disturbance: float = 0.0
    clock: float = 0.0
    deadline: float = RENDER_DEADLINE_SECONDS
    is_reconciled: bool = False
    is_slow: bool = False

    def expected(self, which: str, vendor: Vendor) -> Expected:
        """How ``first`` or ``again`` ends at a vendor."""
        value = getattr(self, which)
        return value if isinstance(value, Expected) else value[vendor]


def _status(call: str, status: int, times: int = 1, **more: Any) -> Armed:
    return Armed(call, "status", times, {"status": status, **more})


# TopView is asked and tells; mingyan lists nothing, so that the doubt stays.
_FOUND_OR_DOUBT: Mapping[Vendor, Expected] = {"topview": DONE, "mingyan": DOUBT}

SUBMIT = [
    Fault("submit: answer lost after acceptance", (Armed("submit", "lost_answer"),), DOUBT, _FOUND_OR_DOUBT),
    Fault("submit: accepted, answer is not JSON", (Armed("submit", "not_json"),), DOUBT, _FOUND_OR_DOUBT),
    Fault(
        "submit: accepted, answer dribbles in", (Armed("submit", "slow", 1, {"seconds": 8}),), DOUBT, _FOUND_OR_DOUBT
    ),
    Fault("submit: reset before it acts", (Armed("submit", "reset"),), EMPTY_DOUBT, EMPTY_DOUBT),
    *(
        Fault(f"submit: HTTP {status}", (_status("submit", status),), EMPTY_DOUBT, EMPTY_DOUBT)
        for status in (500, 502, 503)
    ),
    Fault("submit: 429 twice", (_status("submit", 429, 2),)),
    Fault("submit: 429 with Retry-After 1, twice", (_status("submit", 429, 2, retry_after=1),)),
    Fault("submit: 429 for ever", (_status("submit", 429, ALWAYS),), NOT_NOW),
    Fault("submit: 429 with Retry-After 3600", (_status("submit", 429, ALWAYS, retry_after=3600),), NOT_NOW),
    Fault(
        "submit: key refused (401)",
        (_status("submit", 401),),
        Expected("Failed", "failed", 0, "Check the key"),
    ),
    Fault(
        "submit: no credit (4100)",
        (Armed("submit", "business", 1, {"code": "4100", "message": "not enough credit"}),),
        Expected("Failed", "failed", 0, "Top up"),
        vendors=("topview",),
    ),
    Fault(
        "submit: busy (5003) for ever",
        (Armed("submit", "business", ALWAYS, {"code": "5003", "message": "busy"}),),
        NOT_NOW,
        vendors=("topview",),
    ),
    Fault(
        "submit: internal error (5000)",
        (Armed("submit", "business", 1, {"code": "5000", "message": "oops"}),),
        EMPTY_DOUBT,
        EMPTY_DOUBT,
        vendors=("topview",),
    ),
    Fault(
        "submit: envelope with code 403",
        (Armed("submit", "business", 1, {"code": 403, "message": "no"}),),
        Expected("Failed", "failed", 0, "403"),
        vendors=("mingyan",),
    ),
    Fault(
        "submit: envelope with an unknown code (1001)",
        (Armed("submit", "business", 1, {"code": 1001, "message": "oops"}),),
        EMPTY_DOUBT,
        EMPTY_DOUBT,
        vendors=("mingyan",),
    ),
    Fault(
        "connect refused, whole run",
        first=Expected("Failed", "reserved", 0, "again later"),
        disturb="sandbox_gone",
    ),
]

UPLOAD = [
    Fault("upload: credential 503, once", (_status("upload_credential", 503),), vendors=("topview",)),
    Fault("upload: PUT 500, once", (_status("upload_put", 500),), vendors=("topview",)),
    Fault("upload: PUT 403, stale address, once", (_status("upload_put", 403),), vendors=("topview",)),
    Fault("upload: PUT reset, once", (Armed("upload_put", "reset"),), vendors=("topview",)),
    Fault("upload: check 502, once", (_status("upload_check", 502),), vendors=("topview",)),
    Fault(
        "upload: PUT 503 for ever",
        (_status("upload_put", 503, ALWAYS),),
        Expected("Failed", "reserved", 0, "again later"),
        vendors=("topview",),
    ),
]

QUERY = [
    *(Fault(f"query: HTTP {status}, three times", (_status("query", status, 3),)) for status in (500, 502, 503)),
    Fault("query: HTTP 503 for ever", (_status("query", 503, ALWAYS),), WAITS, deadline=SHORT),
    Fault("query: 429 twice", (_status("query", 429, 2),)),
    Fault("query: 429 with Retry-After 1, twice", (_status("query", 429, 2, retry_after=1),)),
    Fault("query: connection reset, twice", (Armed("query", "reset", 2),)),
    Fault("query: answer dribbles in", (Armed("query", "slow", 1, {"seconds": 8}),)),
    Fault("query: not JSON, twice", (Armed("query", "not_json", 2),)),
    Fault("query: unknown status word, twice", (Armed("query", "unknown_word", 2, {"word": "marinating"}),)),
    Fault(
        "query: unknown status word for ever",
        (Armed("query", "unknown_word", ALWAYS, {"word": "marinating"}),),
        Expected("Still running", "submitted", 1, "marinating"),
        deadline=SHORT,
    ),
    Fault("query: key refused (401)", (_status("query", 401),), Expected("Failed", "submitted", 1, "Check the key")),
    Fault(
        "query: job unknown at first", (_status("query", 404, 2, body={"error": "no such task"}),), vendors=("mingyan",)
    ),
    Fault(
        "query: job unknown for ever",
        (_status("query", 404, ALWAYS, body={"error": "no such task"}),),
        Expected("Needs a person", "ambiguous", 1, "console"),
        vendors=("mingyan",),
    ),
    Fault(
        "query: job unknown for ever",
        (Armed("query", "business", ALWAYS, {"code": "4004", "message": "no such task"}),),
        Expected("Needs a person", "ambiguous", 1, "console"),
        vendors=("topview",),
    ),
    Fault("query: vendor gone for 2 s", settings={"render_seconds": 1.5}, disturb="sandbox_gone_while_polling"),
]

JOB = [
    Fault("job slower than the deadline", settings=LONGER_THAN_THAT, deadline=SHORT, first=WAITS),
    Fault("job stuck for ever", (Armed("submit", "stuck"),), WAITS, WAITS, deadline=SHORT),
    Fault(
        "job fails",
        (Armed("submit", "fail", 1, {"reason": "no face in the footage"}),),
        Expected("Failed", "failed", 1, "no face in the footage"),
        DONE_AT_SECOND,
    ),
]

RESULT = [
    Fault("result: 403 once", (Armed("result", "expired"),)),
    Fault("result: 403 for ever", (Armed("result", "expired", ALWAYS),), AT_VENDOR),
    Fault("result: HTTP 500 twice", (_status("result", 500, 2),)),
    Fault("result: 429 with Retry-After 1", (_status("result", 429, 1, retry_after=1),)),
    Fault("result: truncated body", (Armed("result", "truncated"),)),
    Fault("result: connection reset", (Armed("result", "reset"),)),
    Fault("result: slow body", (Armed("result", "slow", 1, {"seconds": 3}),)),
    Fault("result: short body once", (Armed("result", "short"),)),
    Fault("result: short body for ever", (Armed("result", "short", ALWAYS),), AT_VENDOR),
    Fault("result: wrong md5 once", (Armed("query", "wrong_md5"),), vendors=("mingyan",)),
    Fault("result: wrong md5 for ever", (Armed("query", "wrong_md5", ALWAYS),), AT_VENDOR, vendors=("mingyan",)),
    Fault("result: 0 bytes once", (Armed("result", "empty"),)),
    Fault("result: 0 bytes for ever", (Armed("result", "empty", ALWAYS),), AT_VENDOR),
    Fault("result: HTML once", (Armed("result", "html"),)),
    Fault("result: HTML for ever", (Armed("result", "html", ALWAYS),), AT_VENDOR),
    Fault(
        "result: redirect to the cloud's metadata",
        (Armed("result", "redirect", ALWAYS, {"location": "http://169.254.169.254/latest/"}),),
        AT_VENDOR,
    ),
    Fault(
        "result: redirect to another port of this machine",
        (Armed("result", "redirect", ALWAYS, {"location": "http://127.0.0.1:1/x.mp4"}),),
        AT_VENDOR,
    ),
]

CLOCK = [
    Fault("clock 15 min ahead", clock=900),
    Fault("clock 14 min behind", clock=-840),
    # S3 takes no call that was signed a quarter of an hour ago.
    Fault("clock 16 min behind", clock=-960, first=Expected("Failed", "none", 0)),
    Fault("clock 15 min ahead, answer lost", (Armed("submit", "lost_answer"),), DOUBT, _FOUND_OR_DOUBT, clock=900),
    Fault("clock 14 min behind, answer lost", (Armed("submit", "lost_answer"),), DOUBT, _FOUND_OR_DOUBT, clock=-840),
    Fault("clock 15 min ahead, job outlives it", settings=LONGER_THAN_THAT, deadline=SHORT, first=WAITS, clock=900),
    Fault("clock 14 min behind, job outlives it", settings=LONGER_THAN_THAT, deadline=SHORT, first=WAITS, clock=-840),
]


def _outages(seconds: float, *, is_slow: bool) -> list[Fault]:
    """The studio's own parts are away while the vendor renders; the other lane waits meanwhile."""
    return [
        Fault(
            f"{title} for {seconds:g} s",
            settings={"render_seconds": 2},
            disturb=disturb,
            seconds_of_disturbance=seconds,
            is_slow=is_slow,
        )
        for title, disturb in (
            ("object store hangs", "object-store hangs"),
            ("object store dies, and hangs after its restart", "object-store dies"),
            ("Prefect server hangs", "prefect-server hangs"),
            ("Prefect server dies, and hangs after its restart", "prefect-server dies"),
        )
    ]


OUTAGES = [
    *_outages(5, is_slow=False),
    *_outages(30, is_slow=True),
    Fault(
        "object store away longer than its patience",
        settings={"render_seconds": 2},
        first=AT_VENDOR,
        disturb="object-store impatient",
        seconds_of_disturbance=8,
    ),
]

RECONCILED = Expected("reconciled", "archived", 1)
LEFT_TO_RECONCILE = [
    Fault(
        "answer lost, then only reconcile",
        (Armed("submit", "lost_answer"),),
        DOUBT,
        {"topview": RECONCILED, "mingyan": Expected("reconciled", "ambiguous", 1)},
        is_reconciled=True,
    ),
    Fault(
        "job slower than the deadline, then only reconcile",
        settings=LONGER_THAN_THAT,
        deadline=SHORT,
        first=WAITS,
        again=RECONCILED,
        is_reconciled=True,
    ),
    Fault(
        "result: HTML for ever, then only reconcile",
        (Armed("result", "html", ALWAYS),),
        AT_VENDOR,
        RECONCILED,
        is_reconciled=True,
    ),
]

EVERYBODYS = [*LEFT_TO_RECONCILE, *OUTAGES]
"""These touch what both vendors' lanes use, so that nothing else may run meanwhile."""
FAULTS = [*SUBMIT, *UPLOAD, *QUERY, *JOB, *RESULT, *CLOCK, *EVERYBODYS]
