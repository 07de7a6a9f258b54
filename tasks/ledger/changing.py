"""Moving a submission from one state to another: a compare-and-set that recognises its own work."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from pydantic import JsonValue
from sqlalchemy import bindparam, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from tasks.errors import LedgerConflict
from tasks.ledger.models import Entry, StateConflict
from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import add_event, find_entry, was_made
from tasks.ledger.schema import submissions
from tasks.ledger.states import State, is_allowed

_GIVES_A_RIGHT = frozenset({State.RESERVED, State.SUBMITTING})
"""States whose second taker must be refused even if it asks for the very same."""


class LedgerChanges(LedgerPart):
    """The one way in which rows change their state."""

    async def _change(
        self,
        entry_id: UUID,
        expected: State,
        to: State,
        values: Mapping[str, Any],
        *,
        owner: str | None,
        since: datetime | None = None,
        check: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> Entry:
        """Move a row from the expected state, or find that this very change is made already.

        With ``since`` the row must have been in that state since that very moment. ``check`` is asked first, in the
        same transaction, and raises what speaks against the change.
        """
        if not is_allowed(expected, to):
            raise ValueError(f"a submission cannot go from {expected} to {to}")
        change_id = uuid4()

        async def work(connection: AsyncConnection) -> Entry:
            if check is not None:
                await check(connection)
            now = self._clock()
            new = {"state": to, "updated_at": now, **values, **({} if owner is None else {"owner": owner})}
            seen = {"id": entry_id, "state": expected, **({} if since is None else {"updated_at": since})}
            facts = {f"new_{name}": value for name, value in new.items()} | {
                f"seen_{name}": value for name, value in seen.items()
            }
            row = (await connection.execute(_update(tuple(new), tuple(seen)), facts)).mappings().first()
            if row is None:
                actual = await find_entry(connection, entry_id)
                if await was_made(connection, change_id) or _is_repeat(actual, to, values):
                    return actual
                raise StateConflict(actual, expected, to)
            entry = Entry.model_validate(dict(row))
            await add_event(connection, entry, expected, change_id=change_id, at=now, note=_note(values))
            return entry

        try:
            return await self._database.write(work)
        except IntegrityError as error:
            raise LedgerConflict(
                f"job {values.get('job_id')} already belongs to another submission than {entry_id}.",
                fix="Look at both with `studio status`: the provider gave one id twice, or a wrong id was settled.",
            ) from error


@cache
def _update(new: tuple[str, ...], seen: tuple[str, ...]) -> ReturningUpdate[Any]:
    """Set some columns where others are as they were seen; built once, as building it costs more than running it."""
    columns = submissions.c
    return (
        update(submissions)
        .where(*(columns[name] == bindparam(f"seen_{name}", type_=columns[name].type) for name in seen))
        .values({name: bindparam(f"new_{name}") for name in new})
        .returning(*columns)
    )


def _is_repeat(actual: Entry, to: State, values: Mapping[str, Any]) -> bool:
    """Whether a row already says what a change would make it say, whenever that was."""
    if actual.state != to or to in _GIVES_A_RIGHT:
        return False
    return all(getattr(actual, name) == value for name, value in values.items() if not name.endswith("_at"))


def _note(values: Mapping[str, Any]) -> dict[str, JsonValue]:
    """What a change stored, for the history; moments are in the event itself."""
    return {name: value for name, value in values.items() if not name.endswith("_at")}
