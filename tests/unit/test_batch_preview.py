"""The free look at a batch, over a real ledger and real files."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import JsonValue

from tasks.batch import preview as preview_module
from tasks.batch import preview_media
from tasks.batch.manifest import read_list
from tasks.batch.preview import Preview, preview
from tasks.batch.preview_sums import Sums, expected_seconds, seconds_per_work
from tasks.errors import Problem, RequestRefused
from tasks.ledger import Intent, State
from tasks.ledger.batch_models import Duration
from tasks.ledger.opening import open_ledger
from tasks.models import RenderRequest
from tasks.plan import RenderPlan, plan_for
from tasks.providers.base import Estimate, MediaSet
from tasks.providers.pricing import estimate_cost
from tasks.settings import Price, StudioSettings
from tests.media_files import write_picture, write_sound
from tests.scripted_provider import ScriptedProvider, instead_of_all

PRICES = {"topview": Price(per_second=Decimal("0.5"), per_100_characters=Decimal(1), unit="credits")}


@dataclass
class Vendor(ScriptedProvider):
    """A vendor with prices and rules, whose payload is what decides about the video."""

    name: str = "topview"
    checks: list[str] = field(default_factory=list)

    def supports(self, request: RenderRequest) -> list[Problem]:
        spoken = request.speech.model_dump().get("text", "")
        return [Problem("speech.text", "is not spoken here.", "Say something else.")] if "secret" in spoken else []

    async def check(self, request: RenderRequest, media: MediaSet) -> list[Problem]:
        self.checks += [found.path.name for found in media.values()]
        bad = [found for found in media.values() if found.path.name.startswith("faceless")]
        return [Problem("avatar.image", "there is no face.", "Bring one.")] if bad else []

    def estimate(self, request: RenderRequest, media: MediaSet) -> Estimate:
        recording, text = media.get("speech"), request.speech.model_dump().get("text")
        seconds, characters = recording.seconds if recording else None, len(text) if text else None
        return estimate_cost(PRICES, self.name, "", seconds=seconds, characters=characters)

    def payload(self, request: RenderRequest, media: MediaSet) -> dict[str, JsonValue]:
        digests: dict[str, JsonValue] = {role: found.sha256 for role, found in media.items()}
        return {"avatar": request.avatar.kind, "speech": request.speech.model_dump().get("text")} | digests


@pytest.fixture
def vendor(studio_home: Path) -> Iterator[Vendor]:
    with instead_of_all(Vendor()) as scripted:
        assert isinstance(scripted, Vendor)
        yield scripted


def local(*paths: Path) -> dict[str, Path]:
    """Addresses that stand for files on this machine, by the files' names."""
    return {f"s3://staging/here/{path.name}": path for path in paths}


async def look(rows: list[dict[str, Any]], folder: Path, **more: Any) -> Preview:
    defaults = {"avatar_id": "7", "provider": "topview"}
    return await preview(read_list(rows, defaults), folder / "work", tell=lambda *_: None, **more)


async def record(vendor: Vendor, text: str, state: State) -> None:
    """Bring a render of a stock avatar into a state, in the ledger."""
    (row,) = read_list([{"avatar_id": "7", "provider": "topview", "text": text}], {})
    plan = plan_for(vendor, row.request, {})
    facts = plan.model_dump(include={"render_key", "provider", "account", "endpoint"})
    async with open_ledger() as ledger:
        entry, _ = await ledger.reserve(Intent(**facts), owner="run")
        if state is State.RESERVED:
            return
        entry = await ledger.mark_submitting(entry.id, "run")
        entry = await ledger.mark_submitted(entry.id, f"job {text}")
        if state is State.ARCHIVED:
            entry = await ledger.mark_succeeded(entry.id, {})
            await ledger.mark_archived(entry.id, "s3://archive/x.mp4")


async def test_videos_are_counted_once_and_by_what_is_there(vendor: Vendor, tmp_path: Path) -> None:
    """Duplicate rows are one video; what is archived or under way is not priced; an unsent intent is."""
    for text, state in (("there", State.ARCHIVED), ("going", State.SUBMITTED), ("meant", State.RESERVED)):
        await record(vendor, text, state)
    texts = ["there", "there", "going", "meant", "new one", "new one"]

    seen = await look([{"text": text, "title": f"Row {text}"} for text in texts], tmp_path)

    assert (seen.rows, seen.bad_rows, seen.videos, seen.archived, seen.under_way) == (6, 0, 4, 1, 1)
    assert (seen.to_render, seen.unknown) == (2, 0)
    assert [(line.provider, line.unit, line.videos, line.amount) for line in seen.money] == [
        ("topview", "credits", 2, Decimal("0.12"))
    ]
    assert (seen.seconds, seen.untimed) == (None, ["topview"])
    assert vendor.orders == []


async def test_history_tells_the_time(vendor: Vendor, tmp_path: Path) -> None:
    """Once a render of known length is on record, the wall time is told from it."""
    await record(vendor, "there", State.ARCHIVED)
    assert (await look([{"text": "there"}], tmp_path)).seconds == 0.0
    async with open_ledger() as ledger:
        entry, _ = await ledger.reserve(
            Intent(render_key="1" * 64, provider="topview", account="a", endpoint="e", work=2.0), owner="run"
        )
        entry = await ledger.mark_submitting(entry.id, "run")
        entry = await ledger.mark_submitted(entry.id, "job")
        await ledger.mark_succeeded(entry.id, {})

    seen = await look([{"text": "something new"}], tmp_path)

    assert seen.untimed == []
    assert seen.seconds is not None


async def test_problems_of_rows_and_providers_are_counted_together(vendor: Vendor, tmp_path: Path) -> None:
    """A row that the form refuses and a row that the provider refuses are both problems; the others are priced."""
    seen = await look([{"text": ""}, {"text": "a secret"}, {"text": "Hello", "speed": 9}, {"text": "Hello"}], tmp_path)

    assert (seen.rows, seen.bad_rows, seen.problem_count, seen.videos) == (1, 3, 3, 1)
    assert [str(problem) for problem in seen.problems] == [
        "row 1, speech.text: is empty. Fill it in.",
        "row 3, speech.speed: input should be less than or equal to 2. You gave 9.",
        "row 2, speech.text: is not spoken here. Say something else.",
    ]


async def test_media_are_looked_into_once(vendor: Vendor, tmp_path: Path) -> None:
    """Each file is probed and shown to the provider once; a bad one is a problem of every row that names it."""
    face, faceless = write_picture(tmp_path / "face.png"), write_picture(tmp_path / "faceless.png")
    sound, broken = write_sound(tmp_path / "speech.wav", 2.0), tmp_path / "broken.png"
    broken.write_text("no picture")
    files = local(face, faceless, sound, broken)
    rows = [
        {"image": f"s3://staging/here/{image}", "audio": "s3://staging/here/speech.wav", "title": str(number)}
        for number, image in enumerate(["face.png", "face.png", "broken.png", "faceless.png", "broken.png"])
    ]

    seen = await look(rows, tmp_path, local=files)

    no_picture, no_face = "Give a JPEG, PNG or WebP picture.", "there is no face. Bring one."
    assert [(problem.number, problem.column) for problem in seen.problems] == [(n, "avatar.image") for n in (3, 4, 5)]
    assert [str(problem).endswith(no_picture) for problem in seen.problems] == [True, False, True]
    assert str(seen.problems[1]).endswith(no_face)
    assert (seen.videos, seen.unknown, seen.media, seen.media_unchecked) == (1, 0, 4, 0)
    assert sorted(vendor.checks) == ["face.png", "faceless.png", "speech.wav", "speech.wav"]
    assert seen.money[0].amount == Decimal("1.0")


async def test_many_media_are_only_found(vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a number of files none is looked into unless asked for, and the videos that nobody can tell are counted."""
    monkeypatch.setattr(preview_media, "MOST_PROBED", 1)
    files = local(write_picture(tmp_path / "a.png"), write_picture(tmp_path / "b.png", 200))
    rows: list[dict[str, Any]] = [{"image": address, "text": "Hello"} for address in files]
    rows += [{"image": "https://media.example/c.png", "text": "Hello"}, {"text": "Hello"}]

    few = await look(rows, tmp_path, local=files)
    monkeypatch.setattr(preview_module, "MOST_DEEP_CHECKS", 1)
    whole = await look([*rows[:2], rows[3]], tmp_path, local=files, all_media=True)

    assert (few.videos, few.unknown, few.media, few.media_unchecked) == (4, 3, 3, 1)
    assert (whole.videos, whole.unknown, whole.media) == (3, 0, 2)
    assert len(vendor.checks) == 1


async def test_recordings_without_length_have_no_price(
    vendor: Vendor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not known is shown as not known instead of as nothing."""
    monkeypatch.setattr(preview_media, "MOST_PROBED", 0)
    files = local(write_sound(tmp_path / "speech.wav"))

    seen = await look([{"audio": next(iter(files))}, {"text": "x" * 100}], tmp_path, local=files)

    (line,) = seen.money
    assert (line.videos, line.amount, line.unpriced) == (2, Decimal(1), 1)
    assert seen.seconds is None


async def test_a_manifest_that_is_wrong_as_a_whole_is_refused(vendor: Vendor, tmp_path: Path) -> None:
    """There is nothing to preview without rows."""
    with pytest.raises(RequestRefused, match="holds no rows"):
        await look([], tmp_path)


def durations(*paces: float, work: float = 10) -> list[Duration]:
    return [Duration(work=work, unfinished=0, finished=work * pace) for pace in paces]


@pytest.mark.parametrize(
    ("history", "queues", "pace"),
    [
        ([], False, None),
        ([Duration(work=None, unfinished=0, finished=9)], False, None),
        (durations(2), True, 2),
        (durations(1, 2, 9), False, 2),
        # Ten in a queue of one: the first says how long a render takes, the others how long they waited.
        (durations(*range(1, 12)), True, 2),
    ],
)
def test_pace_comes_from_history(history: list[Duration], queues: bool, pace: float | None) -> None:
    """The middle of the history counts, and where renders wait for each other the quickest of it."""
    assert seconds_per_work(history, queues=queues) == pace


class History:
    """A ledger that knows durations only."""

    def __init__(self, **paces: float) -> None:
        self._paces = paces

    async def durations(self, provider: str, mode: str) -> list[Duration]:
        return durations(self._paces[provider]) if provider in self._paces else []


def plan_of(provider: str, work: float | None) -> RenderPlan:
    facts: dict[str, Any] = {"render_key": "1" * 64, "account": "a", "endpoint": "e", "payload": {}}
    return RenderPlan(provider=provider, work=work, estimate=Estimate(amount=None, unit=""), **facts)


@pytest.mark.parametrize(
    ("works", "in_flight", "seconds"),
    [
        ({"topview": [10.0] * 8}, 4, 40),  # two rounds of four renders, 20 s each
        ({"topview": [10.0] * 8}, 1000, 20),  # all at once
        ({"topview": [100.0, 1.0]}, 1000, 200),  # the longest
        ({"mingyan": [10.0] * 8}, 1000, 80),  # the account takes two at a time
        ({"local": [10.0] * 3}, 1000, 30),  # one after another
        ({"topview": [10.0] * 4, "local": [10.0]}, 1, 90),  # together under one limit
        ({"topview": [10.0], "other": [10.0]}, 10, None),
        ({"topview": [None]}, 10, None),
        ({}, 10, 0),
    ],
)
async def test_wall_time_follows_the_limits(
    works: dict[str, list[float | None]], in_flight: int, seconds: float | None
) -> None:
    """In-flight limit, the accounts' own limits and the longest render bound the time; the unknown stays unknown."""
    sums, settings = Sums(), StudioSettings(concurrency={"mingyan": 2}, local_pool_size=1)
    for provider, all_work in works.items():
        for work in all_work:
            sums.add(plan_of(provider, work))
    history: Any = History(topview=2, mingyan=2, local=1)

    found, untimed = await expected_seconds(sums, history, in_flight, settings)

    assert found == (None if seconds is None else pytest.approx(seconds))
    assert bool(untimed) == (seconds is None)
