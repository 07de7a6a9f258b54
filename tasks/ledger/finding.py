"""Queries that find submissions by what a person, a notice or a sweep knows of them."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, or_, select

from tasks.ledger.rows import key_begins
from tasks.ledger.schema import submissions
from tasks.ledger.states import State

SHORTEST_PREFIX = 6
_ORDER_ID = re.compile(r"([0-9a-f]{24})-([1-9][0-9]{0,8})")
_UNFINISHED = (State.RESERVED, State.SUBMITTING, State.AMBIGUOUS, State.SUBMITTED, State.SUCCEEDED)
_rows = submissions.c


def select_order(provider: str, order_id: str) -> Select[Any] | None:
    """The attempt that an order id names (24 digits of the render key, a hyphen, the attempt); None if it is none."""
    parts = _ORDER_ID.fullmatch(order_id)
    if parts is None:
        return None
    return (
        select(submissions)
        .where(key_begins(parts[1]), _rows.attempt == int(parts[2]), _rows.provider == provider)
        .order_by(_rows.created_at.desc())
        .limit(1)
    )


def select_job(provider: str, job_id: str) -> Select[Any]:
    """The submission that got a job id, the latest where several endpoints gave the same."""
    return (
        select(submissions)
        .where(_rows.job_id == job_id, _rows.provider == provider)
        .order_by(_rows.submitted_at.desc())
        .limit(1)
    )


def select_ids(ids: Collection[UUID]) -> Select[Any]:
    """The rows with these ids."""
    return select(submissions).where(_rows.id.in_(ids))


def select_latest(render_keys: Collection[str]) -> Select[Any]:
    """The latest attempts at these renders."""
    return select(submissions).where(_rows.render_key.in_(render_keys), _is_latest())


def select_reserved_by(provider: str, owners: Collection[str]) -> Select[Any]:
    """What these flow runs or batches reserved at a provider, oldest first."""
    return (
        select(submissions)
        .where(_rows.reserved_by.in_(owners), _rows.provider == provider)
        .order_by(_rows.created_at, _rows.id)
    )


def select_matching(prefix: str, limit: int) -> Select[Any]:
    """The latest attempts of all renders whose key begins with some hex digits, by key.

    Raises:
        ValueError: too short, or not hex digits.
    """
    if not re.fullmatch(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}", prefix):
        raise ValueError(f"{prefix!r} is not {SHORTEST_PREFIX} to 64 hex digits")
    return select(submissions).where(key_begins(prefix), _is_latest()).order_by(_rows.render_key).limit(limit)


def select_unattended(before: datetime, without: Collection[str], limit: int) -> Select[Any]:
    """Unfinished rows that nobody has touched since a moment and nobody means to poll soon, oldest first."""
    return (
        select(submissions)
        .where(
            _rows.state.in_(_UNFINISHED),
            *_not_of(without),
            _rows.updated_at < before,
            or_(_rows.next_poll_at.is_(None), _rows.next_poll_at < before),
        )
        .order_by(_rows.updated_at)
        .limit(limit)
    )


def select_due(provider: str, now: datetime, limit: int) -> Select[Any]:
    """Accepted renders whose next poll has come, most overdue first."""
    return (
        select(submissions)
        .where(_rows.provider == provider, _rows.state == State.SUBMITTED, _rows.next_poll_at <= now)
        .order_by(_rows.next_poll_at)
        .limit(limit)
    )


def select_in_states(
    states: Collection[State], provider: str | None, without: Collection[str], limit: int
) -> Select[Any]:
    """Rows in some states, the longest untouched first."""
    at_provider = () if provider is None else (_rows.provider == provider,)
    return (
        select(submissions)
        .where(_rows.state.in_(sorted(states)), *at_provider, *_not_of(without))
        .order_by(_rows.updated_at)
        .limit(limit)
    )


def select_changed(provider: str, since: datetime) -> Select[Any]:
    """Any row of a provider that has changed since a moment."""
    return select(submissions).where(_rows.provider == provider, _rows.updated_at >= since).limit(1)


def select_stale(state: State, before: datetime, without: Collection[str], limit: int) -> Select[Any]:
    """Rows that have been in a state since before a moment, oldest first."""
    return (
        select(submissions)
        .where(_rows.state == state, _rows.updated_at < before, *_not_of(without))
        .order_by(_rows.updated_at)
        .limit(limit)
    )


def select_archived_since(since: datetime, without: Collection[str], limit: int) -> Select[Any]:
    """Rows that came into the archive since a moment, newest first."""
    return (
        select(submissions)
        .where(_rows.state == State.ARCHIVED, _rows.updated_at >= since, *_not_of(without))
        .order_by(_rows.updated_at.desc())
        .limit(limit)
    )


def _not_of(providers: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (_rows.provider.not_in(sorted(providers)),) if providers else ()


def _is_latest() -> ColumnElement[bool]:
    other = submissions.alias()
    return (
        _rows.attempt
        == select(func.max(other.c.attempt)).where(other.c.render_key == _rows.render_key).scalar_subquery()
    )
