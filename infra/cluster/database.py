"""The one-shot service ``database``: two roles, two databases, both sets of tables, and Prefect's own block types.

Prefect's server and the ledger each have a role that owns its own database and sees no other. Both are read from the
addresses that their users get, so there is one place where a password is written. Runs at every start, changes nothing
that is as it should be, and also brings a changed password into PostgreSQL.
"""

import asyncio
import logging

from prefect.server.database import provide_database_interface
from prefect.server.models.block_registration import run_block_auto_registration
from prefect.settings import get_current_settings
from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from infra.cluster.settings import DatabaseSettings
from tasks.errors import StudioError
from tasks.ledger.store import Ledger
from tasks.settings import get_settings

log = logging.getLogger("studio.cluster.database")


async def prepare_databases() -> None:
    """Make roles and databases, then their tables.

    Raises:
        StudioError: an address names no role, password or database, or is not PostgreSQL's.
        sqlalchemy.exc.DBAPIError: PostgreSQL refused something.
    """
    prefect_url = get_current_settings().server.database.connection_url
    if prefect_url is None:
        raise StudioError("Prefect has no database.", fix="Set PREFECT_SERVER_DATABASE_CONNECTION_URL.")
    ledger_url = get_settings().ledger_database_url()
    # Roles and databases are made outside of transactions.
    superuser = DatabaseSettings().postgres_url.get_secret_value()
    engine = create_async_engine(superuser, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            for url in (prefect_url.get_secret_value(), ledger_url):
                await _make_database(connection, make_url(url))
    finally:
        await engine.dispose()
    database = provide_database_interface()
    await database.create_db()
    async with await database.session() as session:
        await run_block_auto_registration(session=session)
    log.info("tables are up to date database=prefect")
    async with await Ledger.open(ledger_url):
        log.info("tables are up to date database=ledger")


async def _make_database(connection: AsyncConnection, url: URL) -> None:
    """Make the role and the database of an address. Neither statement takes parameters, so PostgreSQL quotes them."""
    if not (url.get_backend_name() == "postgresql" and url.username and url.password and url.database):
        raise StudioError(
            f"{url.render_as_string()} is no address of a PostgreSQL database with role and password.",
            fix="Write postgresql+asyncpg://role:password@host:port/database.",
        )
    names = {"role": url.username, "password": str(url.password), "database": url.database}
    known = await connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), names)
    form = f"'{'ALTER' if known else 'CREATE'} ROLE %I LOGIN PASSWORD %L'"
    await _run(connection, f"format({form}, CAST(:role AS text), CAST(:password AS text))", names)
    if await connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :database"), names):
        return
    await _run(connection, "format('CREATE DATABASE %I OWNER %I', CAST(:database AS text), CAST(:role AS text))", names)
    await _run(connection, "format('REVOKE ALL ON DATABASE %I FROM PUBLIC', CAST(:database AS text))", names)
    log.info("made database=%s role=%s", url.database, url.username)


async def _run(connection: AsyncConnection, statement: str, names: dict[str, str]) -> None:
    quoted = await connection.scalar(text(f"SELECT {statement}"), names)
    await connection.exec_driver_sql(quoted)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(prepare_databases())
