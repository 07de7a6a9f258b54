"""Renders that are killed, reconciled, asked for again, settled; what ledger, archive and sandbox say of them."""

import asyncio
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np

from tasks.label import label_digest
from tasks.ledger import Entry, Event, State
from tasks.ledger.store import Ledger
from tasks.models import Labels
from tests.chaos.kill_points import KillPoint, Vendor
from tests.chaos.nursery import Child, Nursery, wait_for_some
from tests.e2e.api import StudioApi
from tests.media_files import write_clip, write_picture, write_wav
from tests.servers.sandbox_control import SandboxControl

Kind = Literal["topview", "topview, no upload", "mingyan"]
FACE, CLIP = "s3://staging/chaos/face.png", "s3://staging/chaos/clip.mp4"
AT_ONCE = 3
"""Runs at the same time on two cores."""
# What is killed has time; what settles it does not wait for the dead.
PATIENT, IMPATIENT = {"STUDIO_SUBMIT_TIMEOUT_SECONDS": "40"}, {"STUDIO_SUBMIT_TIMEOUT_SECONDS": "3"}
# A run that is killed and started again and again should not spend its lives waiting for itself.
RESTLESS = {"STUDIO_SUBMIT_TIMEOUT_SECONDS": "8"}
MOST_RECONCILES = 6


@dataclass
class Life:
    """One render of its own, through kill, reconcile, repeat and settling."""

    kind: Kind
    point: str
    request: dict[str, Any]
    token: str
    """Occurs in the payload of this render and in what the sandbox was sent, and nowhere else."""
    child: Child | None = None
    kills: int = 0
    again: dict[str, Any] = field(default_factory=dict)
    """What the same request answered after the reconcile."""
    last: dict[str, Any] = field(default_factory=dict)
    """What it answered after everything was settled."""

    @property
    def vendor(self) -> Vendor:
        """Whose API it goes to."""
        return "mingyan" if self.kind == "mingyan" else "topview"


@dataclass(frozen=True)
class Facts:
    """What is known of one render at one moment."""

    attempts: list[Entry]
    paid: list[dict[str, Any]]
    """Accepted submissions, by the sandbox's own count."""
    handed_out: bool

    @property
    def entry(self) -> Entry | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def state(self) -> str:
        """Where the ledger has it."""
        return str(self.attempts[-1].state) if self.attempts else "no row"


class Place:
    """A running studio with its sandbox, and the nursery of the runs in it."""

    def __init__(self, api: StudioApi, nursery: Nursery, folder: Path) -> None:
        self.api, self.nursery = api, nursery
        self.sandbox = SandboxControl(api.studio.config.sandbox_address)
        self._folder = folder
        self._seeds = itertools.count(1)
        asyncio.run(self._stage())

    async def _stage(self) -> None:
        store = self.api.store()
        face = write_picture(self._folder / "face.png").read_bytes()
        clip = write_clip(self._folder / "clip.mp4", 1.0).read_bytes()
        await store.put_bytes("staging", "chaos/face.png", face)
        await store.put_bytes("staging", "chaos/clip.mp4", clip)

    def life(self, kind: Kind, point: str) -> Life:
        """A render that nobody has asked for before."""
        if kind == "mingyan":
            audio, digest = self.recording()
            request = {"avatar": {"kind": "clip", "video": CLIP}, "speech": {"kind": "recording", "audio": audio}}
            return Life(kind, point, {"title": point, "provider": kind, **request}, digest)
        token = uuid4().hex[:12]
        speech = {"kind": "script", "text": f"This is {token}.", "voice": "v-en-ada"}
        uploaded = {"kind": "portrait", "image": FACE}
        avatar = uploaded if kind == "topview" else {"kind": "stock", "avatar_id": "3327"}
        return Life(kind, point, {"title": point, "provider": "topview", "avatar": avatar, "speech": speech}, token)

    def recording(self) -> tuple[str, str]:
        """Stage a recording that nobody has used before; returns its address and digest."""
        name = f"noise-{next(self._seeds)}-{uuid4().hex[:6]}.wav"
        samples = np.random.default_rng().uniform(-0.5, 0.5, 16_000)
        body = write_wav(self._folder / name, samples).read_bytes()
        asyncio.run(self.api.store().put_bytes("staging", f"chaos/{name}", body))
        return f"s3://staging/chaos/{name}", hashlib.sha256(body).hexdigest()

    # Killing

    def kill_inside(self, lives: Sequence[tuple[Life, KillPoint]]) -> None:
        """Start runs that end themselves by SIGKILL at a point, some at a time."""
        for life, point in lives:
            life.child = self.nursery.start("render", point=point, environment=PATIENT, request=life.request)
            wait_for_some([other.child for other, _ in lives if other.child], AT_ONCE - 1)
        wait_for_some([life.child for life, _ in lives if life.child], 0)
        for life, _ in lives:
            life.kills += 1

    def kill_held(self, lives: Sequence[Life], point: KillPoint) -> None:
        """Start runs, one per vendor, and kill them while the sandbox holds a call of each."""
        assert point.held is not None
        for life in lives:
            self.sandbox.arm(life.vendor, *point.held)
            life.child = self.nursery.start("render", environment=PATIENT, request=life.request)
        self.sandbox.wait_held(len(lives))
        for life in lives:
            assert life.child is not None
            life.child.kill()
            life.kills += 1
        # A call that is let go before its client is missed would be acted on.
        self.sandbox.wait_held(0)
        self.sandbox.clear()

    # What follows

    def reconcile(self) -> list[str]:
        """Reconcile until nothing changes any more; returns what each run ended with."""
        ends = []
        for _ in range(MOST_RECONCILES):
            before = self.changes()
            told = self.nursery.start("reconcile", environment=IMPATIENT).wait().told()
            ends.append(f"{told.get('state')}: {told.get('message')}")
            if self.changes() == before:
                return ends
        raise AssertionError(f"reconcile does not come to rest: {ends}")

    def ask_again(self, lives: Sequence[Life]) -> list[dict[str, Any]]:
        """Make the same requests again, some at a time, and return how they ended."""
        children: list[Child] = []
        for life in lives:
            children.append(self.nursery.start("render", environment=IMPATIENT, request=life.request))
            wait_for_some(children, AT_ONCE - 1)
        return [child.wait().told() for child in children]

    def settle(self, lives: Sequence[Life]) -> int:
        """What a person does with `studio settle`: name the job of the vendor's console, or say that there is none."""
        facts = self.facts(lives)

        async def work(ledger: Ledger) -> int:
            settled = 0
            for life in lives:
                entry, paid = facts[life.token].entry, facts[life.token].paid
                if entry is None or entry.state is not State.AMBIGUOUS:
                    continue
                job_id = paid[0]["job_id"] if paid else None
                to: Any = State.SUBMITTED if job_id else State.CANCELLED
                await ledger.settle(entry.id, to, owner="a person", note="seen in the console", job_id=job_id)
                settled += 1
            return settled

        return self._with_ledger(work)

    # What is known

    def facts(self, lives: Sequence[Life]) -> dict[str, Facts]:
        """What ledger, sandbox and archive say now, by token."""
        rows = [(json.dumps(entry.payload), entry) for entry in self.entries()]
        paid = [
            (json.dumps([job["body"], job["files"]]), job)
            for vendor in ("topview", "mingyan")
            for job in self.sandbox.submissions(vendor)
        ]
        found = {}
        for life in lives:
            attempts = sorted((entry for text, entry in rows if life.token in text), key=lambda entry: entry.attempt)
            jobs = [job for text, job in paid if life.token in text]
            found[life.token] = attempts, jobs
        delivered = asyncio.run(self._delivered())
        return {
            token: Facts(attempts, jobs, bool(attempts) and attempts[-1].render_key in delivered)
            for token, (attempts, jobs) in found.items()
        }

    def orphans(self, since: float) -> set[str]:
        """Jobs accepted since a moment that no row of the ledger names."""
        known = {entry.job_id for entry in self.entries()}
        jobs = [job for vendor in ("topview", "mingyan") for job in self.sandbox.submissions(vendor)]
        return {job["job_id"] for job in jobs if job["at"] >= since} - known

    def entries(self) -> list[Entry]:
        """Every row of the ledger."""
        return self._with_ledger(lambda ledger: ledger.in_states(set(State), limit=100_000))

    def history(self, key: str) -> list[Event]:
        """Every change of the rows of a render."""
        return self._with_ledger(lambda ledger: ledger.history(key))

    def changes(self) -> list[tuple[str, str, str | None]]:
        """What a run may change in the ledger."""
        return sorted((str(entry.id), str(entry.state), entry.job_id) for entry in self.entries())

    async def _delivered(self) -> set[str]:
        """Keys of the renders that have a manifest."""
        store, name = self.api.store(), f"{label_digest(Labels())}/manifest.json"
        return {
            facts.key.split("/")[-3]
            async for facts in store.list_objects(store.archive_bucket, "renders/")
            if facts.key.endswith(name)
        }

    def _with_ledger(self, work: Any) -> Any:
        async def call() -> Any:
            async with await Ledger.open(self.api.studio.config.ledger_database_url()) as ledger:
                return await work(ledger)

        return asyncio.run(call())
