"""What is sent to mingyan, strictly, and what it answers, leniently (its create and query pages)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from tasks.providers.contract import note_difference
from tasks.providers.mingyan.assumptions import MILLISECONDS_FROM, SIBLING_IDS, SIBLING_LINKS, SIBLING_REMARKS

PROVIDER = "mingyan"
MODEL: Literal["kyy_digitalHuman"] = "kyy_digitalHuman"

Call = Literal["submit", "query"]

_DOCUMENTED: dict[Call, frozenset[str]] = {
    "submit": frozenset({"id", "object", "created", "model", "status", "error"}),
    "query": frozenset({"id", "object", "created", "model", "status", "error", "video_url", "md5"}),
}
_ALWAYS = ("id", "object", "created", "model", "status")


def check_link(link: str) -> str:
    """Accept what mingyan fetches: an http(s) address in plain ASCII.

    Raises:
        ValueError: says what is wrong.
    """
    if not link.isascii() or not link.isprintable() or " " in link:
        raise ValueError("the link holds signs that are not plain ASCII")
    parts = urlsplit(link)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the link does not start with http:// or https:// and a host")
    return link


Link = Annotated[str, AfterValidator(check_link)]


class CreateVideo(BaseModel):
    """Body of the create call; a flag is 1 or left out, as the page advises."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    model: Literal["kyy_digitalHuman"] = MODEL
    audio_url: Link = Field(serialization_alias="audioUrl")
    video_url: Link = Field(serialization_alias="videoUrl")
    # Numbers with bounds: a literal 1 would take true, which the vendor does not.
    model_version: int = Field(ge=1, le=2, serialization_alias="modelVersion")
    side_face: int | None = Field(None, ge=1, le=1, serialization_alias="sideFace")
    tilted_face: int | None = Field(None, ge=1, le=1, serialization_alias="tiltedFace")

    def body(self) -> dict[str, JsonValue]:
        """The JSON object as the page names its fields."""
        return self.model_dump(by_alias=True, exclude_none=True)


@dataclass(frozen=True)
class VideoAnswer:
    """What mingyan says about a job; empty where it says nothing."""

    job_id: str = ""
    status: str = ""
    """Lower case."""
    error: str = ""
    video_url: str = ""
    md5: str = ""
    created: datetime | None = None
    remarks: Mapping[str, str] = field(default_factory=dict)
    has_own_id: bool = field(default=False, compare=False)
    """The id came under its documented name, so it must be that of the job that was asked for."""


@dataclass(frozen=True)
class GatewayError:
    """An error in the envelope of the gateway's newer endpoints, which leaks into this one at times."""

    code: str
    message: str


def read_answer(body: JsonValue, call: Call) -> VideoAnswer | GatewayError:
    """Read an answer of the create or query call, noting where it differs from the pages.

    Args:
        body: the parsed JSON.
        call: which call it answers.
    """
    if not isinstance(body, dict):
        note_difference(PROVIDER, call, f"answer is no object but {type(body).__name__}")
        return VideoAnswer()
    facts = _unwrapped(body, call)
    found = VideoAnswer(
        job_id=_first(facts, "id", SIBLING_IDS, call),
        status=_text(facts.get("status")).lower(),
        error=_text(facts.get("error")),
        video_url=_first(facts, "video_url", SIBLING_LINKS, call),
        md5=_text(facts.get("md5")),
        created=_moment(facts.get("created"), call),
        has_own_id=bool(_text(facts.get("id"))),
        remarks={name: _text(facts[name]) for name in SIBLING_REMARKS if _text(facts.get(name))},
    )
    code = _text(body.get("code"))
    if code not in {"", "0"}:
        note_difference(PROVIDER, call, f"error in an envelope, code={code!r}")
        if not found.job_id:
            return GatewayError(code, _text(body.get("msg")) or _text(body.get("message")) or "no reason given")
    _compare(facts, found, call)
    return found


def _unwrapped(body: dict[str, JsonValue], call: Call) -> dict[str, JsonValue]:
    """The object with the facts: flat, or alone in ``data``."""
    data = body.get("data")
    if not isinstance(data, dict) or "id" in body:
        return body
    note_difference(PROVIDER, call, "facts wrapped in 'data'")
    return data


def _first(facts: Mapping[str, JsonValue], name: str, siblings: tuple[str, ...], call: Call) -> str:
    for candidate in (name, *siblings):
        if found := _text(facts.get(candidate)):
            if candidate != name:
                note_difference(PROVIDER, call, f"{candidate!r} in place of {name!r}")
            return found
    return ""


def _text(value: JsonValue) -> str:
    """A value as text; of an object its message, as some gateways word errors."""
    if isinstance(value, dict):
        return _text(value.get("message"))
    if value is None or isinstance(value, bool | list):
        return ""
    return str(value).strip()


def _moment(value: JsonValue, call: Call) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if value > MILLISECONDS_FROM else value, UTC)
    except (OverflowError, ValueError, OSError):
        note_difference(PROVIDER, call, "'created' is no moment in time")
        return None


def _compare(facts: Mapping[str, JsonValue], found: VideoAnswer, call: Call) -> None:
    if not found.job_id and not found.status:
        # Not an answer about a job at all; whoever called says so.
        return
    for name in facts.keys() - _DOCUMENTED[call]:
        note_difference(PROVIDER, call, f"unknown field {name!r}")
    expected = (*_ALWAYS, "video_url", "md5") if found.status == "completed" else _ALWAYS
    for name in expected:
        if facts.get(name) is None:
            note_difference(PROVIDER, call, f"missing field {name!r} at status {found.status!r}")
