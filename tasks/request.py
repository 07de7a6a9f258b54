"""Read a request from a form, an API call or a file, and refuse it in words a person can act on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.errors import Problem, RequestRefused
from tasks.form import TELLING
from tasks.models import RenderRequest

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]


@dataclass(frozen=True)
class Wording:
    """What people are told about the fields of a form.

    Args:
        whole: name of the form itself.
        path: how a field is called, from pydantic's place of it.
        telling: the field that only one kind has, and that kind; for forms with choices.
        choices: the way out for a choice that cannot be told, by the choice's field.
        missing: the way out for a field that is missing, where it is not obvious.
        forms: what a text must look like, by the field's last name.
    """

    whole: str
    path: Callable[[Place], str]
    telling: Mapping[str, str]
    choices: Callable[[str], str]
    missing: Mapping[str, str]
    forms: Mapping[str, str]


def read_request(raw: object) -> RenderRequest:
    """Read a request from a form, an API call or a file.

    Raises:
        RequestRefused: naming every field that is wrong, and the way out.
    """
    return read_form(RenderRequest, raw)


def read_form(model: type[Model], raw: object, wording: Wording | None = None) -> Model:
    """Read any form of the studio; without a wording of its own in the words of a render.

    Raises:
        RequestRefused: naming every field that is wrong, and the way out.
    """
    if isinstance(raw, model):
        return raw
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise RequestRefused(_problems(error, model, wording or _RENDER)) from None


_KINDS = {"avatar": "portrait, clip, stock, custom", "speech": "script, recording"}
_UNION_TAGS = {"portrait", "clip", "stock", "custom", "script", "recording"}
_RENDER = Wording(
    whole="request",
    path=lambda place: ".".join(str(part) for part in place if part not in _UNION_TAGS),
    telling=TELLING,
    choices=lambda field: f"Set kind to one of {_KINDS.get(field, '')}.",
    missing={
        "avatar": "Give a portrait, a clip, a stock or an own avatar (on the command line --image, --clip, --avatar-id "
        "or --custom-avatar-id).",
        "speech": "Give a script or a recording (on the command line --script, --script-file or --audio).",
    },
    forms={
        "language": "Write a language tag such as en, en-GB or zh-CN.",
        "tags": "Use letters, digits, spaces and . : @ / + - only.",
        "text": "Write one line without control characters.",
    },
)


def _problems(error: ValidationError, model: type[BaseModel], wording: Wording) -> list[Problem]:
    """Turn pydantic's findings into field, wrong and fix, in the words of the form."""
    problems = []
    for found in error.errors(include_url=False):
        field = wording.path(found["loc"]) or wording.whole
        if found["type"] == "extra_forbidden":
            problems.append(Problem(field, "is not a field of this form.", _spelling(str(found["loc"][-1]), model)))
        else:
            problems.append(_problem(field, found, wording))
    return problems


def _problem(field: str, found: ErrorDetails, wording: Wording) -> Problem:
    kind, message, context, given = found["type"], found["msg"], found.get("ctx", {}), found["input"]
    if kind == "value_error":
        wrong, _, fix = str(context["error"]).partition(". ")
        return Problem(field, f"{wrong}.", fix)
    wrong = f"{message[0].lower()}{message[1:]}."
    problem = Problem(field, wrong, f"You gave {_short(given)}.")
    if kind == "missing":
        problem = Problem(field, "is missing.", wording.missing.get(field, "Fill it in."))
    elif kind == "string_pattern_mismatch":
        name = field.rstrip("0123456789").rstrip(".").rpartition(".")[2]
        problem = Problem(field, f"{_short(given)} does not have the right form.", wording.forms.get(name, ""))
    elif kind.startswith("union_tag"):
        problem = _choice_problem(field, given, wording)
    elif kind == "literal_error":
        problem = Problem(field, f"{_short(given)} is not allowed.", f"Choose {context['expected']}.")
    elif kind == "timezone_aware" or kind.startswith("datetime"):
        wrong = f"{_short(given)} is not a moment with its time zone."
        problem = Problem(field, wrong, "Write it as 2026-10-01T09:00:00+02:00.")
    elif kind in {"model_type", "model_attributes_type", "dict_type"}:
        problem = Problem(field, "must be a group of fields (a JSON object).", "Give its fields by name.")
    return problem


def _spelling(name: str, model: type[BaseModel]) -> str:
    """What to do about a field that is none, or is one of another group only."""
    meant = get_close_matches(name.casefold(), _field_names(model) - {name}, n=1)
    return f"Did you mean {meant[0]}?" if meant else "Remove it or mend its spelling."


@cache
def _field_names(model: type[BaseModel]) -> frozenset[str]:
    """The names of all fields of a form and of its groups."""

    def names(schema: object) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", {})
        parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
        for part in parts:
            yield from names(part)

    return frozenset(names(model.model_json_schema()))


def _choice_problem(field: str, given: object, wording: Wording) -> Problem:
    """A choice that cannot be told from the fields that were given."""
    group = given if isinstance(given, dict) else {}
    told = [name for name in wording.telling if group.get(name) not in (None, "")]
    if len(told) > 1 and not group.get("kind"):
        return Problem(field, f"{' and '.join(told)} are given together.", "Keep one of them.")
    if (empty := [name for name in wording.telling if name in group]) and not told:
        return Problem(f"{field}.{empty[0]}", "is empty.", "Fill it in.")
    return Problem(f"{field}.kind", "is missing or unknown.", wording.choices(field))


def _short(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}…"
