"""Rundowns against the vendor's catalogue, the object store and this machine: all that is wrong, before any stream."""

import asyncio
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from deployments.show_files import RundownFile
from tasks.errors import ProviderError, RequestRefused
from tasks.providers.zego.client import ZegoClient
from tasks.settings import get_settings
from tasks.show.account import ZegoAccount
from tasks.show.checking import plan_show
from tasks.show.contract import PlannedCue, PlannedLoop, ShowPlan
from tasks.show.links import link_audio
from tasks.show.reading import check_rundown, read_show
from tasks.step import plain_steps
from tests.bad_rundowns import ACTION, CAST, FORM, GOOD, HELLO, SOURCES, TIMES, BadRundown, stage_show_media
from tests.media_files import write_sound
from tests.servers.sandbox import SandboxServer
from tests.servers.seaweedfs import SeaweedServer

SAMPLE = Path(__file__).parents[2] / "deployments" / "sample_rundown.yaml"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    with prefect_test_harness(server_startup_timeout=120):
        running.block(retry_seconds=2).save("studio-archive")
        yield running
    running.stop()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with SandboxServer(tmp_path_factory.mktemp("sandbox")) as running:
        # Nobody takes turns here, as a studio's processes do.
        running.settings(zego_calls_per_second=1000)
        yield running


@pytest.fixture(scope="module")
def account(sandbox: SandboxServer) -> ZegoAccount:
    return account_of(sandbox, sandbox.zego_server_secret)


def account_of(sandbox: SandboxServer, secret: str) -> ZegoAccount:
    client = ZegoClient(base_url=sandbox.zego_url, app_id=sandbox.zego_app_id, server_secret=secret)
    return ZegoAccount(client=client, account="test", endpoint=client.base_url, unverified_socket=True, prices={})


@pytest.fixture(autouse=True)
async def staged(server: SeaweedServer, studio_home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The recordings that the rundowns name."""
    store = server.store()
    await store.ensure_bucket("staging")
    if await store.head("staging", "show/half.wav") is None:
        await stage_show_media(store, tmp_path_factory.mktemp("media"))


async def plan_of(values: dict[str, Any], folder: Path, account: ZegoAccount) -> ShowPlan:
    with plain_steps():
        return await plan_show(check_rundown(values), folder, account)


@pytest.mark.parametrize("bad", TIMES + CAST + SOURCES, ids=lambda bad: bad.name)
async def test_bad_rundowns_are_refused(
    bad: BadRundown, tmp_path: Path, account: ZegoAccount, sandbox: SandboxServer
) -> None:
    """Each mistake is one message that names cue and field and the way out; no stream was created for it."""
    with pytest.raises(RequestRefused) as refused:
        await plan_of(bad.rundown(), tmp_path, account)

    ((field, message),) = [(problem.field, str(problem)) for problem in refused.value.problems]
    assert field == bad.field
    assert bad.words in message
    assert sandbox.truth()["zego"]["streams"] == []


def test_there_are_enough_ways_to_get_it_wrong() -> None:
    """The issue asks for twenty-five; each has a name of its own."""
    names = [bad.name for bad in FORM + TIMES + CAST + SOURCES]

    assert len(names) == len(set(names))
    assert len(names) >= 25


async def test_what_needs_the_drive_socket_is_refused_unless_its_certificate_is_accepted(
    tmp_path: Path, account: ZegoAccount
) -> None:
    """With the block as it is by default streamed cues would fail on air, and a long pause would end the stream."""
    careful = replace(account, unverified_socket=False)
    pauses = {"loop": [HELLO, {"pause": 119}, {"pause": 120}], "times": 2}
    streamed = [
        {"recording": "s3://staging/show/good.mp3"},
        {"script": "Good evening."},
        {"pipe": "live", "seconds": 5},
    ]

    with pytest.raises(RequestRefused) as refused:
        await plan_of(GOOD | {"cues": [HELLO, *streamed, pauses]}, tmp_path, careful)

    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["cues.2.recording", "cues.3.script", "cues.4.pipe", "cues.5.loop.3.pause"]
    assert {"Accept the drive socket's certificate unseen" in problem.fix for problem in refused.value.problems} == {
        True
    }
    assert (await plan_of(GOOD, tmp_path, careful)).ttl > 0


async def test_everything_wrong_is_told_at_once(tmp_path: Path, account: ZegoAccount) -> None:
    """Clock, catalogue, files and scripts are all looked at, and the cues come in their order."""
    bad = GOOD | {
        "avatar": "dh-nobody",
        "ends_at": datetime.now(UTC) - timedelta(minutes=1),
        "cues": [
            {"script": "... !?"},
            {"text": "Hi", "timbre": "v-nobody"},
            {"loop": [HELLO, {"recording": "s3://staging/show/none.wav"}]},
        ],
    }

    with pytest.raises(RequestRefused) as refused:
        await plan_of(bad, tmp_path, account)

    fields = [problem.field for problem in refused.value.problems]
    assert fields == ["ends_at", "avatar", "cues.1.script", "cues.2.timbre", "cues.3.loop.2.recording"]


async def test_a_file_on_the_pipes_place_is_refused(tmp_path: Path, account: ZegoAccount) -> None:
    """A plain file where the pipe belongs would be read as sound; a pipe that is missing is made."""
    pipes = get_settings().root / "pipes"
    pipes.mkdir(parents=True)
    (pipes / "live").write_text("not a pipe")
    cues = [{"pipe": "live", "seconds": 5}, {"pipe": "fresh", "seconds": 5}]

    with pytest.raises(RequestRefused, match=r"cues\.1\.pipe: .* is no pipe\."):
        await plan_of(GOOD | {"cues": cues}, tmp_path, account)

    assert (pipes / "fresh").is_fifo()


async def test_good_rundown_is_planned(tmp_path: Path, account: ZegoAccount) -> None:
    """Numbers, lengths and recordings of all cues are known, and the stream's life follows from them."""
    cues = [
        HELLO,
        {"audio": "s3://staging/show/good.mp3"},
        {"loop": [{"recording": "s3://staging/show/good.flac"}, {"pause": 2}], "times": 3},
        {"action": ACTION, "seconds": 3},
        {"text": "Own voice.", "timbre": "tb-en-warm"},
    ]

    plan = await plan_of(GOOD | {"cues": cues}, tmp_path, account)

    audio, loop = plan.cues[1], plan.cues[2]
    assert isinstance(audio, PlannedCue)
    assert audio.media is not None
    assert audio.seconds == pytest.approx(2, abs=0.1)
    assert audio.media.path.exists()
    assert isinstance(loop, PlannedLoop)
    assert [cue.number for cue in loop.cues] == ["3.1", "3.2"]
    assert plan.seconds == pytest.approx(18 / 15 + 2 + 3 * 3 + 3 + 10 / 15, abs=0.3)
    assert plan.ttl == pytest.approx(plan.seconds * 1.25 + 120, abs=1)
    assert plan.hard_end is None


async def test_one_recording_is_fetched_once(tmp_path: Path, account: ZegoAccount) -> None:
    """A jingle that comes a hundred times is one file on this machine."""
    cues = [{"audio": "s3://staging/show/good.mp3"}, {"recording": "s3://staging/show/good.mp3"}] * 50

    await plan_of(GOOD | {"cues": cues}, tmp_path, account)

    assert len(await asyncio.to_thread(lambda: list(tmp_path.glob("recording-*")))) == 1


async def test_private_timbre_of_the_avatar_is_known(tmp_path: Path, account: ZegoAccount) -> None:
    """The list with an avatar's id has its own voices only; the public ones are in another."""
    own = GOOD | {"avatar": "dh-own-presenter", "cues": [HELLO, HELLO | {"timbre": "tb-own-presenter"}]}

    assert len((await plan_of(own, tmp_path, account)).cues) == 2


async def test_links_play_what_was_checked(tmp_path: Path, account: ZegoAccount, server: SeaweedServer) -> None:
    """The vendor is given the bytes that were decoded, though the person's file has changed since."""
    store = server.store()
    await store.put_bytes("staging", "show/changing.mp3", write_sound(tmp_path / "a.mp3", 1).read_bytes())
    plan = await plan_of(GOOD | {"cues": [{"audio": "s3://staging/show/changing.mp3"}]}, tmp_path, account)
    await store.put_bytes("staging", "show/changing.mp3", b"something else")

    ((sha256, link),) = (await link_audio(plan)).items()

    async with httpx.AsyncClient() as client:
        assert (await client.get(link)).content == (tmp_path / "a.mp3").read_bytes()
    (cue,) = plan.cues
    assert isinstance(cue, PlannedCue)
    assert cue.media is not None
    assert cue.media.sha256 == sha256


async def test_links_outlive_the_show(tmp_path: Path, account: ZegoAccount) -> None:
    """A file that is played at the end of a long show, which begins late, can still be fetched."""
    starts_at = datetime.now(UTC) + timedelta(hours=20)
    fields = {"starts_at": starts_at, "most_minutes": 23 * 60, "cues": [{"audio": "s3://staging/show/good.mp3"}]}
    plan = await plan_of(GOOD | fields, tmp_path, account)

    (link,) = (await link_audio(plan)).values()

    life = int(httpx.URL(link).params["X-Amz-Expires"])
    assert life > timedelta(hours=43).total_seconds()


async def test_vendor_outside_cannot_fetch_from_here(
    tmp_path: Path, account: ZegoAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real vendor a store on loopback would fail in the middle of the show; streaming from here would not."""
    monkeypatch.setattr(account.client, "own_network", False)
    cue = {"audio": "s3://staging/show/good.mp3"}

    with pytest.raises(RequestRefused, match=r"cues\.1\.audio: zego fetches .* as recording instead"):
        await plan_of(GOOD | {"cues": [cue]}, tmp_path, account)

    assert await plan_of(GOOD | {"cues": [{"recording": cue["audio"]}]}, tmp_path, account)


async def test_account_in_trouble_is_not_taken_for_a_bad_rundown(tmp_path: Path, sandbox: SandboxServer) -> None:
    """A wrong ServerSecret is no reason to choose another avatar."""
    with pytest.raises(ProviderError, match="100000005"):
        await plan_of(GOOD, tmp_path, account_of(sandbox, "f" * 32))


async def test_rundown_file_is_read_from_the_store(tmp_path: Path, server: SeaweedServer) -> None:
    """A YAML file in staging is a rundown; one that is missing, or too large, is told."""
    store = server.store()
    await store.put_bytes("staging", "shows/good.yaml", json.dumps(GOOD).encode())
    await store.put_bytes("staging", "shows/large.yaml", b"#" * (1024 * 1024 + 1))

    with plain_steps():
        rundown = await read_show({"file": "s3://staging/shows/good.yaml"}, tmp_path)
        with pytest.raises(RequestRefused, match=r"does not exist.*studio upload FILE"):
            await read_show({"file": "s3://staging/shows/none.yaml"}, tmp_path)
        with pytest.raises(RequestRefused, match="the limit is 1048576"):
            await read_show({"file": "s3://staging/shows/large.yaml"}, tmp_path)

    assert rundown.title == GOOD["title"]


async def test_sample_is_good(tmp_path: Path, account: ZegoAccount, server: SeaweedServer) -> None:
    """The rundown that the project brings along passes its own check, with the recording beside it."""
    address = await RundownFile(SAMPLE).upload(server.store())

    with plain_steps():
        plan = await plan_show(await read_show({"file": address}, tmp_path), tmp_path, account)

    assert plan.rundown.title == "Sample show"
    assert plan.hard_end is not None


async def test_steps_are_seen_and_say_nothing_odd(
    tmp_path: Path, account: ZegoAccount, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    """In a flow both are task runs; a client among their arguments is no reason for an error in the log."""

    @flow(validate_parameters=False)
    async def show() -> int:
        rundown = await read_show({"rundown": GOOD}, tmp_path)
        return (await plan_show(rundown, tmp_path, account)).ttl

    with caplog.at_level(logging.INFO):
        assert await show() > 120

    # What Prefect itself has to tell of its server is no matter of the steps.
    concerned = ("studio.", "prefect.engine", "prefect.flow_runs", "prefect.task_runs")
    told = [record for record in caplog.records if record.name.startswith(concerned)]
    assert told
    assert not [record.getMessage() for record in told if record.levelno >= logging.WARNING]
    assert sandbox.zego_server_secret not in caplog.text
