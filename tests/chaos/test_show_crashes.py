"""Shows whose processes are killed: never two streams for one show, and none alive for longer than is promised."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.ledger import Entry, State
from tasks.ledger.opening import open_ledger
from tasks.ledger.store import Ledger
from tasks.show import closing, reaping
from tasks.show.account import ZegoAccount
from tasks.show.beating import Heartbeat
from tasks.show.closing import close_streams_of
from tasks.show.contract import PROVIDER
from tasks.show.reaping import QUIET_SECONDS, SECOND_LOOK_SECONDS, reap_streams
from tasks.show.rooms import NOT_ENDED
from tasks.show.stream import open_stream
from tasks.show.unanswered import stream_id_of
from tests.chaos.figures import FIGURES
from tests.chaos.kill_points import KillPoint
from tests.chaos.killed_show import AVATAR, a_plan, account_at
from tests.chaos.nursery import Child, Nursery
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

_LEDGER = "tasks.ledger.store:Ledger"
POINTS = (
    KillPoint(name="room claimed", function=f"{_LEDGER}.claim", when="after"),
    KillPoint(name="intent reserved", function=f"{_LEDGER}.reserve", when="after"),
    KillPoint(name="before Create", function="tasks.providers.zego.client:ZegoClient.create_stream"),
    KillPoint(name="inside Create, before it is accepted", held=("create", "hold_before")),
    KillPoint(name="inside Create, after it was accepted", held=("create", "hold_after")),
    KillPoint(
        name="answer lost, before that is noted", function=f"{_LEDGER}.mark_ambiguous", armed=("create", "lost_answer")
    ),
    KillPoint(name="answered, before it is stored", function=f"{_LEDGER}.mark_submitted"),
    KillPoint(name="stored, before anything else", function=f"{_LEDGER}.mark_submitted", when="after"),
    KillPoint(name="streaming"),
    KillPoint(name="before Stop", function="tasks.providers.zego.client:ZegoClient.stop"),
    KillPoint(name="stopped, before it is booked", function=f"{_LEDGER}.mark_succeeded"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shows")


@pytest.fixture(scope="module")
def nursery(home: Path) -> Iterator[Nursery]:
    """Runs of shows share its imports, which take seconds."""
    with Nursery(dict(os.environ), home / "nursery") as running:
        yield running


@pytest.fixture
def account(sandbox: SandboxServer, studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> ZegoAccount:
    """The account of shows, hooks and reaper alike."""
    made = account_at(**address_of(sandbox))

    async def load() -> ZegoAccount:
        return made

    monkeypatch.setattr(closing, "load_zego", load)
    monkeypatch.setattr(reaping, "load_zego", load)
    return made


@pytest.fixture
async def ledger(account: ZegoAccount) -> AsyncIterator[Ledger]:
    async with open_ledger() as opened:
        yield opened


def address_of(sandbox: SandboxServer) -> dict[str, Any]:
    return {
        "base_url": sandbox.zego_url,
        "app_id": sandbox.zego_app_id,
        "server_secret": sandbox.zego_server_secret,
    }


def begin(
    nursery: Nursery, sandbox: SandboxServer, home: Path, run_id: str, *, point: KillPoint | None = None, **more: Any
) -> tuple[Child, Path]:
    """Start a show, and the file that tells that it streams."""
    marker = home / f"{run_id}.streaming"
    child = nursery.start(
        "show",
        point=point,
        environment={"STUDIO_HOME": str(home)},
        address=address_of(sandbox),
        run_id=run_id,
        streaming=str(marker),
        **more,
    )
    return child, marker


def wait_for(marker: Path, child: Child, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not marker.exists():
        if time.monotonic() > end or child.exit is not None:
            raise TimeoutError(f"it does not stream: {child.told()}")
        time.sleep(0.02)


async def reap_dead() -> None:
    """A pass that hardly waits for signs of life, as nobody is there who could give any."""
    await asyncio.sleep(0.6)
    await reap_streams.fn(time.monotonic() + 60, quiet_seconds=0.5, second_look_seconds=0.2)


async def reap_beside_the_living() -> None:
    """A pass that no living show falls victim to while its beats come much more often than every second."""
    await asyncio.sleep(2.1)
    await reap_streams.fn(time.monotonic() + 60, quiet_seconds=2, second_look_seconds=1.5)


def kill_at(point: KillPoint, nursery: Nursery, sandbox: SandboxServer, home: Path, run_id: str) -> None:
    """Let a show die at a point of its life."""
    if point.held:
        sandbox.arm("zego", *point.held)
    if point.armed:
        sandbox.arm("zego", *point.armed)
    child, marker = begin(nursery, sandbox, home, run_id, point=point, seconds=0.2 if point.function else 60)
    if point.function:
        assert child.wait(60).exit == -9, child.told()
        return
    if point.held:
        sandbox.wait_held()
    else:
        wait_for(marker, child)
    assert child.kill().exit == -9


async def check_over(ledger: Ledger, sandbox: SandboxServer, run_id: str) -> Entry | None:
    """One stream at most, none alive, and the row says so."""
    assert len(sandbox.streams()) <= 1
    assert sandbox.live_streams() == []
    rows = [row for row in await ledger.in_states(set(State), provider=PROVIDER) if row.reserved_by == run_id]
    assert [row for row in rows if row.state in NOT_ENDED] == []
    return rows[0] if rows else None


BY_HOOK = {"inside Create, after it was accepted", "answered, before it is stored", "streaming", "before Stop"}
DEATHS = [(point, "reaper") for point in POINTS] + [(point, "hook") for point in POINTS if point.name in BY_HOOK]


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: f"{death[0].name}, {death[1]}")
async def test_a_killed_show_leaves_no_stream(
    death: tuple[KillPoint, str], nursery: Nursery, sandbox: SandboxServer, ledger: Ledger, studio_home: Path
) -> None:
    """Wherever its process dies, the hook of its run or the next pass of the reaper closes what it left."""
    point, by = death
    await asyncio.to_thread(kill_at, point, nursery, sandbox, studio_home, "killed")
    if by == "hook":
        await close_streams_of("killed", why="its run ended as Crashed")
    else:
        await reap_dead()

    row = await check_over(ledger, sandbox, "killed")
    assert row is None or row.charged is not None


async def test_a_create_that_outlives_its_show_leaves_no_stream(
    nursery: Nursery, sandbox: SandboxServer, account: ZegoAccount, ledger: Ledger, studio_home: Path
) -> None:
    """What the vendor accepts only after a pass has booked that there is no stream is found by its id and stopped."""
    (point,) = [point for point in POINTS if point.held == ("create", "hold_before")]
    await asyncio.to_thread(kill_at, point, nursery, sandbox, studio_home, "killed")
    await reap_dead()
    row = await check_over(ledger, sandbox, "killed")
    assert row is not None
    assert sandbox.streams() == []

    # A call that the sandbox holds ends with its client, so the vendor's late one is made here.
    late = await account.client.create_stream(
        digital_human_id=AVATAR,
        background="#000000",
        room_id="killed",
        stream_id=stream_id_of(row),
        ttl=600,
        max_idle=300,
    )
    await reap_dead()

    row = await check_over(ledger, sandbox, "killed")
    assert [(stream["task_id"], stream["how_ended"]) for stream in sandbox.streams()] == [(late, "stopped")]
    assert row is not None
    assert row.charge


RETRIED = {"room claimed", "intent reserved", "before Create", "answered, before it is stored", "streaming"}


@pytest.mark.parametrize("point", [point for point in POINTS if point.name in RETRIED], ids=lambda point: point.name)
async def test_a_killed_show_that_is_retried_has_one_stream(  # noqa: PLR0917 - fixtures and a point
    point: KillPoint,
    nursery: Nursery,
    sandbox: SandboxServer,
    account: ZegoAccount,
    ledger: Ledger,
    studio_home: Path,
) -> None:
    """Started again at once, before any hook or pass: what the first start left is closed before there is a second."""
    await asyncio.to_thread(kill_at, point, nursery, sandbox, studio_home, "killed")

    made = await open_stream(account, ledger, a_plan("killed"), run_id="killed", run_count=2)

    assert [stream["task_id"] for stream in sandbox.live_streams()] == [made.task_id]
    async with Heartbeat(ledger, made.entry, every=0.05):
        await reap_beside_the_living()
        open_rows = await ledger.in_states(NOT_ENDED, provider=PROVIDER)
    assert [row.job_id for row in open_rows] == [made.task_id]


async def test_ten_shows_killed_at_random_moments(
    nursery: Nursery, sandbox: SandboxServer, ledger: Ledger, studio_home: Path
) -> None:
    """Whatever the moment: one stream a show at most, all ended after one pass, while a healthy show stays on air."""
    dice = random.Random(5)  # noqa: S311 - moments, not secrets
    began = time.monotonic()
    healthy, marker = begin(nursery, sandbox, studio_home, "healthy", seconds=600, beat_seconds=0.2)
    await asyncio.to_thread(wait_for, marker, healthy)
    # Ten at once take longer than one alone.
    longest = 5 * (time.monotonic() - began)

    async def one(number: int) -> None:
        child, _ = begin(nursery, sandbox, studio_home, f"random-{number}")
        await asyncio.sleep(dice.uniform(0, longest))
        await asyncio.to_thread(child.kill)

    await asyncio.gather(*map(one, range(10)))
    await reap_beside_the_living()

    rooms = Counter(stream["room_id"] for stream in sandbox.streams())
    assert len(rooms) > 1
    assert max(rooms.values()) == 1
    assert [stream["room_id"] for stream in sandbox.live_streams()] == ["healthy"]
    assert healthy.exit is None
    await asyncio.to_thread(healthy.kill)
    FIGURES.append(f"10 shows killed at random: {sum(rooms.values()) - 1} had a stream, none was left")


@pytest.mark.slow
async def test_the_promised_bound(nursery: Nursery, sandbox: SandboxServer, ledger: Ledger, studio_home: Path) -> None:
    """With the real patience: a killed show's stream ends within the quiet time, a pass's pause and the second look."""
    pause = 10.0
    child, marker = begin(nursery, sandbox, studio_home, "killed", seconds=600)
    await asyncio.to_thread(wait_for, marker, child)
    await asyncio.to_thread(child.kill)
    killed_at = time.time()
    while sandbox.live_streams() and time.time() < killed_at + 120:
        began = time.monotonic()
        await reap_streams.fn(began + 60)
        await asyncio.sleep(max(0.0, pause - (time.monotonic() - began)))

    (stream,) = sandbox.streams()
    lived = stream["ended"] - killed_at
    assert lived <= QUIET_SECONDS + pause + SECOND_LOOK_SECONDS + 10
    FIGURES.append(f"stream of a killed show ended after {lived:.0f} s, with passes every {pause:.0f} s")
