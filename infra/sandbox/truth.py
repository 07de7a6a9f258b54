"""The truth: what was asked, accepted, refused and charged. Held in memory and in SQLite.

Jobs, uploads, refusals and settings are committed before anybody hears of them, so a SIGKILL loses nothing of those
that was answered. Mere counts, of calls and of questions about a job, are written together ``_WRITE_SECONDS`` later;
a SIGKILL may lose that moment of them.
"""

import asyncio
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from infra.sandbox.knobs import Knobs
from infra.sandbox.records import Job, PrivateAvatar, Refusal, Upload, Vendor

_TABLES = """
CREATE TABLE IF NOT EXISTS records (kind TEXT, id TEXT, document TEXT NOT NULL, PRIMARY KEY (kind, id));
CREATE TABLE IF NOT EXISTS counts (vendor TEXT, what TEXT, number INTEGER NOT NULL, PRIMARY KEY (vendor, what));
"""
_OVER_RATE = "over rate"
_WRITE_SECONDS = 0.1
_PUT_RECORD = "INSERT INTO records VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET document = excluded.document"
_PUT_COUNT = "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number"
R = TypeVar("R", bound=BaseModel)


class Truth:
    """Everything that survives a restart. Used by the event loop's thread only."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        # A power cut may cost the last writes; a killed process does not.
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.executescript(_TABLES)
        self._load()

    def _load(self) -> None:
        self.jobs = {job.id: job for job in self._read(Job)}
        self.uploads = {upload.id: upload for upload in self._read(Upload)}
        self.avatars = {avatar.id: avatar for avatar in self._read(PrivateAvatar)}
        self.refusals = list(self._read(Refusal))
        self.knobs = next(self._read(Knobs), Knobs())
        rows = self._database.execute("SELECT vendor, what, number FROM counts")
        self._counts = Counter({(vendor, what): number for vendor, what, number in rows})
        self._bound: defaultdict[Vendor, Decimal] = defaultdict(Decimal)
        self._bound_by: dict[str, Decimal] = {}
        for job in self.jobs.values():
            self._bind(job)
        self._counted: set[tuple[Vendor, str]] = set()
        self._asked_for: set[str] = set()
        self._writing: asyncio.TimerHandle | None = None

    def _read(self, kind: type[R]) -> Iterator[R]:
        rows = self._database.execute(
            "SELECT document FROM records WHERE kind = ? ORDER BY rowid", (kind.__name__,)
        ).fetchall()
        return (kind.model_validate_json(document) for (document,) in rows)

    def _write(self, record: BaseModel, record_id: str) -> None:
        self._database.execute(_PUT_RECORD, (type(record).__name__, record_id, record.model_dump_json()))

    def _bind(self, job: Job) -> None:
        """Keep the sum of all jobs' credits up to date, so that nobody needs to add them up."""
        bound = job.charged + job.reserved
        self._bound[job.vendor] += bound - self._bound_by.get(job.id, Decimal(0))
        self._bound_by[job.id] = bound

    def keep(self, record: BaseModel, record_id: str) -> None:
        """Keep a vendor's own kind of record as it is now; its class names the kind."""
        self._write(record, record_id)

    def kept(self, kind: type[R]) -> list[R]:
        """All kept records of a kind, oldest first."""
        return list(self._read(kind))

    def save_job(self, job: Job) -> None:
        """Keep a job as it is now."""
        self._write(job, job.id)
        self.jobs[job.id] = job
        self._asked_for.discard(job.id)
        self._bind(job)

    def save_upload(self, upload: Upload) -> None:
        """Keep an upload as it is now."""
        self._write(upload, upload.id)
        self.uploads[upload.id] = upload

    def save_avatar(self, avatar: PrivateAvatar) -> None:
        """Keep a private avatar."""
        self._write(avatar, avatar.id)
        self.avatars[avatar.id] = avatar

    def save_knobs(self, knobs: Knobs) -> None:
        """Keep the settings."""
        self._write(knobs, "")
        self.knobs = knobs

    def add_refusal(self, refusal: Refusal) -> None:
        """Remember a call that was judged wrong."""
        self._write(refusal, str(len(self.refusals)))
        self.refusals.append(refusal)

    def count_call(self, vendor: Vendor, call: str) -> None:
        """Count a call, however it will end."""
        self._count(vendor, call)

    def count_over_rate(self, vendor: Vendor) -> None:
        """Count a query that came too early."""
        self._count(vendor, _OVER_RATE)

    def count_query(self, job: Job) -> None:
        """Count a question about a job, and note the first one after its end."""
        job.queries += 1
        if job.is_over and job.seen_ended_at is None:
            job.seen_ended_at = time.time()
        self._asked_for.add(job.id)
        self._write_soon()

    def _count(self, vendor: Vendor, what: str) -> None:
        self._counts[vendor, what] += 1
        self._counted.add((vendor, what))
        self._write_soon()

    def _write_soon(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().call_later(_WRITE_SECONDS, self._write_counts)

    def _write_counts(self) -> None:
        """Write all counts that have changed, in one transaction."""
        self._drop_timer()
        counts = [(vendor, what, self._counts[vendor, what]) for vendor, what in self._counted]
        jobs = [self.jobs[job_id] for job_id in self._asked_for]
        self._database.execute("BEGIN")
        self._database.executemany(_PUT_COUNT, counts)
        self._database.executemany(_PUT_RECORD, [(Job.__name__, job.id, job.model_dump_json()) for job in jobs])
        self._database.execute("COMMIT")
        self._counted.clear()
        self._asked_for.clear()

    def _drop_timer(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def job(self, vendor: Vendor, call: str, job_id: str) -> Job | None:
        """A job of this vendor and kind, None for an unknown id."""
        job = self.jobs.get(job_id)
        return job if job and (job.vendor, job.call) == (vendor, call) else None

    def remaining_credits(self, vendor: Vendor) -> Decimal:
        """What the account can still spend: reserved credits are gone until their job ends."""
        return self.knobs.credits - self._bound[vendor]

    def forget(self) -> None:
        """Empty everything, settings included."""
        self._drop_timer()
        self._database.executescript("DELETE FROM records; DELETE FROM counts;")
        self._load()

    def close(self) -> None:
        """Write what is not written yet, and close the database."""
        self._write_counts()
        self._database.close()

    def report(self, vendor: Vendor, words: dict[str, str]) -> dict[str, Any]:
        """The truth about one vendor, as JSON.

        Args:
            vendor: which one.
            words: the vendor's status word for each state of a job.
        """
        jobs = [job for job in self.jobs.values() if job.vendor == vendor]
        return {
            "submissions": [_submission(job, words) for job in jobs if job.call == "submit"],
            "avatar_submissions": [_submission(job, words) for job in jobs if job.call == "avatar_submit"],
            "notices": [_notice(job) for job in jobs if job.notice],
            **self.traffic(vendor),
        }

    def traffic(self, vendor: Vendor) -> dict[str, Any]:
        """The calls of one vendor's customers, and what was wrong with them, as JSON."""
        counts = {what: number for (whose, what), number in self._counts.items() if whose == vendor}
        return {
            "refusals": [r.model_dump(exclude={"vendor"}) for r in self.refusals if r.vendor == vendor],
            "over_rate": counts.pop(_OVER_RATE, 0),
            "calls": counts,
        }

    def polls(self, vendor: Vendor) -> list[dict[str, Any]]:
        """How one vendor's videos were asked for, as JSON; times in seconds since the epoch."""
        jobs = (job for job in self.jobs.values() if (job.vendor, job.call) == (vendor, "submit"))
        return [
            {
                "job_id": job.id,
                "at": job.at,
                "ended": job.ended,
                "queries": job.queries,
                "seen_ended_at": job.seen_ended_at,
            }
            for job in jobs
        ]


def _submission(job: Job, words: dict[str, str]) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "at": job.at,
        "ended": job.ended,
        "body": job.body,
        "files": job.files,
        "charged": f"{job.charged:f}",
        "status": words[job.state],
        "reason": job.reason,
        "notice_url": job.notice.url if job.notice else None,
    }


def _notice(job: Job) -> dict[str, Any]:
    return {"job_id": job.id, **(job.notice.model_dump() if job.notice else {})}
