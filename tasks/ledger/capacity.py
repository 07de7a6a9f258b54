"""How many renders one account may have under way at once, kept in the transaction that takes the right to submit."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.models import AtCapacity
from tasks.ledger.rows import wait_turn
from tasks.ledger.schema import IS_OPEN, submissions
from tasks.ledger.states import State

_UNDER_WAY = (State.AMBIGUOUS, State.SUBMITTED, State.SUBMITTING)
_rows = submissions.c


async def check_capacity(connection: AsyncConnection, *, entry_id: UUID, most: int) -> None:
    """Let the submissions of an account pass one at a time, and only while fewer than ``most`` are under way.

    A row that is not reserved passes, as it takes no place; what becomes of it is not for here to say.

    Raises:
        AtCapacity: as many are under way.
    """
    place = select(_rows.provider, _rows.account, _rows.endpoint).where(
        _rows.id == entry_id, _rows.state == State.RESERVED
    )
    found = (await connection.execute(place)).first()
    if found is None:
        return
    provider, account, endpoint = found
    await wait_turn(connection, "capacity", provider, account, endpoint)
    if (await connection.execute(select_under_way(provider, account, endpoint))).scalar_one() >= most:
        raise AtCapacity(provider, account, most)


def select_under_way(provider: str, account: str, endpoint: str) -> Select[Any]:
    """How many renders an account has, or may have, under way."""
    return (
        select(func.count())
        .select_from(submissions)
        .where(
            _rows.provider == provider,
            _rows.state.in_(_UNDER_WAY),
            IS_OPEN,
            _rows.account == account,
            _rows.endpoint == endpoint,
        )
    )
