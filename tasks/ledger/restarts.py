"""How often a crashed flow run was started again, for the cap on restarts."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.rows import insert_or
from tasks.ledger.schema import restarts


async def add_restart(connection: AsyncConnection, flow_run_id: str, now: datetime) -> int:
    """Count one more restart and return how many there were."""
    new = insert_or(connection, restarts).values(flow_run_id=flow_run_id, count=1, first_at=now, last_at=now)
    statement = new.on_conflict_do_update(
        index_elements=[restarts.c.flow_run_id], set_={"count": restarts.c.count + 1, "last_at": now}
    )
    return int((await connection.execute(statement.returning(restarts.c.count))).scalar_one())
