"""The bodies of ZEGO's calls with the bounds of their pages, checked before anything leaves; sections 4 and 5."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_pascal

from tasks.errors import ProviderRejected
from tasks.providers.zego.api import Call
from tasks.providers.zego.assumptions import MOST_SOURCE_ID_BYTES
from tasks.providers.zego.models import PROVIDER

MOST_ID_BYTES = 128


def _fits(most_bytes: int) -> AfterValidator:
    def check(value: str) -> str:
        if not 1 <= len(value.encode()) <= most_bytes:
            raise ValueError(f"it must have 1 to {most_bytes} bytes")
        return value

    return AfterValidator(check)


Id = Annotated[str, Field(min_length=1)]
RoomId = Annotated[str, _fits(MOST_ID_BYTES)]
SourceId = Annotated[str, _fits(MOST_SOURCE_ID_BYTES)]


class Body(BaseModel):
    """The business parameters of one action; fields that are not given are not sent."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, alias_generator=to_pascal)


class _Appearance(Body):
    digital_human_id: Id
    background_color: str | None = Field(None, pattern=r"^#[0-9A-Fa-f]{6}$")


class _Publication(Body):
    room_id: RoomId
    stream_id: str = Field(pattern=r"^[0-9A-Za-z_-]{1,128}$")


class _Source(Body):
    room_id: SourceId
    stream_id: SourceId


class _Speaking(Body):
    timbre_id: Id
    speech_rate: int | None = Field(None, ge=-500, le=500)
    pitch_rate: int | None = Field(None, ge=-500, le=500)
    volume: int | None = Field(None, ge=1, le=100)


class CreateStream(Body):
    """Section 4.1; times in seconds. The lifetime is always sent, as it bounds what a lost stream costs."""

    digital_human_config: _Appearance
    rtc_config: _Publication = Field(alias="RTCConfig")
    ttl: int = Field(ge=10, le=86_400, alias="TTL")
    max_idle_time: int = Field(ge=30, le=86_400)


class OfTask(Body):
    """A call that needs nothing but the stream task."""

    task_id: Id


class DriveByText(OfTask):
    """Section 5.2."""

    text: str = Field(min_length=1, max_length=1800)
    interrupt_mode: Literal[1] | None = None
    tts_config: _Speaking = Field(alias="TTSConfig")


class DriveByAudio(OfTask):
    """Section 5.1."""

    audio_url: str = Field(pattern=r"^https?://[!-~]+$")
    interrupt_mode: Literal[1] | None = None
    voice_channel: Literal[1, 2] | None = None


class DriveByRtcStream(OfTask):
    """Section 5.3."""

    rtc_config: _Source = Field(alias="RTCConfig")


class DoAction(OfTask):
    """Section 5.3."""

    action: Id


def checked(kind: type[Body], call: Call) -> Call:
    """The same call, with what is None left out of its body.

    Args:
        kind: what the page says about the body.
        call: its body has the names of the page.

    Raises:
        ProviderRejected: a field is outside the bounds of its page; names the fields, quotes no value.
    """
    try:
        body = kind.model_validate(call.body)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_input=False)
        )
    else:
        return replace(call, body=body.model_dump(by_alias=True, exclude_none=True))
    raise ProviderRejected(
        f"{PROVIDER} would refuse {call.action}: {wrong}.",
        provider=PROVIDER,
        job_id=call.task_id,
        fix="Correct these fields.",
    )
