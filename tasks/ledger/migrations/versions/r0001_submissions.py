"""The first tables: submissions, their events, charges and restarts."""

from decimal import Decimal

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_OPEN = sa.text("state IN ('ambiguous', 'archived', 'reserved', 'submitted', 'submitting', 'succeeded')")
_HAS_JOB = sa.text("job_id IS NOT NULL")
_HAS_POLL = sa.text("next_poll_at IS NOT NULL")


def upgrade() -> None:
    """Create all tables."""
    _create_submissions()
    _create_submission_indexes()
    _create_events()
    _create_charges()
    _create_restarts()


def _moment() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _money() -> sa.Numeric[Decimal]:
    # SQLite has no exact decimals, so it keeps whole millionths.
    return sa.Numeric(20, 6).with_variant(sa.BigInteger(), "sqlite")


def _create_submissions() -> None:
    op.create_table(
        "submissions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("render_key", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("endpoint", sa.String(length=500), nullable=False),
        sa.Column("mode", sa.String(length=40), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("estimate", _money(), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=True),
        sa.Column("charged", sa.Boolean(), nullable=True),
        sa.Column("charge", _money(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("reserved_by", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("speech_seconds", sa.Float(), nullable=True),
        sa.Column("created_at", _moment(), nullable=False),
        sa.Column("updated_at", _moment(), nullable=False),
        sa.Column("submitted_at", _moment(), nullable=True),
        sa.Column("succeeded_at", _moment(), nullable=True),
        sa.Column("archived_at", _moment(), nullable=True),
        sa.Column("next_poll_at", _moment(), nullable=True),
        sa.CheckConstraint(
            "job_id IS NOT NULL OR state NOT IN ('submitted', 'succeeded', 'archived')", name="ck_submissions_has_job"
        ),
        sa.CheckConstraint("location IS NOT NULL OR state <> 'archived'", name="ck_submissions_has_location"),
        sa.CheckConstraint(
            "state IN ('ambiguous', 'archived', 'cancelled', 'failed', "
            "'reserved', 'submitted', 'submitting', 'succeeded')",
            name="ck_submissions_state",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_submissions"),
        sa.UniqueConstraint("render_key", "attempt", name="uq_submissions_render_key_attempt"),
    )


def _create_submission_indexes() -> None:
    op.create_index(
        "ix_submissions_job_id",
        "submissions",
        ["job_id"],
        unique=False,
        sqlite_where=_HAS_JOB,
        postgresql_where=_HAS_JOB,
    )
    op.create_index(
        "ix_submissions_next_poll_at",
        "submissions",
        ["next_poll_at"],
        unique=False,
        sqlite_where=_HAS_POLL,
        postgresql_where=_HAS_POLL,
    )
    op.create_index("ix_submissions_provider_created_at", "submissions", ["provider", "created_at"], unique=False)
    op.create_index(
        "ix_submissions_provider_mode_succeeded_at", "submissions", ["provider", "mode", "succeeded_at"], unique=False
    )
    op.create_index(
        "ix_submissions_provider_state",
        "submissions",
        ["provider", "state"],
        unique=False,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index("ix_submissions_reserved_by", "submissions", ["reserved_by"], unique=False)
    op.create_index("ix_submissions_state_updated_at", "submissions", ["state", "updated_at"], unique=False)
    op.create_index("ix_submissions_updated_at", "submissions", ["updated_at"], unique=False)
    op.create_index(
        "uq_submissions_job",
        "submissions",
        ["provider", "endpoint", "job_id"],
        unique=True,
        sqlite_where=_HAS_JOB,
        postgresql_where=_HAS_JOB,
    )
    op.create_index(
        "uq_submissions_open_render_key",
        "submissions",
        ["render_key"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("change_id", sa.Uuid(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("at", _moment(), nullable=False),
        sa.Column("before", sa.String(length=16), nullable=True),
        sa.Column("after", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=200), nullable=False),
        sa.Column("note", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="fk_events_submission_id"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.UniqueConstraint("change_id", name="uq_events_change_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_submission_id", "events", ["submission_id"], unique=False)


def _create_charges() -> None:
    op.create_table(
        "charges",
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("account", sa.String(length=200), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=False),
        sa.Column("at", _moment(), nullable=False),
        sa.Column("amount", _money(), nullable=False),
        sa.Column("unit", sa.String(length=20), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="fk_charges_submission_id"),
        sa.PrimaryKeyConstraint("provider", "account", "reference", name="pk_charges"),
    )
    op.create_index("ix_charges_submission_id", "charges", ["submission_id"], unique=False)


def _create_restarts() -> None:
    op.create_table(
        "restarts",
        sa.Column("flow_run_id", sa.String(length=200), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", _moment(), nullable=False),
        sa.Column("last_at", _moment(), nullable=False),
        sa.PrimaryKeyConstraint("flow_run_id", name="pk_restarts"),
    )
