"""How the models of a request appear in Prefect's run form."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict


class Form(BaseModel):
    """A group of fields that a person fills in."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, frozen=True)


def at(position: int, **more: Any) -> dict[str, Any]:
    """Place a field in the run form."""
    return {"position": position, **more}


def hide_kind(schema: dict[str, Any]) -> None:
    """Keep `kind` out of the run form: it follows from the fields, and Prefect's form loses it between choices."""
    schema["properties"].pop("kind", None)
    # It may still be sent.
    schema.pop("additionalProperties", None)


TELLING = {
    "image": "portrait",
    "video": "clip",
    "avatar_id": "stock",
    "custom_avatar_id": "custom",
    "text": "script",
    "audio": "recording",
}
"""The field that only one kind has."""


def kind_told_by(telling: Mapping[str, str]) -> Callable[[object], object]:
    """A validator that fills in `kind` from the one field that only this kind has."""

    def infer(given: object) -> object:
        if not isinstance(given, dict) or given.get("kind"):
            return given
        kinds = [kind for field, kind in telling.items() if given.get(field) not in (None, "")]
        return {**given, "kind": kinds[0]} if len(kinds) == 1 else given

    return infer


infer_kind = kind_told_by(TELLING)


def choice(position: int) -> Callable[[dict[str, Any]], None]:
    """Place a union in the run form; Prefect's form draws `anyOf` as a choice, but `oneOf` as raw JSON."""

    def place(schema: dict[str, Any]) -> None:
        schema["anyOf"] = schema.pop("oneOf")
        schema.pop("discriminator", None)
        schema["position"] = position

    return place
