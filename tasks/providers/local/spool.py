"""The local renderer's jobs on disk. Whatever is there under its final name is whole.

jobs/<id>/job.json       what to render; written once, with the folder
          status.json    where the job stands; written by the pool only
          progress.json  0 to 1; written by the renderer
          result.mp4     the video, moved here when complete
          report.json    facts about it; written last, so it makes the result valid
          error.json     why the renderer gave up
          log.txt        what it said
media/<sha256>.<ext>     uploaded files, each with its facts beside it
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.providers.base import JobPhase
from tasks.providers.local.models import RenderJob, RenderReport

JOB_ID = re.compile(r"^[0-9a-f]{8,64}-[0-9]{1,6}$")
_MEDIA_NAME = re.compile(r"^[0-9a-f]{64}\.[a-z0-9]{1,5}$")
_NEW, _GONE = ".new-", ".gone-"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MediaFacts(_File):
    """What the renderer need not find out again about an uploaded file."""

    size: int
    seconds: float | None


class Ticket(_File):
    """What to render, with media as names in the spool, so that the spool may move."""

    render_key: str
    submitted_ns: int
    avatar_kind: Literal["portrait", "clip"]
    avatar: str
    recording: str | None
    script: str | None
    voice: str | None
    speed: float
    fps: Literal[24, 25, 30]
    short_side: int | None


class Status(_File):
    """Where a job stands, and in which process."""

    phase: JobPhase = "queued"
    deaths: int = Field(0, description="How often its renderer died.")
    pid: int | None = None
    pid_started: float | None = Field(None, description="Start of that process, seconds since the epoch.")
    reason: str = ""
    changed_at: float = Field(default_factory=time.time, description="Seconds since the epoch.")


class Failure(_File):
    """Why a renderer gave up."""

    reason: str


class Outcome(_File):
    """A finished render."""

    report: RenderReport
    size: int
    md5: str


F = TypeVar("F", bound=_File)


class Spool:
    """The folder of jobs and media, shared by providers, one pool and its renderers."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.jobs = self.root / "jobs"
        self.media = self.root / "media"

    def prepare(self) -> None:
        """Create the folders, for this user only."""
        for folder in (self.root, self.jobs, self.media):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def identity(self) -> str:
        """A random name that stays with this spool; made at the first use, once among racing processes."""
        path = self.root / "id"
        if not path.exists():
            self.prepare()
            draft = self.root / f"{_NEW}{uuid.uuid4().hex}"
            write_whole(draft, uuid.uuid4().hex[:16].encode())
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        return path.read_text(encoding="ascii")

    # Media

    def add_media(self, source: Path, name: str, facts: MediaFacts) -> str:
        """Bring a file in under its digest; a file that is there already is kept and counts as fresh."""
        self.prepare()
        target = self.media / name
        if not (target.exists() and target.stat().st_size == facts.size):
            draft = self.media / f"{_NEW}{uuid.uuid4().hex}"
            _link_or_copy(source, draft)
            draft.rename(target)
        write_whole(_facts_path(target), facts.model_dump_json().encode())
        os.utime(target)
        return name

    def media_facts(self, name: str) -> MediaFacts | None:
        """Facts about an uploaded file, or None when it is not there."""
        if not _MEDIA_NAME.match(name) or not (self.media / name).exists():
            return None
        return _read(_facts_path(self.media / name), MediaFacts)

    # Jobs

    def create_job(self, job_id: str, ticket: Ticket) -> bool:
        """Put a job in the queue; False if there is one of this id already, which is left as it is."""
        self.prepare()
        draft = self.jobs / f"{_NEW}{uuid.uuid4().hex}"
        draft.mkdir()
        write_whole(draft / "job.json", ticket.model_dump_json().encode())
        write_whole(draft / "status.json", Status().model_dump_json().encode())
        try:
            draft.rename(self.job_folder(job_id))
        except OSError:
            shutil.rmtree(draft)
            if not self.has_job(job_id):
                raise
            return False
        _sync(self.jobs)
        return True

    def job_folder(self, job_id: str) -> Path:
        """The folder of a job; ``ValueError`` for what cannot be a job id."""
        if not JOB_ID.match(job_id):
            raise ValueError(f"{job_id!r} is not the id of a local job")
        return self.jobs / job_id

    def has_job(self, job_id: str) -> bool:
        """Whether the job was submitted and is not pruned."""
        return bool(JOB_ID.match(job_id)) and (self.jobs / job_id / "job.json").exists()

    def job_ids(self) -> Iterator[str]:
        """Every job there is, in no order."""
        with os.scandir(self.jobs) as found:
            yield from (entry.name for entry in found if JOB_ID.match(entry.name))

    def ticket(self, job_id: str) -> Ticket | None:
        """What to render, or None when it is missing or damaged."""
        return _read(self.job_folder(job_id) / "job.json", Ticket)

    def status(self, job_id: str) -> Status:
        """Where the job stands; a damaged record counts as failed, as nobody knows what was tried."""
        found = _read(self.job_folder(job_id) / "status.json", Status)
        return found or Status(phase="failed", reason="the job's record on disk is damaged or gone", changed_at=0)

    def set_status(self, job_id: str, status: Status) -> None:
        """Store where the job stands."""
        write_whole(self.job_folder(job_id) / "status.json", status.model_dump_json().encode())

    def render_job(self, ticket: Ticket) -> RenderJob:
        """The ticket with real paths."""
        return RenderJob(
            avatar_kind=ticket.avatar_kind,
            avatar_path=self.media / ticket.avatar,
            recording_path=self.media / ticket.recording if ticket.recording else None,
            script=ticket.script,
            voice=ticket.voice,
            speed=ticket.speed,
            fps=ticket.fps,
            short_side=ticket.short_side,
        )

    def outcome(self, job_id: str) -> Outcome | None:
        """The finished render, or None while there is no complete one."""
        folder = self.job_folder(job_id)
        found = _read(folder / "report.json", Outcome)
        video = folder / "result.mp4"
        return found if found and video.exists() and video.stat().st_size == found.size else None

    def failure(self, job_id: str) -> Failure | None:
        """Why the renderer gave up, if it could say so."""
        return _read(self.job_folder(job_id) / "error.json", Failure)

    def progress(self, job_id: str) -> float | None:
        """How far the renderer is, 0 to 1."""
        try:
            return float(json.loads((self.job_folder(job_id) / "progress.json").read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def prune(self, *, older_than: float) -> int:
        """Remove finished jobs, and media no unfinished job needs, once they are older than some seconds."""
        limit = time.time() - older_than
        needed: set[str] = set()
        removed = 0
        for job_id in list(self.job_ids()):
            status = self.status(job_id)
            if status.phase in {"queued", "running"}:
                ticket = self.ticket(job_id)
                needed |= {ticket.avatar, ticket.recording or ""} if ticket else set()
            elif max(status.changed_at, self.job_folder(job_id).stat().st_ctime) < limit:
                self.job_folder(job_id).rename(self.jobs / f"{_GONE}{uuid.uuid4().hex}")
                removed += 1
        for path in self._leftovers(needed, limit):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        return removed

    def _leftovers(self, needed: set[str], limit: float) -> Iterator[Path]:
        yield from self.jobs.glob(f"{_GONE}*")
        yield from (path for path in self.jobs.glob(f"{_NEW}*") if _changed_before(path, limit))
        for path in self.media.iterdir():
            if path.name.removesuffix(".json") not in needed and _changed_before(path, limit):
                yield path


def _changed_before(path: Path, limit: float) -> bool:
    try:
        return path.stat().st_ctime < limit
    except FileNotFoundError:
        # A draft that got its final name meanwhile.
        return False


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is either as before or complete, also after a power cut."""
    draft = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, kind: type[F]) -> F | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None


def _facts_path(media: Path) -> Path:
    return media.with_name(f"{media.name}.json")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copyfile(source, target)
