"""Alembic environment of the ledger; ``Ledger.open`` runs it."""
