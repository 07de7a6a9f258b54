"""What batches need: work and doubt of a render's time, batches and their rows, shared call rates, claims."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_HAS_POLL = sa.text("next_poll_at IS NOT NULL")


def upgrade() -> None:
    """Add two columns and four tables; two indexes now lead with the provider, as the queries do."""
    op.add_column("submissions", sa.Column("work", sa.Float(), nullable=True))
    op.add_column("submissions", sa.Column("unfinished_at", _moment(), nullable=True))
    op.drop_index("ix_submissions_updated_at", "submissions")
    op.create_index("ix_submissions_provider_updated_at", "submissions", ["provider", "updated_at"], unique=False)
    op.drop_index("ix_submissions_next_poll_at", "submissions")
    op.create_index(
        "ix_submissions_provider_next_poll_at",
        "submissions",
        ["provider", "next_poll_at"],
        unique=False,
        sqlite_where=_HAS_POLL,
        postgresql_where=_HAS_POLL,
    )
    _create_batches()
    _create_batch_rows()
    _create_rates_and_claims()


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _create_batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=False),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("updated_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )


def _create_batch_rows() -> None:
    op.create_table(
        "batch_rows",
        sa.Column("batch_id", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=200), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("render_key", sa.String(length=64), nullable=True),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("fix", sa.Text(), nullable=False),
        sa.Column("video", sa.Text(), nullable=False),
        sa.Column("poster", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=True),
        # SQLite has no exact decimals, so it keeps whole millionths.
        sa.Column("estimate", sa.Numeric(20, 6).with_variant(sa.BigInteger(), "sqlite"), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=False),
        sa.Column("updated_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "run_id", "number", name="pk_batch_rows"),
    )
    op.create_index("ix_batch_rows_batch_id_run_id_state", "batch_rows", ["batch_id", "run_id", "state"], unique=False)
    op.create_index("ix_batch_rows_render_key", "batch_rows", ["render_key"], unique=False)


def _create_rates_and_claims() -> None:
    op.create_table(
        "rates",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("endpoint", sa.String(length=500), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "endpoint", name="pk_rates"),
    )
    op.create_table(
        "claims",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_claims"),
    )
