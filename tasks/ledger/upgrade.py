"""Brings a database to the tables of this version, once, however many processes start together."""

import logging
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tasks.errors import StudioUnavailable
from tasks.ledger.database import Database
from tasks.ledger.schema import REVISION

logger = logging.getLogger("studio.ledger")

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number, as long as it is the same for every process of the studio.
_ADVISORY_LOCK = 7_310_412_001


async def upgrade(database: Database) -> None:
    """Upgrade the tables if they are older than this version.

    Raises:
        StudioUnavailable: they are newer than this version.
    """
    if await database.read(_is_current):
        return
    await database.write(_upgrade)


async def _is_current(connection: AsyncConnection) -> bool:
    return await connection.run_sync(_revision) == REVISION


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


async def _upgrade(connection: AsyncConnection) -> None:
    # On SQLite the write transaction itself is the lock.
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    await connection.run_sync(_run_migrations)


def _run_migrations(connection: Connection) -> None:
    before = _revision(connection)
    if before == REVISION:
        return
    # Loads slowly, and only the first start ever needs it.
    from alembic import command  # noqa: PLC0415 - loads too slowly
    from alembic.config import Config  # noqa: PLC0415 - loads too slowly
    from alembic.util import CommandError  # noqa: PLC0415 - loads too slowly

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        command.upgrade(config, REVISION)
    except CommandError as error:
        raise StudioUnavailable(
            f"the ledger is at revision {before}, which this version of the studio does not know.",
            fix="Update the studio; an older one must not write to a newer ledger.",
        ) from error
    logger.info("ledger upgraded before=%s after=%s", before, REVISION)
