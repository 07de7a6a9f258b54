"""Notices where TopView answers otherwise than its pages say; parsing goes on all the same."""

import logging
import types
from functools import lru_cache
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from tasks.errors import ProviderUnavailable

PROVIDER = "topview"
_LONGEST_NAME = 60

log = logging.getLogger("studio.contract")

M = TypeVar("M", bound="Documented")


@lru_cache(maxsize=1024)
def note(call: str, what: str) -> None:
    """Log a difference, once per process and fact; never a value, which may be secret."""
    log.warning("contract difference provider=%s call=%s what=%s", PROVIDER, call, what)


class Documented(BaseModel):
    """An answer as its page describes it: every field may be missing or null, more fields may come."""

    model_config = ConfigDict(extra="allow", frozen=True, alias_generator=to_camel, coerce_numbers_to_str=True)

    may_miss: ClassVar[frozenset[str]] = frozenset()
    """Fields, by their name in the answer, whose absence is no difference."""
    may_come: ClassVar[frozenset[str]] = frozenset()
    """Fields that are documented and not read, for example because they hold a secret."""
    is_whole: ClassVar[bool] = True
    """Whether the page lists all fields; else more of them are no difference."""


def read_answer(model: type[M], raw: Any, *, call: str, **facts: Any) -> M:
    """Read an answer, noting what its page does not say; a field that cannot be read counts as missing.

    Args:
        model: what the page says.
        raw: the decoded JSON.
        call: name of the call.
        facts: HTTP status, code and request id, for the error.

    Raises:
        ProviderUnavailable: it is no object.
    """
    if not isinstance(raw, dict):
        raise unreadable(call, f"{_kind(raw)} instead of an object", **facts)
    kept = {name: value for name, value in raw.items() if name not in model.may_come}
    _note_differences(model, kept, call)
    try:
        return model.model_validate(kept)
    except ValidationError as error:
        # A paid job must not be lost over a field that nobody needs.
        broken = {problem["loc"][0] for problem in error.errors()}
    note(call, f"unreadable {', '.join(sorted(map(str, broken)))}")
    return model.model_validate({name: value for name, value in kept.items() if name not in broken})


def unreadable(call: str, what: str, **facts: Any) -> ProviderUnavailable:
    """The error of an answer that says nothing: whoever asked cannot know what was done."""
    return ProviderUnavailable(
        f"{PROVIDER} answered {call} with {what}.",
        sent=True,
        provider=PROVIDER,
        fix="Try again later; if it stays, TopView has changed its interface: `studio smoke` shows how.",
        **facts,
    )


def _note_differences(model: type[Documented], raw: dict[str, Any], call: str) -> None:
    documented = {field.alias or name: field for name, field in model.model_fields.items()}
    for name in raw.keys() - documented.keys() if model.is_whole else ():
        note(call, f"unknown field {shown_name(name)}")
    for name, field in documented.items():
        if name not in raw:
            if name not in model.may_miss:
                note(call, f"missing field {name}")
        elif field.annotation in (str, str | None) and not isinstance(raw[name], str | types.NoneType):
            note(call, f"field {name} is {_kind(raw[name])} instead of a string")
        else:
            _note_items(field.annotation, raw[name], call)


def _note_items(annotation: Any, value: Any, call: str) -> None:
    """The same for answers inside this one."""
    inner = next((kind for kind in _kinds(annotation) if issubclass(kind, Documented)), None)
    if inner is None:
        return
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            kept = {name: found for name, found in item.items() if name not in inner.may_come}
            _note_differences(inner, kept, call)


def _kinds(annotation: Any) -> list[type]:
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _kinds(part)]


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a number"}
    return "null" if value is None else names.get(type(value), "a number")


def shown_name(name: str) -> str:
    """A name that TopView uses, harmless in a log."""
    return ascii(name)[1:-1][:_LONGEST_NAME]
