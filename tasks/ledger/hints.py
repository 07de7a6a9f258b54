"""Job ids that notices named for an order. Anybody may send a notice, so this is where to look, never a fact."""

import logging
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.ledger.finding import select_order
from tasks.ledger.rows import insert_or, wait_turn
from tasks.ledger.schema import hints

logger = logging.getLogger("studio.ledger")

MOST_PER_ORDER = 20
LONGEST_JOB_ID = 200


async def add_hint(connection: AsyncConnection, provider: str, order_id: str, job_id: str, now: datetime) -> None:
    """Keep a hint for an order that the ledger knows; whoever floods the studio fills no disk with it."""
    query = select_order(provider, order_id)
    if query is None or not job_id or len(job_id) > LONGEST_JOB_ID or (await connection.execute(query)).first() is None:
        logger.warning("hint ignored provider=%s order=%.64r", provider, order_id)
        return
    await wait_turn(connection, "hints", provider, order_id)
    of_order = (hints.c.provider == provider, hints.c.order_id == order_id)
    if (await connection.scalar(select(func.count()).select_from(hints).where(*of_order)) or 0) >= MOST_PER_ORDER:
        logger.warning("hint ignored, the order has many provider=%s order=%s", provider, order_id)
        return
    values = {"provider": provider, "order_id": order_id, "job_id": job_id, "at": now}
    await connection.execute(insert_or(connection, hints).values(values).on_conflict_do_nothing())


async def list_hints(connection: AsyncConnection, provider: str, order_id: str) -> list[str]:
    """The job ids that were named for an order, oldest first."""
    query = (
        select(hints.c.job_id)
        .where(hints.c.provider == provider, hints.c.order_id == order_id)
        .order_by(hints.c.at, hints.c.job_id)
    )
    return list((await connection.scalars(query)).all())
