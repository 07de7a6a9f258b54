"""The order of cues, what is shown of them, and commands that come through a real Prefect server."""

# ruff: noqa: F401 - fixtures are imported and then asked for by name

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow_async
from prefect.runtime import flow_run
from prefect.states import Pending
from prefect.testing.utilities import prefect_test_harness

from tasks.show import commands
from tasks.show.commands import ShowCommand, listen, send_command
from tasks.show.contract import (
    CueOutcome,
)
from tasks.show.control import Ending, EndKind
from tasks.show.obeying import words_of
from tasks.show.record import ShowRecord, in_order
from tasks.show.showing import table_of
from tests.playing_shows import brisk, clean_sandbox, make_plan, tones
from tests.servers.sandbox import SandboxServer, one_sandbox

pytestmark = pytest.mark.usefixtures("studio_home")


def test_endless_loop_is_endless_and_a_counted_one_is_not() -> None:
    """Every round has its planned second, and cues behind a loop come after all of its rounds."""
    plan = make_plan([{"pause": 2}, {"loop": [{"pause": 1}], "times": 3}, {"pause": 5}, {"loop": [{"pause": 10}]}])

    found = [(number, at) for _, (_, number, at) in zip(range(7), in_order(plan), strict=False)]

    assert found == [
        ("1", 0),
        ("2.1, round 1", 2),
        ("2.1, round 2", 3),
        ("2.1, round 3", 4),
        ("3", 5),
        ("4.1, round 1", 10),
        ("4.1, round 2", 20),
    ]


def test_table_shows_drift_and_what_is_on_air() -> None:
    """A person sees at a glance what runs late; what was not reached shows when the show is over."""
    plan = make_plan([{"pause": 2, "name": "breath"}, {"text": "Hello."}, {"pause": 1}])
    now = [datetime(2026, 1, 1, 12, tzinfo=UTC)]
    record = ShowRecord(plan, clock=lambda: now[0])
    (first, number, at), (second, second_number, second_at), _ = in_order(plan)
    line = record.begin(first, number, at)
    now[0] += timedelta(seconds=2.5)
    record.end(line, CueOutcome.DONE)
    record.begin(second, second_number, second_at)

    rows = table_of(record)

    assert [(row["cue"], row["outcome"]) for row in rows] == [("1 breath", "done"), ("2", "on air")]
    line = record.on_air[0]
    record.end(line, CueOutcome.DONE)
    assert record.lines[1].drift_seconds == 0.5
    record.ending = Ending(how=EndKind.STOPPED)
    assert [row["outcome"] for row in table_of(record)] == ["done", "done", "not reached"]


def test_words_without_a_voice_are_refused_before_they_cut_anything() -> None:
    """A text needs a timbre; the studio's own voice does not."""
    plan = make_plan([{"pause": 1}], timbre=None)

    with pytest.raises(ValueError, match="timbre"):
        words_of(ShowCommand(do="say", text="Hello."), plan, "say 1")
    assert words_of(ShowCommand(do="say", script="Hello."), plan, "say 1").cue.kind == "speech"


# Commands through Prefect


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    """A Prefect server for the tests that need one."""
    with prefect_test_harness(server_startup_timeout=120):
        yield


async def test_commands_arrive_in_order_and_nonsense_is_dropped(prefect_server: None) -> None:
    """What a person sends reaches the run soon, once, in the order in which it was sent."""
    heard: list[tuple[str, float]] = []

    @flow
    async def listening() -> None:
        run_id = UUID(str(flow_run.get_id()))
        async with get_client() as client:
            for number, nonsense in enumerate(('{"do": "dance"}', "not json", "[1]", "null", "1")):
                await client.create_flow_run_input(run_id, f"{commands.KEY_PREFIX}-nonsense-{number}", nonsense)
        sending = asyncio.create_task(send_all(run_id))
        async for command in listen(run_id):
            heard.append((command.do, time.monotonic()))
            if command.do == "stop":
                break
        await sending

    sent: list[float] = []

    async def send_all(run_id: UUID) -> None:
        for wish in ({"do": "pause"}, {"do": "say", "text": "Hello."}, {"do": "resume"}, {"do": "stop"}):
            await send_command(run_id, ShowCommand.model_validate(wish))
            sent.append(time.monotonic())

    await listening()

    assert [do for do, _ in heard] == ["pause", "say", "resume", "stop"]
    assert max(at - asked for (_, at), asked in zip(heard, sent, strict=True)) < 15


async def test_commands_of_an_earlier_try_are_ignored(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is begun again is not stopped by what stopped it the first time."""
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.05)
    heard: list[str] = []

    @flow(retries=1)
    async def listening() -> None:
        run_id = UUID(str(flow_run.get_id()))
        if flow_run.get_run_count() == 1:
            await send_command(run_id, ShowCommand(do="stop"))
            raise ConnectionError("the first try breaks")
        await send_command(run_id, ShowCommand(do="pause"))
        async for command in listen(run_id):
            heard.append(command.do)
            break

    await listening()

    assert heard == ["pause"]


async def test_what_was_asked_before_a_show_began_holds(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stops a show that still waits for its process is heard: it would cost money otherwise."""
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.05)
    heard: list[str] = []

    @flow
    async def listening() -> None:
        async for command in listen(UUID(str(flow_run.get_id()))):
            heard.append(command.do)
            break

    async with get_client() as client:
        run = await client.create_flow_run(listening, state=Pending())
    await send_command(run.id, ShowCommand(do="stop"))
    await run_flow_async(listening, flow_run=run)

    assert heard == ["stop"]


async def test_commands_survive_an_outage_of_prefect(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is away the show hears nothing and goes on; afterwards it hears what was asked."""
    failures = 3
    look = commands._look

    async def flaky(run_id: UUID, seen: set[str]) -> Any:
        nonlocal failures
        if failures:
            failures -= 1
            raise ConnectionError("away")
        return await look(run_id, seen)

    monkeypatch.setattr(commands, "_look", flaky)
    monkeypatch.setattr(commands, "LOOK_SECONDS", 0.05)

    @flow
    async def listening() -> str:
        run_id = UUID(str(flow_run.get_id()))
        await send_command(run_id, ShowCommand(do="stop"))
        async for command in listen(run_id):
            return command.do
        return ""

    assert await listening() == "stop"
    assert caplog.text.count("commands not read") == 3


@pytest.mark.parametrize(
    "wish",
    [
        {"do": "say"},
        {"do": "say", "text": "a", "script": "b"},
        {"do": "skip", "text": "a"},
        {"do": "stop", "queue": True},
    ],
)
def test_commands_that_say_nothing_or_too_much_are_refused(wish: dict[str, Any]) -> None:
    """A person learns it before it is sent."""
    with pytest.raises(ValueError, match=r"Give one of them|Leave out"):
        ShowCommand.model_validate(wish)
