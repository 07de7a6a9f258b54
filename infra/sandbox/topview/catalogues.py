"""The lists to choose from: avatars, ethnicities, voices and captions (TopView's catalogue pages)."""

from collections import ChainMap
from collections.abc import Collection
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.sandbox.gate import Gate, Refused
from infra.sandbox.topview.envelope import BAD_PARAMETER, flag, needed_text, page, success, text
from infra.sandbox.topview.stock import (
    CAPTIONS,
    CLONED_VOICES,
    ETHNICITIES,
    PRIVATE_AVATARS,
    PUBLIC_AVATARS,
    PUBLIC_VOICES,
    SCENES,
    avatar,
)
from infra.sandbox.truth import Truth

_GENDERS = ("male", "female")
_VOICE_CHOICES: dict[str, tuple[str, ...]] = {
    "gender": _GENDERS,
    "age": ("Young", "Middle Age", "Old"),
    "style": ("UGC", "Advertisement", "Cartoon_And_Animals", "Influencer"),
}
_SORT_FIELDS = ("aiavatarId", "aiavatarName", "gender", "type")

Row = dict[str, Any]


class Catalogues:
    """Stock, and the private avatars that jobs made."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth

    def routes(self, gate: Gate) -> list[Route]:
        """The four lists."""
        return [
            Route("/v1/aiavatar/query", gate.guard("avatars", self.list_avatars)),
            Route("/v1/ethnicity/list", gate.guard("ethnicities", self.list_ethnicities)),
            Route("/v1/voice/query", gate.guard("voices", self.list_voices)),
            Route("/v1/caption/list", gate.guard("captions", self.list_captions)),
        ]

    def private_avatars(self) -> dict[str, Row]:
        """The account's own avatars by id."""
        made = {a.id: avatar(a.id, a.name, None, None, None, kind=a.type) for a in self._truth.avatars.values()}
        return PRIVATE_AVATARS | made

    def private_ids(self) -> Collection[str]:
        """Ids of the account's own avatars, without a look at each of them."""
        return ChainMap[str, Any](PRIVATE_AVATARS, self._truth.avatars)

    async def list_avatars(self, request: Request) -> Response:
        """Public or private avatars, filtered and sorted."""
        query = request.query_params
        rows = list((self.private_avatars() if flag(query, "isCustom") else PUBLIC_AVATARS).values())
        gender = _one_of(request, "gender", _GENDERS)
        wanted = {part for value in query.getlist("ethnicityIdList") for part in value.split(",") if part}
        rows = [row for row in rows if gender in (None, row["gender"])]
        if wanted:
            rows = [row for row in rows if wanted & {e["ethnicityId"] for e in row["ethnicities"] or ()}]
        field = _one_of(request, "sortField", _SORT_FIELDS)
        order = _one_of(request, "sortType", ("asc", "desc"))
        if field:
            rows.sort(key=lambda row: str(row[field]), reverse=order == "desc")
        return success(page(request, rows))

    async def list_ethnicities(self, request: Request) -> Response:
        """Ethnicities of a scene."""
        needed_text(request.query_params, "scene")
        _one_of(request, "scene", sorted(SCENES))
        return success(page(request, ETHNICITIES))

    async def list_voices(self, request: Request) -> Response:
        """Public or cloned voices, filtered."""
        query = request.query_params
        rows = list((CLONED_VOICES if flag(query, "isCustom") else PUBLIC_VOICES).values())
        filters = {name: _one_of(request, name, allowed) for name, allowed in _VOICE_CHOICES.items()}
        filters |= {name: text(query, name) for name in ("language", "accent")}
        for name, wanted in filters.items():
            rows = [row for row in rows if wanted in (None, row[name])]
        return success(page(request, rows))

    async def list_captions(self, request: Request) -> Response:  # noqa: ARG002 - it has no parameters
        """All captions in a plain array."""
        return success(CAPTIONS)


def _one_of(request: Request, name: str, allowed: tuple[str, ...] | list[str]) -> str | None:
    value = text(request.query_params, name)
    if value is not None and value not in allowed:
        raise Refused(BAD_PARAMETER, f"{name} must be one of {', '.join(allowed)}")
    return value
