"""What paid providers need: context to finish a video, hints of notices, breakers, and an index for monthly caps."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add one column, one index and two tables; rows that are there get an empty context."""
    op.add_column("submissions", sa.Column("context", sa.JSON(), nullable=False, server_default=sa.text("'{}'")))
    op.create_index("ix_submissions_provider_submitted_at", "submissions", ["provider", "submitted_at"], unique=False)
    op.create_table(
        "hints",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("order_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("provider", "order_id", "job_id", name="pk_hints"),
    )
    op.create_table(
        "breakers",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("endpoint", sa.String(length=500), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("open_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "endpoint", name="pk_breakers"),
    )
