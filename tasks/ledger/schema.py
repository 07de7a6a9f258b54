"""The ledger's tables. Every change here needs a migration in ``migrations/versions``."""

from collections.abc import Iterable

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    text,
)

from tasks.ledger.columns import FreeText, Money, UtcDateTime
from tasks.ledger.states import OPEN, State

REVISION = "0004"
"""The migration that these tables are at; ``Ledger.open`` brings older databases to it."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _one_of(states: Iterable[State]) -> str:
    return "state IN (" + ", ".join(f"'{state}'" for state in sorted(states)) + ")"


IS_OPEN = text(_one_of(OPEN))
"""Condition of the partial indexes; a query that repeats it word for word can use them."""
_HAS_JOB = text("job_id IS NOT NULL")
_HAS_POLL = text("next_poll_at IS NOT NULL")

submissions = Table(
    "submissions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("render_key", String(64), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("provider", String(40), nullable=False),
    Column("account", String(200), nullable=False),
    Column("endpoint", String(500), nullable=False),
    Column("mode", String(40), nullable=False),
    Column("job_id", FreeText),
    Column("payload", JSON, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("context", JSON, nullable=False, server_default=text("'{}'")),
    Column("estimate", Money),
    Column("unit", String(20)),
    Column("charged", Boolean),
    Column("charge", Money),
    Column("reason", FreeText, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("location", FreeText),
    Column("owner", String(200), nullable=False),
    Column("reserved_by", String(200), nullable=False),
    Column("title", FreeText, nullable=False),
    Column("speech_seconds", Float),
    Column("work", Float),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("submitted_at", UtcDateTime),
    Column("succeeded_at", UtcDateTime),
    Column("archived_at", UtcDateTime),
    Column("next_poll_at", UtcDateTime),
    Column("unfinished_at", UtcDateTime),
    UniqueConstraint("render_key", "attempt"),
    CheckConstraint(_one_of(State), name="state"),
    CheckConstraint("job_id IS NOT NULL OR state NOT IN ('submitted', 'succeeded', 'archived')", name="has_job"),
    CheckConstraint("location IS NOT NULL OR state <> 'archived'", name="has_location"),
    Index("uq_submissions_open_render_key", "render_key", unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
    Index(
        "uq_submissions_job",
        "provider",
        "endpoint",
        "job_id",
        unique=True,
        sqlite_where=_HAS_JOB,
        postgresql_where=_HAS_JOB,
    ),
    Index("ix_submissions_job_id", "job_id", sqlite_where=_HAS_JOB, postgresql_where=_HAS_JOB),
    Index("ix_submissions_provider_state", "provider", "state", sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
    Index("ix_submissions_state_updated_at", "state", "updated_at"),
    # These two lead with the provider: SQLite prefers an equal column, and would else read all rows of the provider
    # or of the state, a second after a second.
    Index("ix_submissions_provider_updated_at", "provider", "updated_at"),
    Index(
        "ix_submissions_provider_next_poll_at",
        "provider",
        "next_poll_at",
        sqlite_where=_HAS_POLL,
        postgresql_where=_HAS_POLL,
    ),
    # Serves the expected finish, learnt per provider and mode from the latest successes.
    Index("ix_submissions_provider_mode_succeeded_at", "provider", "mode", "succeeded_at"),
    # Serves the caps on what one run and one month may spend.
    Index("ix_submissions_reserved_by", "reserved_by"),
    Index("ix_submissions_provider_created_at", "provider", "created_at"),
    Index("ix_submissions_provider_submitted_at", "provider", "submitted_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    # Names the call that made the change, so that a call whose commit answer was lost recognises its own work.
    Column("change_id", Uuid, nullable=False, unique=True),
    Column("submission_id", Uuid, ForeignKey("submissions.id"), nullable=False, index=True),
    Column("at", UtcDateTime, nullable=False),
    Column("before", String(16)),
    Column("after", String(16), nullable=False),
    Column("who", String(200), nullable=False),
    Column("note", JSON, nullable=False),
    sqlite_autoincrement=True,
)

charges = Table(
    "charges",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("account", String(200), primary_key=True),
    Column("reference", String(200), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("amount", Money, nullable=False),
    Column("unit", String(20), nullable=False),
    Column("submission_id", Uuid, ForeignKey("submissions.id"), index=True),
    Column("note", JSON, nullable=False),
)

hints = Table(
    "hints",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("order_id", String(64), primary_key=True),
    Column("job_id", FreeText, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
)

breakers = Table(
    "breakers",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("endpoint", String(500), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("opened_at", UtcDateTime),
    Column("open_until", UtcDateTime),
    Column("reason", FreeText, nullable=False),
)

restarts = Table(
    "restarts",
    metadata,
    Column("flow_run_id", String(200), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("first_at", UtcDateTime, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", FreeText, nullable=False),
    Column("source", FreeText, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("run_id", String(200), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

batch_rows = Table(
    "batch_rows",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    # Two runs of one batch at once must not take each other's outcomes away.
    Column("run_id", String(200), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("title", FreeText, nullable=False),
    Column("render_key", String(64)),
    Column("provider", String(40), nullable=False),
    Column("reason", FreeText, nullable=False),
    Column("fix", FreeText, nullable=False),
    Column("video", FreeText, nullable=False),
    Column("poster", FreeText, nullable=False),
    Column("manifest", FreeText, nullable=False),
    Column("seconds", Float),
    Column("estimate", Money),
    Column("unit", String(20), nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_batch_rows_batch_id_run_id_state", "batch_id", "run_id", "state"),
    Index("ix_batch_rows_render_key", "render_key"),
)

rates = Table(
    "rates",
    metadata,
    Column("provider", String(40), primary_key=True),
    Column("endpoint", String(500), primary_key=True),
    # Seconds since 1970: the next call may be made then.
    Column("next_at", Double, nullable=False),
)

claims = Table(
    "claims",
    metadata,
    Column("name", FreeText, primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("at", UtcDateTime, nullable=False),
)

stream_events = Table(
    "stream_events",
    metadata,
    # All that tells one event from another, so that a callback that comes twice is kept once.
    Column("task_id", String(200), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("drive_id", String(200), primary_key=True),
    Column("status", Integer, primary_key=True, autoincrement=False),
    Column("happened_at", UtcDateTime, primary_key=True),
    Column("reason", FreeText, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Index("ix_stream_events_received_at", "received_at"),
)
