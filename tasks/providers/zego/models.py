"""ZEGO's answers, read leniently: fields may be missing, more may come, and both are noted once."""

from datetime import datetime
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.alias_generators import to_pascal

from tasks.errors import ProviderUnavailable
from tasks.providers.contract import note_difference

PROVIDER = "zego"

M = TypeVar("M", bound="Documented")


class StreamStatus(IntEnum):
    """Section 4.3. A number that is not here counts as alive: only an end that was told is one."""

    INITIALISING = 1
    FAILED = 2
    STREAMING = 3
    STOPPING = 4
    STOPPED = 5


class Documented(BaseModel):
    """An answer as its page describes it."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, alias_generator=to_pascal, populate_by_name=True, coerce_numbers_to_str=True
    )

    may_miss: ClassVar[frozenset[str]] = frozenset()
    """Fields, by their name in the answer, whose absence is no difference."""


class Action(Documented):
    """Section 3.2: a gesture, by the name that DoAction takes."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"PreviewUrl"})

    action: str = ""
    preview_url: str | None = Field(None, repr=False)


class DigitalHuman(Documented):
    """Sections 3.1 and 3.2: an avatar. Its picture's address is valid for 24 hours."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"AvatarUrl"})

    digital_human_id: str = ""
    name: str | None = None
    avatar_url: str | None = Field(None, repr=False)
    is_public: bool | None = None
    actions: list[Action] | None = None

    @property
    def action_names(self) -> list[str]:
        """What DoAction takes for it."""
        return [found.action for found in self.actions or [] if found.action]


class Timbre(Documented):
    """Section 3.3: a voice. Its picture's address is valid for 24 hours."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"AvatarUrl"})

    timbre_id: str = ""
    name: str | None = None
    avatar_url: str | None = Field(None, repr=False)


class StreamTask(Documented):
    """Section 4.2: a stream task. ``status`` is one of ``StreamStatus``, or a number that is not documented."""

    may_miss: ClassVar[frozenset[str]] = frozenset({"TaskId", "FailReason"})

    task_id: str = ""
    room_id: str = ""
    stream_id: str = ""
    status: int = 0
    created_at: datetime | None = Field(None, alias="CreateTime")
    fail_reason: str = ""


class Created(Documented):
    """Section 4.1: the answer to the creation of a stream task."""

    task_id: str = ""


class Drive(Documented):
    """Section 5: the answer to a drive."""

    drive_id: str = ""


class WsDrive(Drive):
    """Section 5.4: where the PCM of one drive is sent. The address carries its token, so it is a secret."""

    address: SecretStr = Field(SecretStr(""), alias="WssAddress")


def read_answer(model: type[M], raw: object, *, call: str, **facts: Any) -> M:
    """Read an answer, noting what its page does not say; a field that cannot be read counts as missing.

    Args:
        model: what the page says.
        raw: the decoded JSON.
        call: the action, for notes and errors.
        facts: HTTP status, request id and task, for the error.

    Raises:
        ProviderUnavailable: it is no object.
    """
    if not isinstance(raw, dict):
        raise unreadable(call, f"{type(raw).__name__} in place of an object", **facts)
    documented = {field.alias or name for name, field in model.model_fields.items()}
    for name in raw.keys() - documented:
        note_difference(PROVIDER, call, f"unknown field {name!r}")
    for name in documented - raw.keys() - model.may_miss:
        note_difference(PROVIDER, call, f"missing field {name!r}")
    # Servers of this kind write null for what they leave empty.
    given = {name: value for name, value in raw.items() if value is not None}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        # A stream that is paid for must not be lost over a field that nobody needs.
        broken = {str(problem["loc"][0]) for problem in error.errors(include_input=False)}
    note_difference(PROVIDER, call, f"unreadable {', '.join(sorted(broken))}")
    return model.model_validate({name: value for name, value in given.items() if name not in broken})


def unreadable(call: str, what: str, **facts: Any) -> ProviderUnavailable:
    """The error of an answer that says nothing: whoever asked cannot know what was done."""
    return ProviderUnavailable(
        f"{PROVIDER} answered {call} with {what}.",
        sent=True,
        provider=PROVIDER,
        fix="Try again later; if it stays, ZEGO has changed its interface: ask its support, with the request id.",
        **facts,
    )
