"""The sender of a drive against the sandbox's socket: protocol, pace, prompt Stop, and secrets that stay secret."""

import asyncio
import json
import logging
import os
import socket
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve

from tasks.errors import ProviderRejected, ProviderUnavailable
from tasks.providers.zego import drive_socket
from tasks.providers.zego.models import WsDrive
from tasks.providers.zego.speaking import Sent, speak
from tasks.show.pipes import pipe_path, pipe_pcm
from tests.servers.drive_socket import DriveHouse, drive_house

TOKEN = "planted-token"


@pytest.fixture
async def house() -> AsyncIterator[DriveHouse]:
    async with drive_house() as house:
        yield house


async def tone(seconds: float, rate: int = 16_000, piece: int = 10_001) -> AsyncGenerator[bytes]:
    """A tone in pieces whose length fits no frame and cuts samples in two."""
    count = round(seconds * rate)
    sound = (np.sin(np.arange(count) * (2 * np.pi * 220 / rate)) * 12_000).astype("<i2").tobytes()
    for start in range(0, len(sound), piece):
        yield sound[start : start + piece]


async def endless(rate: int = 16_000) -> AsyncGenerator[bytes]:
    while True:
        yield bytes(rate)


@pytest.mark.parametrize("rate", [16_000, 24_000])
async def test_audio_is_said_at_its_pace(house: DriveHouse, rate: int) -> None:
    """All audio arrives in whole samples, not much sooner than it is spoken, and ends with Stop."""
    drive, heard = house.new_drive()

    began = time.monotonic()
    sent = await speak(drive, tone(4.05, rate), sample_rate=rate, unverified=True)
    took = time.monotonic() - began

    facts = await house.facts(heard)
    assert heard.outcome == "ended"
    # How even it is on a busy machine is a benchmark.
    assert took > 4.05 / 1.5
    assert facts["sample_rate"] == rate
    assert facts["seconds"] == sent.seconds == pytest.approx(4.05)
    assert facts["bytes"] == sent.bytes == 4.05 * rate * 2
    assert facts["frames"] == sent.frames == 41
    assert not facts["unfinished"]
    assert not sent.interrupted
    assert sent.first_byte_at is not None
    assert sent.first_byte_at.timestamp() == pytest.approx(facts["first_byte_at"], abs=10)


async def test_what_was_heard_is_what_was_sent(house: DriveHouse) -> None:
    """Cut into frames and put together again, the sound is the same; a stall of the machine only puts silence in."""
    drive, heard = house.new_drive()

    await speak(drive, tone(1.5), sample_rate=16_000, unverified=True)

    await house.facts(heard)
    _, pcm = heard.playout.heard_after(0)
    found, told = _sounding(pcm), _sounding(b"".join([piece async for piece in tone(1.5)]))
    # A few at the end may be lost in rounding.
    assert len(found) > 20_000
    assert np.array_equal(found, told[: len(found)])


async def test_stop_event_ends_it_promptly(house: DriveHouse) -> None:
    """A skipped cue stops sending at once, with a Stop, and its source is closed."""
    drive, heard = house.new_drive()
    source, stop = endless(), asyncio.Event()
    speaking = asyncio.create_task(speak(drive, source, sample_rate=16_000, unverified=True, stop=stop))
    await _until(lambda: heard.outcome == "speaking")

    stop.set()
    sent = await asyncio.wait_for(speaking, 10)

    facts = await house.facts(heard)
    assert sent.interrupted
    assert not facts["unfinished"]
    assert facts["seconds"] == pytest.approx(sent.seconds)
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_stop_while_the_source_is_silent(house: DriveHouse, studio_home: object) -> None:
    """A live pipe that gives nothing does not delay an interruption."""
    file = os.open(pipe_path("live"), os.O_RDWR)
    try:
        os.write(file, bytes(6400))
        drive, heard = house.new_drive()
        stop = asyncio.Event()
        speaking = asyncio.create_task(
            speak(drive, pipe_pcm("live", 16_000, 60), sample_rate=16_000, unverified=True, stop=stop)
        )
        await _until(lambda: heard.outcome == "speaking")

        stop.set()
        sent = await asyncio.wait_for(speaking, 10)

        assert sent.interrupted
        assert sent.bytes == 6400
        assert not (await house.facts(heard))["unfinished"]
    finally:
        os.close(file)


async def test_cancelled_show_says_stop(house: DriveHouse) -> None:
    """A run that is cancelled does not leave the avatar waiting for more."""
    drive, heard = house.new_drive()
    speaking = asyncio.create_task(speak(drive, endless(), sample_rate=16_000, unverified=True))
    await _until(lambda: heard.outcome == "speaking")

    speaking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(speaking, 10)

    assert not (await house.facts(heard))["unfinished"]


async def test_failing_source_says_stop_and_raises(house: DriveHouse) -> None:
    """A recording that breaks in the middle is said up to there, and its error is not lost."""

    async def breaking() -> AsyncGenerator[bytes]:
        yield bytes(16_000)
        raise OSError("the disk is gone")

    drive, heard = house.new_drive()

    with pytest.raises(OSError, match="the disk is gone"):
        await speak(drive, breaking(), sample_rate=16_000, unverified=True)

    facts = await house.facts(heard)
    assert facts["seconds"] == pytest.approx(0.5)
    assert not facts["unfinished"]


async def test_socket_is_opened_only_when_there_is_something_to_say(house: DriveHouse) -> None:
    """An empty source, or one that fails at once, opens no socket that the vendor would wait at."""

    async def nothing() -> AsyncGenerator[bytes]:
        return
        yield b""

    drive, heard = house.new_drive()

    sent = await speak(drive, nothing(), sample_rate=16_000, unverified=True)

    assert sent == Sent(0, 0, 0, None, 0, 0, interrupted=False)
    assert heard.outcome == ""


async def test_late_live_source_is_no_failure(house: DriveHouse) -> None:
    """A source that pauses for a second is followed; the pause is heard, and not blamed on the sender."""

    async def halting() -> AsyncGenerator[bytes]:
        yield bytes(3200)
        await asyncio.sleep(1)
        yield bytes(32_000)

    drive, heard = house.new_drive()

    sent = await speak(drive, halting(), sample_rate=16_000, unverified=True)

    facts = await house.facts(heard)
    assert heard.outcome == "ended"
    assert facts["underruns"] > 0
    assert sent.seconds == pytest.approx(1.1)
    assert sent.latest_frame_seconds < 0.9


async def test_certificate_is_checked_unless_told_otherwise(house: DriveHouse) -> None:
    """The vendor's certificate is accepted unseen only by a person's choice, and the refusal names the switch."""
    drive, _ = house.new_drive()

    with pytest.raises(ProviderRejected, match="certificate cannot be verified") as refused:
        await speak(drive, tone(1), sample_rate=16_000, unverified=False)

    assert "certificate unseen" in refused.value.fix


async def test_exception_of_one_socket_concerns_no_other(house: DriveHouse) -> None:
    """After an unverified socket, other connections still verify."""
    drive, _ = house.new_drive()
    await speak(drive, tone(0.2), sample_rate=16_000, unverified=True)

    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED
    again, _ = house.new_drive()
    with pytest.raises(ProviderRejected):
        await speak(again, tone(0.2), sample_rate=16_000, unverified=False)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (f"ws://8.8.8.8:8080/ws?Token={TOKEN}", "is not encrypted"),
        (f"ws://stream.example.com/ws?Token={TOKEN}", "is not encrypted"),
        (f"https://127.0.0.1/ws?Token={TOKEN}", "is none"),
        ("", "is none"),
    ],
)
async def test_unsafe_addresses_are_refused(address: str, told: str) -> None:
    """Speech and token never leave this machine in clear, and a refusal does not quote them."""
    drive = WsDrive(drive_id="d", address=SecretStr(address))

    with pytest.raises(ProviderRejected, match=told) as refused:
        await speak(drive, tone(0.2), sample_rate=16_000, unverified=True)

    assert TOKEN not in str(refused.value)


async def test_used_token_is_an_error_without_the_token(house: DriveHouse) -> None:
    """An address that the vendor takes no second time, as the sandbox does, ends in an error that can be shown."""
    drive, heard = house.new_drive()
    await speak(drive, tone(0.2), sample_rate=16_000, unverified=True)

    with pytest.raises(ProviderUnavailable, match=r"was closed by zego \(4403, unknown or used token\)") as refused:
        await speak(drive, endless(), sample_rate=16_000, unverified=True)

    assert refused.value.sent
    assert heard.token not in str(refused.value)


async def test_lost_network_is_noticed(house: DriveHouse) -> None:
    """A socket that breaks ends the cue with an error that says how much was sent."""
    drive, heard = house.new_drive()
    speaking = asyncio.create_task(speak(drive, endless(), sample_rate=16_000, unverified=True))
    await _until(lambda: heard.outcome == "speaking")

    house.server.cut()

    with pytest.raises(ProviderUnavailable, match=r"socket of drive drive-1 was closed .* after \d\.\d s") as broken:
        await asyncio.wait_for(speaking, 5)
    assert broken.value.sent
    assert (await house.facts(heard))["unfinished"]


async def test_nobody_listens() -> None:
    """Where no server is, nothing was sent, and the next try may be made at once."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"wss://127.0.0.1:{taken.getsockname()[1]}/ws?Token={TOKEN}"

        with pytest.raises(ProviderUnavailable, match="does not open") as error:
            await speak(WsDrive(drive_id="d", address=SecretStr(address)), tone(1), sample_rate=16_000, unverified=True)

    assert not error.value.sent
    assert TOKEN not in str(error.value)


async def test_vendor_that_takes_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stops reading ends the cue after a deadline, instead of holding the show for ever."""
    monkeypatch.setattr("tasks.providers.zego.speaking.SEND_SECONDS", 0.5)
    monkeypatch.setattr("tasks.providers.zego.speaking.STOP_SECONDS", 0.2)
    monkeypatch.setattr(drive_socket, "STOP_SECONDS", 0.2)
    monkeypatch.setattr(drive_socket, "_SEND_BUFFER", 4096)

    async def deaf(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await connection.wait_closed()

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    async with plain_server(deaf, listener) as drive:
        with pytest.raises(ProviderUnavailable, match=r"took nothing for 0\.5 s") as error:
            await asyncio.wait_for(speak(drive, endless(24_000), sample_rate=24_000, unverified=False), 8)

    assert error.value.sent


async def test_undocumented_messages_are_read_and_tolerated(caplog: pytest.LogCaptureFixture) -> None:
    """The page documents no message of the server; whatever comes neither blocks the socket nor is logged in full."""
    heard: list[str | bytes] = []

    async def talkative(connection: ServerConnection) -> None:
        for _ in range(100):
            await connection.send(f"welcome {TOKEN}")
        heard.extend([message async for message in connection])

    async with plain_server(talkative) as drive:
        sent = await speak(drive, tone(1), sample_rate=16_000, unverified=False)

    assert json.loads(heard[0]) == {"Action": "Start", "Payload": {"DriveId": "d", "SampleRate": 16_000}}
    assert [len(message) for message in heard[1:-1]] == [3200] * sent.frames
    assert json.loads(heard[-1]) == {"Action": "Stop", "Payload": {"DriveId": "d"}}
    assert "undocumented message" in caplog.text
    assert TOKEN not in caplog.text


async def test_token_is_never_logged(house: DriveHouse, caplog: pytest.LogCaptureFixture) -> None:
    """Not even with every library at debug level, where the websocket library would write its request line."""
    caplog.set_level(logging.DEBUG)
    drive, heard = house.new_drive()

    await speak(drive, tone(0.3), sample_rate=16_000, unverified=True)

    assert "drive sent drive=drive-1" in caplog.text
    assert heard.token not in caplog.text


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (f"bad address /ws?Token={TOKEN}", "for a reason that quotes the address"),
        (f"unknown token {TOKEN}", "for a reason that quotes the address"),
        (f"unknown token {TOKEN[:9]}…", "for a reason that quotes the address"),
        ("unknown token", "unknown token"),
    ],
)
async def test_reason_of_a_close_does_not_quote_the_token(reason: str, told: str) -> None:
    """A server that quotes any part of the address in its farewell does not bring it into an error."""

    async def quoting(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close(4400, reason)

    async with plain_server(quoting) as drive:
        with pytest.raises(ProviderUnavailable, match=f"4400, {told}") as error:
            await speak(drive, endless(), sample_rate=16_000, unverified=False)

    assert TOKEN[:9] not in str(error.value)


@asynccontextmanager
async def plain_server(
    converse: Callable[[ServerConnection], object], listener: socket.socket | None = None
) -> AsyncGenerator[WsDrive]:
    """A server without TLS on loopback, which is allowed only there, and a drive on it."""
    place = {"sock": listener} if listener else {"host": "127.0.0.1", "port": 0}
    async with serve(converse, **place, close_timeout=0.5) as server:
        port = server.sockets[0].getsockname()[1]
        yield WsDrive(drive_id="d", address=SecretStr(f"ws://127.0.0.1:{port}/ws?Token={TOKEN}"))


def _sounding(pcm: bytes) -> np.ndarray:
    """The samples that are not silent."""
    samples = np.frombuffer(pcm, "<i2")
    return samples[samples != 0]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - the drive keeps its outcome as a word
            await asyncio.sleep(0.01)
