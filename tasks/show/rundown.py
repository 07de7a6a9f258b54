"""What a person asks for with a live show. The Prefect run form and the command line are both made from these models.

A *rundown* is the ordered list of *cues* of a show; a cue is one thing that the digital human does. Vendor contract:
zego.md, sections 4 and 5.
"""

from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, BeforeValidator, ConfigDict, Field, model_validator

from tasks.form import Form, at, hide_kind, kind_told_by, one_of, optional
from tasks.models import MediaReference

MOST_CUES = 500
MOST_TEXT = 1800
"""Characters that the vendor takes in one drive (section 5.2)."""
LONGEST_HOURS = 24
"""No stream lives longer (section 4.1)."""

TELLING = {
    "text": "text",
    "audio": "audio",
    "recording": "pcm",
    "script": "speech",
    "pipe": "pipe",
    "action": "action",
    "pause": "pause",
    "loop": "loop",
}
"""The field that only one kind of cue has."""

_kind_of = kind_told_by(TELLING)


def _infer(given: object) -> object:
    """Fill in the kind; then what the run form has left empty belongs to others."""
    told = _kind_of(given)
    if told is given or not isinstance(told, dict):
        return given
    return {name: value for name, value in told.items() if value not in (None, "")}


OnFailure = Literal["skip", "end"]
Name = Annotated[
    str,
    Field(max_length=100, title="Name", description="What the cue is called in the record.", json_schema_extra=at(20)),
]
Failure = Annotated[
    OnFailure | None,
    Field(
        title="If it fails",
        description="skip: go on with the next cue; end: end the show. Empty: as the show says.",
        json_schema_extra=optional(21),
    ),
]


class TextCue(Form):
    """A text, spoken with a voice of the vendor's."""

    model_config = ConfigDict(title="Text", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["text"] = "text"
    text: str = Field(min_length=1, max_length=MOST_TEXT, title="Text", json_schema_extra=at(1, format="multiline"))
    timbre: str | None = Field(
        None,
        max_length=200,
        title="Timbre",
        description="Id of the voice; empty: the show's.",
        json_schema_extra=optional(2),
    )
    rate: int | None = Field(
        None, ge=-500, le=500, title="Speech rate", description="Higher is faster.", json_schema_extra=optional(3)
    )
    pitch: int | None = Field(
        None, ge=-500, le=500, title="Pitch", description="Higher is higher.", json_schema_extra=optional(4)
    )
    volume: int | None = Field(None, ge=1, le=100, title="Volume", json_schema_extra=optional(5))
    name: Name = ""
    on_failure: Failure = None


class AudioCue(Form):
    """A recording that the vendor fetches by a link."""

    model_config = ConfigDict(title="Audio file", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["audio"] = "audio"
    audio: MediaReference = Field(
        title="Audio file",
        description="MP3 or WAV: s3://bucket/key or https://host/path.",
        json_schema_extra=at(1),
    )
    channel: Literal["mixed", "left", "right"] = Field(
        "mixed", title="Channel", description="Which channel of a stereo file speaks.", json_schema_extra=at(2)
    )
    name: Name = ""
    on_failure: Failure = None


class PcmCue(Form):
    """A recording in any format, decoded here and streamed as PCM."""

    model_config = ConfigDict(title="Streamed recording", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["pcm"] = "pcm"
    recording: MediaReference = Field(
        title="Recording",
        description="Any audio file: s3://bucket/key or https://host/path.",
        json_schema_extra=at(1),
    )
    name: Name = ""
    on_failure: Failure = None


class SpeechCue(Form):
    """A script, spoken by the studio's own voice and streamed as it is synthesised."""

    model_config = ConfigDict(title="Script", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["speech"] = "speech"
    script: str = Field(min_length=1, max_length=20_000, title="Script", json_schema_extra=at(1, format="multiline"))
    voice: str | None = Field(
        None, max_length=100, title="Voice", description="Name of a bundled voice.", json_schema_extra=optional(2)
    )
    speed: float = Field(1.0, ge=0.5, le=2.0, title="Speed", json_schema_extra=at(3))
    name: Name = ""
    on_failure: Failure = None


class PipeCue(Form):
    """Live PCM from another program: signed 16-bit little-endian, mono, at the show's sample rate."""

    model_config = ConfigDict(title="Live PCM", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["pipe"] = "pipe"
    pipe: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,60}$",
        title="Pipe",
        description="Name of a pipe in the folder pipes of the studio's home on the worker's machine.",
        json_schema_extra=at(1),
    )
    seconds: float = Field(
        gt=0, le=LONGEST_HOURS * 3600, title="Longest", description="The cue ends after so many seconds of audio.",
        json_schema_extra=at(2),
    )  # fmt: skip
    name: Name = ""
    on_failure: Failure = None


class ActionCue(Form):
    """A gesture from the avatar's list of actions."""

    model_config = ConfigDict(title="Action", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["action"] = "action"
    action: str = Field(
        min_length=1, max_length=200, title="Action", description="Its name in the avatar's catalogue.",
        json_schema_extra=at(1),
    )  # fmt: skip
    seconds: float = Field(
        2.0, ge=0, le=600, title="Seconds", description="How long the show waits for it.", json_schema_extra=at(2)
    )
    name: Name = ""
    on_failure: Failure = None


class PauseCue(Form):
    """Silence."""

    model_config = ConfigDict(title="Pause", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["pause"] = "pause"
    pause: float = Field(gt=0, le=LONGEST_HOURS * 3600, title="Seconds", json_schema_extra=at(1))
    name: Name = ""
    on_failure: Failure = None


SimpleCue = TextCue | AudioCue | PcmCue | SpeechCue | PipeCue | ActionCue | PauseCue


class LoopCue(Form):
    """Cues that are repeated, a number of times or until the show's end."""

    model_config = ConfigDict(title="Loop", json_schema_extra=hide_kind, coerce_numbers_to_str=True)

    kind: Literal["loop"] = "loop"
    loop: list[
        Annotated[
            SimpleCue,
            Field(discriminator="kind", json_schema_extra=one_of("Cue", *get_args(SimpleCue))),
            BeforeValidator(_infer),
        ]
    ] = Field(min_length=1, max_length=MOST_CUES, title="Cues", json_schema_extra=at(1))
    times: int | None = Field(
        None, ge=1, le=10_000, title="Times", description="Empty: until the show's end.", json_schema_extra=optional(2)
    )
    name: Name = ""
    on_failure: Failure = None


Cue = Annotated[
    SimpleCue | LoopCue,
    Field(discriminator="kind", json_schema_extra=one_of("Cue", *get_args(SimpleCue), LoopCue)),
    BeforeValidator(_infer),
]


class Rundown(Form):
    """A live show: who speaks where, what happens in which order, and when it must be over."""

    model_config = ConfigDict(title="Rundown", coerce_numbers_to_str=True)

    title: str = Field("", max_length=200, title="Title", json_schema_extra=at(0))
    avatar: str = Field(
        min_length=1, max_length=200, title="Avatar", description="Id of the digital human: `studio catalog zego`.",
        json_schema_extra=at(1),
    )  # fmt: skip
    background: str = Field(
        "#000000", pattern=r"^#[0-9A-Fa-f]{6}$", title="Background", description="As #rrggbb.", json_schema_extra=at(2)
    )
    room: str = Field(
        pattern=r"^[0-9A-Za-z_-]{1,128}$", title="Room", description="Room that the stream is published in.",
        json_schema_extra=at(3),
    )  # fmt: skip
    timbre: str | None = Field(
        None, max_length=200, title="Timbre", description="Voice of text cues.", json_schema_extra=optional(4)
    )
    cues: list[Cue] = Field(
        min_length=1,
        max_length=MOST_CUES,
        title="Cues",
        description="Each is of one kind, told by the field that is filled in: text, audio, recording, script, pipe, "
        "action, pause or loop. Leave the fields of other kinds empty.",
        json_schema_extra=at(5),
    )
    starts_at: AwareDatetime | None = Field(
        None, title="Start", description="The first cue begins then; empty: at once.", json_schema_extra=optional(6)
    )
    ends_at: AwareDatetime | None = Field(
        None,
        title="Hard end",
        description="The stream is closed then, whatever is being said.",
        json_schema_extra=optional(7),
    )
    most_minutes: float | None = Field(
        None, gt=0, le=LONGEST_HOURS * 60, title="Longest", description="Hard end, in minutes after the start.",
        json_schema_extra=optional(8),
    )  # fmt: skip
    on_failure: OnFailure = Field(
        "skip", title="If a cue fails", description="skip: go on with the next; end: end the show.",
        json_schema_extra=at(9),
    )  # fmt: skip
    idle_seconds: int = Field(
        120,
        ge=30,
        le=86_400,
        title="Idle end",
        description="The vendor ends the stream after so long without anything said; the show keeps it alive through "
        "pauses. Low values bound what a lost show costs.",
        json_schema_extra=at(10),
    )
    sample_rate: Literal[16000, 24000] = Field(
        24000, title="Sample rate", description="Of streamed audio, in Hz.", json_schema_extra=at(11)
    )

    @model_validator(mode="after")
    def _has_one_end(self) -> "Rundown":
        if self.ends_at is not None and self.most_minutes is not None:
            raise ValueError("both ends_at and most_minutes are given. Give one of them.")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at is not after starts_at. Give a later end.")
        return self


class ShowRequest(Form):
    """A show from a rundown in the form, or from a rundown file."""

    rundown: Rundown | None = Field(None, title="Rundown", json_schema_extra=at(0))
    file: str = Field(
        "",
        max_length=2048,
        title="Rundown file",
        description="Instead: s3:// address of a YAML or JSON file; `studio upload FILE` prints one.",
        json_schema_extra=at(1),
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> "ShowRequest":
        if bool(self.file) == (self.rundown is not None):
            told = "both a rundown and a file are given" if self.file else "neither a rundown nor a file is given"
            raise ValueError(f"{told}. Give one of them.")
        return self
