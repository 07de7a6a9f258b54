"""Reading everything that TopView gives out in pages."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from pydantic import JsonValue

from tasks.http import Answer, may_repeat_poll, patiently
from tasks.providers.topview.api import TopViewApi
from tasks.providers.topview.assumptions import MOST_PAGES, PAGE_SIZE
from tasks.providers.topview.contract import Documented, note, read_answer, unreadable

PATIENCE_SECONDS = 30

M = TypeVar("M", bound=Documented)


async def read_pages(
    api: TopViewApi, path: str, params: Mapping[str, str], model: type[M], *, call: str
) -> AsyncIterator[M]:
    """Read page after page until all rows were seen; every page is asked for patiently.

    A bare list counts as a page too. The end is where ``total`` is reached, a page is empty, or a page comes twice.

    Args:
        api: the account.
        path: what is read.
        params: filters.
        model: a row.
        call: name of the call.

    Raises:
        ProviderError: a page could not be had.
    """
    seen = 0
    last: list[Any] = []
    for page in range(1, MOST_PAGES + 1):
        asked = {**params, "pageNo": str(page), "pageSize": str(PAGE_SIZE)}
        raw = await _read(api, path, asked, call)
        rows, total = _rows(raw, call)
        if not rows or rows == last:
            return
        for row in rows:
            yield read_answer(model, row, call=call)
        seen += len(rows)
        if total is not None and seen >= total:
            return
        last = rows
    note(call, f"more than {MOST_PAGES} pages")


async def read_list(api: TopViewApi, path: str, model: type[M], *, call: str) -> AsyncIterator[M]:
    """Read a list that comes whole."""
    raw = await _read(api, path, {}, call)
    rows, _ = _rows(raw, call)
    for row in rows:
        yield read_answer(model, row, call=call)


async def _read(api: TopViewApi, path: str, params: Mapping[str, str], call: str) -> JsonValue:
    """One page; without a state, so it may be asked for again."""
    result: tuple[JsonValue, Answer] = await patiently(may_repeat_poll, seconds=PATIENCE_SECONDS)(
        api.get, path, params, call=call
    )
    return result[0]


def _rows(raw: JsonValue, call: str) -> tuple[list[Any], int | None]:
    if isinstance(raw, list):
        return raw, None
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), list | None):
        raise unreadable(call, "no list")
    total = raw.get("total")
    if not isinstance(total, int):
        note(call, "total is no number")
    rows = raw.get("data")
    return rows if isinstance(rows, list) else [], total if isinstance(total, int) else None
