"""Run by Alembic, on the connection and inside the transaction that ``tasks.ledger.upgrade`` hands in."""

from alembic import context

from tasks.ledger.schema import metadata

# SQLite alters tables by copying them, which Alembic calls batch mode.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
