"""What the calls may ask for, field by field and taken literally (sections 3 to 5)."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal

from infra.sandbox.zego.guesses import UNKNOWN_FIELDS

_LONGEST_ID_BYTES = 128


def _of_id_length(value: str) -> str:
    if len(value.encode()) > _LONGEST_ID_BYTES:
        raise ValueError(f"longer than {_LONGEST_ID_BYTES} bytes")
    return value


def _of_the_web(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not value.isascii():
        raise ValueError("not an http or https URL")
    return value


Needed = Annotated[str, Field(min_length=1)]
RoomId = Annotated[Needed, AfterValidator(_of_id_length)]
StreamId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]+$"), AfterValidator(_of_id_length)]
WebUrl = Annotated[Needed, AfterValidator(_of_the_web)]
# Not Literal, which takes true for 1.
InterruptMode = Annotated[int, Field(ge=0, le=1)]
VoiceChannel = Annotated[int, Field(ge=0, le=2)]
FetchMode = Annotated[int, Field(ge=1, le=3)]
Rate = Annotated[int, Field(ge=-500, le=500)]


class _Order(BaseModel):
    model_config = ConfigDict(extra=UNKNOWN_FIELDS, strict=True, frozen=True, alias_generator=to_pascal)


class Nothing(_Order):
    """A call without parameters."""


class _Page(_Order):
    offset: int = Field(0, ge=0, le=1_000_000)
    limit: int = Field(20, ge=1, le=20)


class HumansOrder(_Page):
    """GetDigitalHumanList (3.1)."""

    fetch_mode: FetchMode = 1


class HumanOrder(_Order):
    """GetDigitalHumanInfo (3.2)."""

    digital_human_id: Needed


class TimbresOrder(_Page):
    """GetTimbreList (3.3)."""

    digital_human_id: str = ""


class _HumanConfig(_Order):
    digital_human_id: Needed
    background_color: str = Field("#000000", pattern=r"^#[0-9A-Fa-f]{6}$")


class _RtcConfig(_Order):
    room_id: RoomId
    stream_id: StreamId


class CreateOrder(_Order):
    """CreateDigitalHumanStreamTask (4.1)."""

    human: _HumanConfig = Field(alias="DigitalHumanConfig")
    rtc: _RtcConfig = Field(alias="RTCConfig")
    ttl: int = Field(86_400, ge=10, le=86_400, alias="TTL")
    max_idle_time: int = Field(900, ge=30, le=86_400)


class TaskOrder(_Order):
    """Status, stop, interrupt and the socket drive (4.2, 5.4)."""

    task_id: Needed


class _TtsConfig(_Order):
    timbre_id: Needed
    speech_rate: Rate = 0
    pitch_rate: Rate = 0
    volume: int = Field(50, ge=1, le=100)


class TextOrder(TaskOrder):
    """DriveByText (5.2)."""

    text: str = Field(min_length=1, max_length=1800)
    interrupt_mode: InterruptMode = 0
    tts: _TtsConfig = Field(alias="TTSConfig")


class AudioOrder(TaskOrder):
    """DriveByAudio (5.1)."""

    audio_url: WebUrl
    interrupt_mode: InterruptMode = 0
    voice_channel: VoiceChannel = 0


class _Source(_Order):
    room_id: RoomId
    stream_id: RoomId


class RtcOrder(TaskOrder):
    """DriveByRTCStream (5.3). Of the ids of a source only the length is told, in section 8."""

    rtc: _Source = Field(alias="RTCConfig")


class ActionOrder(TaskOrder):
    """DoAction (5.3)."""

    action: Needed
