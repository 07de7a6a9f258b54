"""The names that a column may have, and how a cell is read for its field. All follows from the form's models."""

import re
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tasks.models import RenderRequest

SHORT_NAMES = {
    "image": "avatar.image",
    "video": "avatar.video",
    "avatar_id": "avatar.avatar_id",
    "custom_avatar_id": "avatar.custom_avatar_id",
    "text": "speech.text",
    "script": "speech.text",
    "audio": "speech.audio",
    "language": "speech.language",
    "voice": "speech.voice",
    "speed": "speech.speed",
}
"""What people call fields of groups; fields outside groups are short already."""

VARIABLES = "variables"
"""In structured rows, the group of values for ``{{name}}``."""

_TAG_BORDER = re.compile("[;,]")
_DECIMAL_COMMA = re.compile(r"^-?\d+,\d+$")


class Place(NamedTuple):
    """Where a value belongs in the form; the group is empty for fields outside groups."""

    group: str
    field: str

    @property
    def path(self) -> str:
        """As a person writes it."""
        return f"{self.group}.{self.field}" if self.group else self.field


def normal(name: object) -> str:
    """A name without regard to case, spaces around it, or spaces and hyphens in place of underscores."""
    return re.sub(r"[\s-]+", "_", str(name).strip().casefold())


def place_of(name: object) -> Place | None:
    """Where the values under a name belong; None when it is no field of the form."""
    known = normal(name)
    path = SHORT_NAMES.get(known, known)
    return _PLACES.get(path)


def closest(name: object, names: Iterable[str] | None = None) -> str:
    """A hint at the name that was probably meant; empty when none is alike.

    Args:
        name: what was written.
        names: what there is; None means the fields of the form.
    """
    meant = normal(name)
    found = [place.path for place in _PLACES.values() if place.field == meant] if names is None else []
    found += get_close_matches(meant, [*_PLACES, *SHORT_NAMES] if names is None else names, n=1)
    return f"Did you mean {found[0]}?" if found else ""


def split_tags(text: str) -> list[str]:
    """The tags in one cell, between semicolons or commas."""
    return [tag for part in _TAG_BORDER.split(text) if (tag := part.strip())]


def cell_reader(place: Place, *, decimal_comma: bool) -> Callable[[str], Any]:
    """What turns the text of a cell into what its field takes; the form judges the result.

    Args:
        place: where the value belongs.
        decimal_comma: whether the spreadsheet writes 1,5 for one and a half.
    """
    return _read_number_with_comma if decimal_comma and place in _NUMBERS else _READERS.get(place, str)


def _read_choice_of_numbers(cell: str) -> int | str:
    return int(cell) if cell.isascii() and cell.isdigit() and len(cell) < 9 else cell


def _read_number_with_comma(cell: str) -> str:
    return cell.replace(",", ".") if _DECIMAL_COMMA.match(cell) else cell


def _groups(field: FieldInfo) -> list[type[BaseModel]]:
    """The models that a field of the form can be; none for a plain value."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _places() -> Iterator[tuple[Place, FieldInfo]]:
    for name, field in RenderRequest.model_fields.items():
        groups = _groups(field)
        if not groups:
            yield Place("", name), field
        for group in groups:
            for inner, inner_field in group.model_fields.items():
                yield Place(name, inner), inner_field


def _is_choice_of_numbers(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is Literal and all(isinstance(one, int) for one in get_args(field.annotation))


_PLACES = {place.path: place for place, _ in _places()}
_NUMBERS = {place for place, field in _places() if field.annotation is float}
_READERS: dict[Place, Callable[[str], Any]] = {
    place: _read_choice_of_numbers for place, field in _places() if _is_choice_of_numbers(field)
}
_READERS[_PLACES["tags"]] = split_tags

GROUPS = frozenset(place.group for place in _PLACES.values() if place.group)
"""Fields of the form that have fields of their own."""
