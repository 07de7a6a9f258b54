"""Reading everything that ZEGO gives out in pages, sections 3.1 and 3.3 of the vendor page."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from pydantic import JsonValue

from tasks.http import Answer, may_repeat_poll, patiently
from tasks.providers.contract import note_difference
from tasks.providers.zego.api import Call, ZegoApi
from tasks.providers.zego.assumptions import MOST_ROWS, NULL_IS_AN_EMPTY_LIST, PAGE_SIZE
from tasks.providers.zego.envelope import facts_of
from tasks.providers.zego.models import PROVIDER, Documented, read_answer, unreadable

PATIENCE_SECONDS = 30

M = TypeVar("M", bound=Documented)


async def read_pages(
    api: ZegoApi, action: str, filters: Mapping[str, JsonValue], model: type[M], *, listed: str
) -> AsyncIterator[M]:
    """Read page after page until all rows were seen; a page is a question, so it is asked for patiently.

    The end is where ``Total`` is reached, a page is empty, or a page comes twice.

    Args:
        api: the account.
        action: what is read.
        filters: business parameters besides the page's.
        model: a row.
        listed: field that holds the rows.

    Raises:
        ProviderError: a page could not be had.
    """
    offset, last = 0, list[Any]()
    while offset < MOST_ROWS:
        call = Call(action, {**filters, "Offset": offset, "Limit": PAGE_SIZE})
        data, answer = await _read(api, call)
        facts = facts_of(answer)
        rows = rows_of(data, listed, call, facts)
        if not rows or rows == last:
            return
        for row in rows:
            yield read_answer(model, row, call=action, **facts)
        # A server may give less than was asked for.
        offset, last = offset + len(rows), rows
        total = data.get("Total") if isinstance(data, dict) else None
        if isinstance(total, int) and offset >= total:
            return
    note_difference(PROVIDER, action, f"more than {MOST_ROWS} rows")


def rows_of(data: JsonValue, listed: str, call: Call, facts: Mapping[str, Any]) -> list[Any]:
    """The rows of an answer.

    Raises:
        ProviderUnavailable: there is no list.
    """
    if isinstance(data, dict) and listed in data:
        rows = data[listed]
        if isinstance(rows, list):
            return rows
        if rows is None and NULL_IS_AN_EMPTY_LIST:
            return []
    raise unreadable(call.action, f"no {listed}", **facts)


async def _read(api: ZegoApi, call: Call) -> tuple[JsonValue, Answer]:
    found: tuple[JsonValue, Answer] = await patiently(may_repeat_poll, seconds=PATIENCE_SECONDS)(api.make, call)
    return found
