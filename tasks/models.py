"""What a person asks for. The Prefect run form and the command line are both made from these models.

Words are those of the field: an *avatar* speaks, the *speech* is what is said, a *render* is one video job.
"""

import re
import unicodedata
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator

from tasks.form import Form, at, choice, hide_kind, infer_kind
from tasks.vendor_options import MingyanOptions, TopViewOptions

ProviderName = Literal["local", "mingyan", "topview"]
ProviderChoice = Literal["auto", "local", "mingyan", "topview"]

_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
MIN_LABEL_SECONDS = 2  # GB 45438-2025
# Control, format, surrogate and private signs; and letters that are drawn as nothing.
_UNSEEN = {"Cc", "Cf", "Cs", "Co"}
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"
_LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"


def check_media_reference(reference: str) -> str:
    """Accept ``s3://bucket/key`` and ``https://host/path``; say what is allowed otherwise."""
    try:
        parts = urlsplit(reference)
    except ValueError:
        raise ValueError(f"{reference!r} is no address. Write s3://bucket/key or https://host/path.") from None
    if parts.scheme == "s3":
        if not _BUCKET.match(parts.netloc) or len(parts.path) < 2:
            raise ValueError(f"{reference!r} does not name an object. Write s3://bucket/key.")
        if {".", ".."} & set(parts.path.split("/")):
            raise ValueError(f"{reference!r} has dots for folders. Write the whole key.")
        return reference
    if parts.scheme in {"https", "http"}:
        if not parts.hostname:
            raise ValueError(f"{reference!r} has no host. Write https://host/path.")
        if parts.username or parts.password:
            raise ValueError(
                "the address carries a user name or password. Use a pre-signed link, or upload the file to s3://staging/."
            )
        return reference
    raise ValueError(
        f"{reference!r} is neither s3://bucket/key nor https://host/path. "
        "Local files work from the command line only: `studio render` uploads them first, as does `studio upload FILE`."
    )


MediaReference = Annotated[str, Field(min_length=1, max_length=2048), AfterValidator(check_media_reference)]


class PortraitAvatar(Form):
    """A still picture of one person, brought to life."""

    model_config = ConfigDict(title="Portrait", json_schema_extra=hide_kind)

    kind: Literal["portrait"] = "portrait"
    image: MediaReference = Field(
        title="Picture",
        description="JPEG, PNG or WebP of one face from the front: s3://bucket/key or https://host/path.",
        examples=["s3://staging/presenter.png"],
        json_schema_extra=at(1),
    )


class ClipAvatar(Form):
    """Footage of a person, whose mouth is re-rendered to the speech."""

    model_config = ConfigDict(title="Clip", json_schema_extra=hide_kind)

    kind: Literal["clip"] = "clip"
    video: MediaReference = Field(
        title="Clip",
        description="MP4, MOV or WebM with one face in view: s3://bucket/key or https://host/path.",
        examples=["s3://staging/presenter.mp4"],
        json_schema_extra=at(1),
    )


class StockAvatar(Form):
    """One of the provider's own avatars."""

    # Ids look like numbers, and YAML takes them for some.
    model_config = ConfigDict(title="Stock avatar", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["stock"] = "stock"
    avatar_id: str = Field(
        min_length=1,
        max_length=200,
        title="Avatar id",
        description="The id in the provider's avatar catalogue.",
        json_schema_extra=at(1),
    )


class CustomAvatar(Form):
    """An avatar that was made for this account at the provider."""

    model_config = ConfigDict(title="Your own avatar", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["custom"] = "custom"
    custom_avatar_id: str = Field(
        min_length=1,
        max_length=200,
        title="Avatar id",
        description="The id of your avatar at the provider.",
        json_schema_extra=at(1),
    )


Avatar = Annotated[
    PortraitAvatar | ClipAvatar | StockAvatar | CustomAvatar, Field(discriminator="kind"), BeforeValidator(infer_kind)
]


class ScriptSpeech(Form):
    """A text, spoken by a synthetic voice."""

    model_config = ConfigDict(title="Script", json_schema_extra=hide_kind)

    kind: Literal["script"] = "script"
    text: str = Field(
        min_length=1,
        max_length=20_000,
        title="Text",
        description="What is said, as plain text; punctuation makes the pauses.",
        json_schema_extra=at(1, format="multiline"),
    )
    language: str = Field(
        "en",
        max_length=35,
        pattern=_LANGUAGE,
        title="Language",
        description="Language of the text as a BCP 47 tag such as en, en-GB or zh-CN.",
        json_schema_extra=at(2),
    )
    voice: str = Field(
        "",
        max_length=200,
        title="Voice",
        description="Voice id in the provider's catalogue; empty takes the provider's default.",
        json_schema_extra=at(3),
    )
    speed: float = Field(
        1.0,
        ge=0.5,
        le=2.0,
        title="Speed",
        description="Speaking rate, 1 is normal; providers may allow less than 0.5 to 2.",
        json_schema_extra=at(4),
    )

    @field_validator("text")
    @classmethod
    def _is_speakable(cls, text: str) -> str:
        if not any(character.isalnum() for character in text):
            raise ValueError("there is nothing to say, only spaces or signs. Write at least one word.")
        return text


class RecordingSpeech(Form):
    """A recorded voice."""

    model_config = ConfigDict(title="Recording", json_schema_extra=hide_kind)

    kind: Literal["recording"] = "recording"
    audio: MediaReference = Field(
        title="Recording",
        description="WAV, MP3, M4A, FLAC or OGG of the voice: s3://bucket/key or https://host/path.",
        examples=["s3://staging/speech.wav"],
        json_schema_extra=at(1),
    )


Speech = Annotated[ScriptSpeech | RecordingSpeech, Field(discriminator="kind"), BeforeValidator(infer_kind)]


class OutputOptions(Form):
    """How the finished video should be."""

    resolution: Literal["source", "512p", "720p", "1080p"] = Field(
        "720p",
        title="Resolution",
        description="Short side of the video at most; never enlarged; 'source' keeps it, up to 1080.",
        json_schema_extra=at(0),
    )
    fps: Literal[24, 25, 30] = Field(
        25, title="Frames per second", description="Frame rate of the video.", json_schema_extra=at(1)
    )


class Labels(Form):
    """How the video says that a machine made it; changing a label never costs a new render."""

    visible: bool = Field(
        default=True,
        title="Visible label",
        description="Show a label in the picture; many markets require it by law.",
        json_schema_extra=at(0),
    )
    text: str = Field(
        "AI-generated",
        min_length=1,
        max_length=40,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        title="Label text",
        description="The words of the visible label, on one line; Latin and Chinese script can be drawn.",
        json_schema_extra=at(1),
    )
    seconds: float = Field(
        0.0,
        ge=0,
        le=3600,
        title="Label seconds",
        description="How long the label stays from the start, at least 2 seconds; 0 keeps it to the end.",
        json_schema_extra=at(2),
    )

    @field_validator("text")
    @classmethod
    def _is_visible(cls, text: str) -> str:
        unseen = [sign for sign in text if unicodedata.category(sign) in _UNSEEN or sign in _BLANK_LETTERS]
        if unseen or not any(sign.isalnum() for sign in text):
            raise ValueError("a label must be seen: it has no letters, or signs that nobody sees. Write words.")
        return text

    @field_validator("seconds")
    @classmethod
    def _long_enough(cls, seconds: float) -> float:
        if 0 < seconds < MIN_LABEL_SECONDS:
            raise ValueError("the label must stay for 2 seconds or more. Write 0 to keep it to the end.")
        return seconds


class RenderRequest(Form):
    """One talking video: who speaks, what is said, and how the result should be."""

    title: str = Field(
        "",
        max_length=200,
        title="Title",
        description="Name of the video for people; it does not change the render.",
        json_schema_extra=at(0),
    )
    avatar: Avatar = Field(title="Avatar", description="Who speaks.", json_schema_extra=choice(1))
    speech: Speech = Field(title="Speech", description="What is said.", json_schema_extra=choice(2))
    provider: ProviderChoice = Field(
        "auto",
        title="Provider",
        description="Who renders: 'auto' takes the cheapest one that can; 'local' is the free offline renderer, "
        "'topview' and 'mingyan' are paid and need a credentials block.",
        json_schema_extra=at(3),
    )
    output: OutputOptions = Field(
        default_factory=OutputOptions,
        title="Output",
        description="Size and frame rate of the local renderer's video; the others decide for themselves.",
        json_schema_extra=at(4),
    )
    labels: Labels = Field(
        default_factory=Labels,
        title="Labels",
        description="How the video says that it is machine-made.",
        json_schema_extra=at(5),
    )
    tags: list[Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[\w .:@/+-]+$")]] = Field(
        default_factory=list,
        max_length=20,
        title="Tags",
        description="Words to find the video by, at most 20; they do not change the render.",
        json_schema_extra=at(6),
    )
    topview: TopViewOptions = Field(
        default_factory=TopViewOptions,
        title="TopView options",
        description="Only read when TopView renders.",
        json_schema_extra=at(7),
    )
    mingyan: MingyanOptions = Field(
        default_factory=MingyanOptions,
        title="mingyan options",
        description="Only read when mingyan renders.",
        json_schema_extra=at(8),
    )
