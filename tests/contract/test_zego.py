"""ZEGO's client against the sandbox: a server of its own that keeps the vendor's documented rules."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deployments.cli.catalog import Catalog, read_zego_catalog
from tasks.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http import may_repeat_submit
from tasks.providers import contract
from tasks.providers.zego import clock
from tasks.providers.zego.client import ZegoClient
from tasks.providers.zego.envelope import (
    CODES,
    DIGITAL_HUMAN_UNKNOWN,
    TIMBRE_UNKNOWN,
    AtStreamLimit,
    NotStreaming,
    SignatureExpired,
    StreamGone,
    StreamIdTaken,
)
from tasks.providers.zego.models import StreamStatus, StreamTask
from tasks.providers.zego.speaking import speak
from tests.media_files import write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures
from tests.servers.web import file_server, serving

WAIT_SECONDS = 30
SPEAKING, ENDED = 2, 4
"""Statuses of a drive, section 5.5."""
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _fresh_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees the differences that it makes."""
    monkeypatch.setattr(contract, "_noted", set())
    clock._warn.cache_clear()


@pytest.fixture
def client(sandbox: SandboxServer) -> ZegoClient:
    sandbox.settings(stream_start_seconds=0, stream_stop_seconds=0)
    return client_of(sandbox)


def client_of(sandbox: SandboxServer, **changes: Any) -> ZegoClient:
    account = {"app_id": sandbox.zego_app_id, "server_secret": sandbox.zego_server_secret}
    return ZegoClient(base_url=sandbox.zego_url, **(account | changes))


async def create(client: ZegoClient, stream_id: str = "show-1", **changes: Any) -> str:
    asked: dict[str, Any] = {
        "digital_human_id": "dh-anna",
        "background": "#000000",
        "room_id": "studio",
        "stream_id": stream_id,
        "ttl": 600,
        "max_idle": 120,
    }
    return await client.create_stream(**(asked | changes))


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """Look until there is something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := await look():
            return found
        await asyncio.sleep(0.15)
    raise TimeoutError(f"nothing after {WAIT_SECONDS} s")


async def streaming(client: ZegoClient, stream_id: str = "show-1") -> str:
    """A stream that can be driven."""
    task_id = await create(client, stream_id)

    async def look() -> StreamTask | None:
        found = await client.stream_status(task_id)
        return found if found.status == StreamStatus.STREAMING else None

    await until(look)
    return task_id


async def listed(found: AsyncIterator[T]) -> list[T]:
    return [item async for item in found]


# The whole way


async def test_a_stream_lives_speaks_and_ends(
    sandbox: SandboxServer, client: ZegoClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every call of a show agrees with a strict reading of the page, on both sides: a difference would be news."""
    recording = write_sound(tmp_path / "speech.wav")
    avatar = await client.digital_human("dh-anna")
    task_id = await streaming(client)
    alive = await client.live_streams()

    async with serving(file_server(recording.read_bytes())) as web:
        drives = [
            await client.drive_text(task_id, "Hello.", timbre="tb-en-calm", rate=100, pitch=-100, volume=60),
            await client.drive_audio(task_id, f"{web.url}/speech.wav", channel=1, interrupt=True),
            (await client.drive_ws(task_id)).drive_id,
            await client.drive_rtc(task_id, "other-room", "other-stream"),
        ]
    await client.act(task_id, avatar.action_names[0])
    await client.interrupt(task_id)
    await client.stop(task_id)

    assert [(task.task_id, task.room_id, task.stream_id, task.status) for task in alive] == [
        (task_id, "studio", "show-1", StreamStatus.STREAMING)
    ]
    assert alive[0].created_at is not None
    assert abs(alive[0].created_at.timestamp() - time.time()) < 60
    assert [drive["drive_id"] for drive in sandbox.drives()] == drives
    assert sandbox.truth()["zego"]["refusals"] == []
    assert sandbox.live_streams() == []
    assert [record.message for record in caplog.records if record.name == "studio.contract"] == []


async def test_an_end_is_told_in_one_of_three_ways(sandbox: SandboxServer, client: ZegoClient) -> None:
    """Status 5, 'already stopped' and 'not known': the last two are one error, whichever call meets them."""
    task_id = await streaming(client)
    await client.stop(task_id)

    with pytest.raises(StreamGone) as stopped_twice:
        await client.stop(task_id)
    assert (await client.stream_status(task_id)).status in {StreamStatus.STOPPING, StreamStatus.STOPPED}
    with pytest.raises(StreamGone):
        await client.drive_text(task_id, "Hello.", timbre="tb-en-calm")
    with pytest.raises(StreamGone) as unknown:
        await client.stream_status("no-such-task")

    assert (stopped_twice.value.code, unknown.value.code) == ("400000007", "400000005")
    assert await client.live_streams() == []


@pytest.mark.parametrize(
    ("settings", "code"), [({"zego_end_is_a_status": False}, "400000007"), ({"stream_memory_seconds": 0}, "400000005")]
)
async def test_an_end_without_a_status_is_an_end(
    sandbox: SandboxServer, client: ZegoClient, settings: dict[str, Any], code: str
) -> None:
    """A vendor that answers the question about an ended stream with a code has told its end, whichever code it is."""
    sandbox.settings(**settings)
    task_id = await streaming(client)
    await client.stop(task_id)

    async def look() -> StreamGone | None:
        try:
            await client.stream_status(task_id)
        except StreamGone as gone:
            return gone
        return None

    gone = await until(look)
    assert (gone.code, gone.job_id) == (code, task_id)


async def test_a_stream_that_could_not_start_says_why(sandbox: SandboxServer, client: ZegoClient) -> None:
    """Status 2 comes with the vendor's reason."""
    sandbox.arm("zego", "create", "fail")
    task_id = await create(client)

    async def look() -> StreamTask | None:
        found = await client.stream_status(task_id)
        return found if found.status == StreamStatus.FAILED else None

    assert (await until(look)).fail_reason


async def test_a_stream_is_driven_when_it_streams(sandbox: SandboxServer, client: ZegoClient) -> None:
    """Before that the vendor says 'wait', and the error says how long and that nothing was accepted."""
    sandbox.settings(stream_start_seconds=60)
    task_id = await create(client)

    with pytest.raises(NotStreaming) as caught:
        await client.drive_text(task_id, "Hello.", timbre="tb-en-calm")

    assert (caught.value.retry_after, caught.value.job_id) == (1, task_id)
    assert may_repeat_submit(caught.value)
    assert sandbox.drives() == []


# Creating once


async def test_a_lost_answer_is_found_by_its_stream_id(sandbox: SandboxServer, client: ZegoClient) -> None:
    """The stream exists though nobody heard it: the list has it, and a blind repeat is refused and pays nothing."""
    sandbox.arm("zego", "create", "lost_answer")
    with pytest.raises(ProviderUnavailable) as lost:
        await create(client, "show-7")

    with pytest.raises(StreamIdTaken):
        await create(client, "show-7")
    (found,) = [task for task in await client.live_streams() if task.stream_id == "show-7"]

    assert lost.value.sent
    assert not may_repeat_submit(lost.value)
    assert [stream["task_id"] for stream in sandbox.streams()] == [found.task_id]


async def test_a_full_account_takes_another_stream_later(sandbox: SandboxServer, client: ZegoClient) -> None:
    """The limit is no refusal for good: when a stream ends there is a place."""
    sandbox.settings(zego_streams=1)
    first = await streaming(client, "show-1")
    with pytest.raises(AtStreamLimit) as caught:
        await create(client, "show-2")
    await client.stop(first)

    async def look() -> str | None:
        try:
            return await create(client, "show-2")
        except AtStreamLimit:
            return None

    assert await until(look)
    assert caught.value.retry_after == 30


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"digital_human_id": "dh-nobody"}, DIGITAL_HUMAN_UNKNOWN), ({"digital_human_id": "dh-own-broken"}, "400000010")],
)
async def test_an_avatar_that_cannot_be_used_is_refused(
    sandbox: SandboxServer, client: ZegoClient, changes: dict[str, Any], code: str
) -> None:
    """Nothing was opened, and the person is told what to do."""
    with pytest.raises(ProviderRejected) as caught:
        await create(client, **changes)

    assert caught.value.code == code
    assert caught.value.fix
    assert sandbox.streams() == []


@pytest.mark.parametrize("code", [*CODES, "400000099"])
async def test_every_code_to_a_creation_gets_its_verdict(sandbox: SandboxServer, client: ZegoClient, code: str) -> None:
    """By the table; and the stream does not exist, so nothing was spent."""
    # The first refusal over a signature is followed by a second try.
    sandbox.arm("zego", "create", "business", code=int(code), message="said the vendor", times=2)
    known = CODES.get(code)

    with pytest.raises(ProviderError, match="said the vendor") as caught:
        await create(client)

    assert type(caught.value) is (known.verdict if known else ProviderUnavailable)
    assert caught.value.code == code
    assert getattr(caught.value, "retry_after", None) == (known.pause if known else None)
    assert sandbox.streams() == []


@pytest.mark.parametrize("fault", ["lost_answer", "reset", "not_json"])
async def test_trouble_on_the_way_may_have_opened_a_stream(
    sandbox: SandboxServer, client: ZegoClient, fault: str
) -> None:
    """Nobody knows, so it is not asked again blindly."""
    sandbox.arm("zego", "create", fault)

    with pytest.raises(ProviderUnavailable) as caught:
        await create(client)

    assert caught.value.sent


# Signature and clock


@pytest.mark.parametrize("account", [{"server_secret": "planted-wrong-secret"}, {"app_id": 7}])
async def test_a_wrong_account_is_refused_with_the_way_out(sandbox: SandboxServer, account: dict[str, Any]) -> None:
    """The vendor says 'signature wrong', and the person is sent to the credentials block."""
    with pytest.raises(ProviderRejected, match="100000005") as caught:
        await client_of(sandbox, **account).live_streams()

    assert "credentials block" in caught.value.fix
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(("skew", "said"), [(14 * 60, "14 min behind"), (-3600, "60 min ahead")])
async def test_a_clock_that_is_wrong_is_measured(
    sandbox: SandboxServer, client: ZegoClient, skew: int, said: str
) -> None:
    """Both tries are refused, and the message says by how much this machine's clock is off by the vendor's."""
    sandbox.settings(zego_clock_skew_seconds=skew)

    with pytest.raises(SignatureExpired, match=said):
        await create(client)

    assert sandbox.streams() == []
    assert sandbox.truth()["zego"]["calls"]["create"] == 2


async def test_a_clock_that_is_slightly_off_works(
    sandbox: SandboxServer, client: ZegoClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Up to ten minutes are allowed; the log tells before it is too late."""
    sandbox.settings(zego_clock_skew_seconds=8 * 60)

    assert await client.live_streams() == []
    assert "clock differs from the vendor's minutes_ahead=-8" in caplog.text


async def test_many_calls_never_share_a_nonce(sandbox: SandboxServer, client: ZegoClient) -> None:
    """The sandbox refuses a nonce that comes again."""
    sandbox.settings(zego_calls_per_second=1000)
    await asyncio.gather(*(client.live_streams() for _ in range(40)))

    assert sandbox.truth()["zego"]["refusals"] == []


async def test_calls_above_the_rate_are_told_to_wait(sandbox: SandboxServer, client: ZegoClient) -> None:
    """10 a second of one action; the limit of one does not count for another."""
    found = await asyncio.gather(*(client.live_streams() for _ in range(30)), return_exceptions=True)
    refused = [error for error in found if isinstance(error, BaseException)]

    assert refused
    assert {(type(error), getattr(error, "code", "")) for error in refused} == {(ProviderBusy, "400010009")}
    assert (await client.digital_human("dh-anna")).name == "Anna"


# Catalogues


async def test_catalogues_are_read_through_all_their_pages(client: ZegoClient) -> None:
    """Every row comes once; the modes divide the avatars, and voices are public or of one avatar, never both."""
    humans = {mode: await listed(client.digital_humans(mode)) for mode in (1, 2, 3)}
    public, own = await listed(client.timbres()), await listed(client.timbres("dh-own-presenter"))

    ids = [human.digital_human_id for human in humans[1]]
    assert len(set(ids)) == len(ids) > 20
    assert {human.digital_human_id for human in humans[2] + humans[3]} == set(ids)
    assert {human.is_public for human in humans[3]} == {False}
    assert len({timbre.timbre_id for timbre in public}) == len(public) > 20
    assert [timbre.timbre_id for timbre in own] == ["tb-own-presenter"]


async def test_a_catalogue_survives_trouble(sandbox: SandboxServer, client: ZegoClient) -> None:
    """A page that fails is asked for again, as reading costs nothing; a refusal for good is one."""
    for fault, args in (("status", {"status": 503}), ("reset", {}), ("business", {"code": 400010000})):
        sandbox.arm("zego", "timbres", fault, **args)
        assert len(await listed(client.timbres("dh-own-presenter"))) == 1
    with pytest.raises(ProviderRejected) as caught:
        await listed(client.timbres("dh-nobody"))

    assert caught.value.code == DIGITAL_HUMAN_UNKNOWN


async def test_the_command_line_lists_avatars_with_actions_and_all_timbres(client: ZegoClient) -> None:
    """What a rundown names: avatars, their actions, the public voices and those that only one avatar has."""
    avatars, _ = await read_zego_catalog(client, Catalog.AVATARS, {}, 1000)
    own, _ = await read_zego_catalog(client, Catalog.AVATARS, {"custom": True}, 1000)
    timbres, is_all = await read_zego_catalog(client, Catalog.TIMBRES, {"avatar": "dh-own-presenter"}, 1000)
    some, is_some_all = await read_zego_catalog(client, Catalog.TIMBRES, {}, 2)

    rows = {row["digital_human_id"]: row for row in avatars}
    assert "802_921474" in (rows["dh-anna"]["actions"] or "").split(", ")
    assert rows["dh-anna"]["whose"] == "everybody's"
    assert {row["whose"] for row in own} == {"yours"}
    assert {(row["timbre_id"], row["avatar"]) for row in timbres} >= {
        ("tb-en-calm", ""),
        ("tb-own-presenter", "dh-own-presenter"),
    }
    assert (is_all, len(some), is_some_all) == (True, 2, False)


async def test_a_voice_that_cannot_be_used_is_told_by_its_code(client: ZegoClient) -> None:
    """Unknown, or of another avatar: the stream goes on."""
    task_id = await streaming(client)
    codes = []
    for timbre in ("tb-nobody", "tb-own-presenter"):
        with pytest.raises(ProviderRejected) as caught:
            await client.drive_text(task_id, "Hello.", timbre=timbre)
        codes.append(caught.value.code)

    assert codes == [TIMBRE_UNKNOWN, "400000009"]
    assert (await client.stream_status(task_id)).status == StreamStatus.STREAMING


# Speaking


async def test_a_stream_never_has_two_sockets(sandbox: SandboxServer, client: ZegoClient) -> None:
    """Said to its end, skipped or cancelled: a drive's socket is closed before the next one is opened (section 5.4)."""
    task_id = await streaming(client)

    async def sound(frames: int) -> AsyncIterator[bytes]:
        for _ in range(frames):
            yield bytes(3200)

    async def became(drive_id: str, status: int) -> bool:
        return any((found["drive_id"], found["status"]) == (drive_id, status) for found in sandbox.drives())

    for how in ("whole", "stopped", "cancelled", "whole"):
        drive = await client.drive_ws(task_id)
        stop = asyncio.Event()
        frames = sound(2 if how == "whole" else 1000)
        talk = asyncio.create_task(speak(drive, frames, sample_rate=16_000, unverified=True, stop=stop))
        if how != "whole":
            await until(partial(became, drive.drive_id, SPEAKING))
            await client.interrupt(task_id)
        if how == "stopped":
            stop.set()
        if how == "cancelled":
            talk.cancel()
        await asyncio.gather(talk, return_exceptions=True)

    await until(partial(became, drive.drive_id, ENDED))
    assert sandbox.truth()["zego"]["second_sockets"] == 0


# Secrets


async def test_a_shows_calls_log_no_secret(
    sandbox: SandboxServer, client: ZegoClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Not the ServerSecret, not a signature, not the token of a drive's address, at whatever level."""
    caplog.set_level(logging.DEBUG)
    task_id = await streaming(client)
    drive = await client.drive_ws(task_id)
    sandbox.arm("zego", "stop", "reset")
    with pytest.raises(ProviderUnavailable) as caught:
        await client.stop(task_id)

    token = drive.address.get_secret_value().partition("Token=")[2]
    seen = f"{caplog.text} {client!r} {drive!r} {caught.value!r}"
    assert len(token) > 8
    for secret in (sandbox.zego_server_secret, token, "Signature="):
        assert secret not in seen
