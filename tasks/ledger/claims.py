"""Things that exactly one of several workers takes for itself."""

from datetime import timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.batch_models import Claim
from tasks.ledger.part import LedgerPart
from tasks.ledger.rows import insert_or
from tasks.ledger.schema import claims


class LedgerClaims(LedgerPart):
    """Claims on names, such as that of a manifest in the inbox."""

    async def find_claim(self, name: str) -> Claim | None:
        """Who has claimed a name, if anybody."""

        async def work(connection: AsyncConnection) -> Claim | None:
            found = (await connection.execute(select(claims).where(claims.c.name == name))).mappings().first()
            return Claim.model_validate(dict(found)) if found else None

        return await self._database.read(work)

    async def claim(self, name: str, owner: str, *, stale_after: timedelta) -> bool:
        """Take a name; of many who try exactly one is told True.

        Args:
            name: what is claimed.
            owner: who claims it; its own repeat is True, and makes the claim young again.
            stale_after: the age at which somebody else's claim may be taken over.
        """
        now = self._clock()

        async def work(connection: AsyncConnection) -> bool:
            new = insert_or(connection, claims).values(name=name, owner=owner, at=now)
            statement = new.on_conflict_do_update(
                index_elements=[claims.c.name],
                set_={"owner": new.excluded.owner, "at": new.excluded.at},
                where=or_(claims.c.owner == new.excluded.owner, claims.c.at < now - stale_after),
            )
            return (await connection.execute(statement.returning(claims.c.name))).first() is not None

        return await self._database.write(work)

    async def release_claim(self, name: str, owner: str) -> None:
        """Give a name back; somebody else's claim stays."""
        statement = delete(claims).where(claims.c.name == name, claims.c.owner == owner)
        await self._database.write(lambda connection: connection.execute(statement))
