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


def optional(position: int, **more: Any) -> Callable[[dict[str, Any]], None]:
    """Place a field that may be empty in the run form; as a choice between a type and None it would need a click."""

    def place(schema: dict[str, Any]) -> None:
        (kind,) = (branch for branch in schema.pop("anyOf") if branch != {"type": "null"})
        schema.pop("default", None)
        schema.update(kind | at(position, **more))

    return place


def one_of(title: str, *kinds: type[BaseModel]) -> Callable[[dict[str, Any]], None]:
    """Draw a union inside a list as one group with the fields of all kinds, to be left empty but for those of one.

    Prefect's form has a choice only for single fields; a union in a list it shows as raw JSON.

    Args:
        title: what an item of the list is called.
        kinds: the members of the union; fields that all of them have come last, once.
    """

    def place(schema: dict[str, Any]) -> None:
        whole = [kind.model_json_schema() for kind in kinds]
        shared = set.intersection(*(set(kind["properties"]) for kind in whole))
        fields: dict[str, Any] = {}
        for order, kind in enumerate(whole):
            for name, field in kind["properties"].items():
                known = fields.get(name)
                if name in shared:
                    titled, position = field["title"], 1000 + field["position"]
                elif known is None:
                    titled = kind["title"] if field["title"] == kind["title"] else f"{kind['title']}: {field['title']}"
                    position = 20 * order + field["position"]
                else:
                    titled, position = f"{kind['title']} / {known['title']}", known["position"]
                # A default would be sent along with every other kind, which has no such field.
                plain = {key: value for key, value in field.items() if key != "default"}
                fields[name] = plain | {"title": titled, "position": position}
        schema.clear()
        schema.update(type="object", title=title, properties=fields)

    return place
