"""The sandbox's drive socket over real TLS: what the page allows is said and measured, everything else is refused."""

import asyncio
import itertools
import json
import resource
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from infra.sandbox.zego import talk
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.sockets import SocketServer

FRAME = 0.1
PATIENCE = 10.0
Words = list[str]


class Drive:
    """A drive that writes down what it is told."""

    def __init__(self, drive_id: str, task_id: str) -> None:
        self.drive_id, self.task_id = drive_id, task_id
        self.cancelled, self.over, self.spoke = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.told: Words = []

    def speaking(self) -> None:
        self.told.append("speaking")
        self.spoke.set()

    def ended(self, interrupted: bool) -> None:
        self.told.append("interrupted" if interrupted else "ended")
        self.over.set()

    def failed(self, reason: str) -> None:
        self.told.append(reason)
        self.over.set()

    async def wait_spoken(self) -> None:
        """Wait for the first word."""
        async with asyncio.timeout(PATIENCE):
            await self.spoke.wait()

    async def outcome(self) -> Words:
        """All that it was told until its end."""
        async with asyncio.timeout(PATIENCE):
            await self.over.wait()
        return self.told


class Desk:
    """A socket server, the streams behind it, and sockets to it."""

    def __init__(self) -> None:
        self.drives: dict[str, Drive] = {}
        self.playouts: dict[str, Playout] = {}
        self.server = SocketServer(self._open, self.playouts.__getitem__)
        self._numbers = itertools.count(1)

    def _open(self, token: str) -> Drive | None:
        drive = self.drives.get(token)
        if drive is not None:
            self.playouts.setdefault(drive.task_id, Playout())
        return drive

    def add(self, task_id: str = "task") -> Drive:
        drive_id = f"drive-{next(self._numbers)}"
        self.drives[f"token-of-{drive_id}"] = drive = Drive(drive_id, task_id)
        return drive

    def socket(self, drive: Drive, path: str = "/ws") -> connect:
        """A socket whose certificate is accepted unseen."""
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        address = f"wss://127.0.0.1:{self.server.port}{path}?Token=token-of-{drive.drive_id}"
        return connect(address, ssl=trusting, proxy=None)

    def facts(self, drive: Drive) -> dict[str, Any]:
        return self.playouts[drive.task_id].facts(drive.drive_id)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()
    await made.server.start("127.0.0.1")
    yield made
    await made.server.stop()


def start(drive: Drive, **payload: Any) -> str:
    return json.dumps({"Action": "Start", "SequenceID": "1", "Payload": {"DriveId": drive.drive_id, **payload}})


def stop(drive: Drive) -> str:
    return json.dumps({"Action": "Stop", "Payload": {"DriveId": drive.drive_id}})


def quiet(seconds: float, rate: int = 16_000) -> bytes:
    return bytes(round(seconds * rate) * 2)


async def closing(socket: ClientConnection) -> int:
    """The code that the server closes a socket with."""
    with pytest.raises(ConnectionClosed):
        await asyncio.wait_for(socket.recv(), PATIENCE)
    assert socket.close_code is not None
    return socket.close_code


async def test_a_drive_is_said_in_real_time(desk: Desk) -> None:
    """Start, PCM, Stop: it speaks, and has ended when the audio is over, though the socket was closed long before."""
    drive = desk.add()
    began = time.monotonic()
    async with desk.socket(drive) as socket:
        await socket.send(start(drive, SampleRate=24000, Channel=1, VoiceChannel=0))
        for _ in range(10):
            await socket.send(quiet(FRAME, 24_000))
        await socket.send(stop(drive))

    assert await drive.outcome() == ["speaking", "ended"]
    assert time.monotonic() - began >= 1.0
    facts = desk.facts(drive)
    assert (facts["frames"], facts["bytes"], facts["seconds"]) == (10, 48_000, 1.0)
    assert (facts["underruns"], facts["unfinished"], facts["dropped"]) == (0, False, False)
    assert facts["first_byte_at"] == pytest.approx(time.time(), abs=30)


async def test_the_rate_is_16000_unless_said_otherwise(desk: Desk) -> None:
    """SampleRate is optional, and so is SequenceID."""
    drive = desk.add()
    async with desk.socket(drive) as socket:
        await socket.send(json.dumps({"Action": "Start", "Payload": {"DriveId": drive.drive_id}}))
        await socket.send(quiet(0.1))
        await socket.send(stop(drive))

    assert await drive.outcome() == ["speaking", "ended"]
    assert desk.facts(drive)["sample_rate"] == 16_000
    assert desk.facts(drive)["seconds"] == pytest.approx(0.1)


async def test_a_hole_in_the_audio_is_measured(desk: Desk) -> None:
    """A sender that falls silent in the middle leaves an under-run of about that length."""
    drive = desk.add()
    async with desk.socket(drive) as socket:
        await socket.send(start(drive))
        await socket.send(quiet(0.2))
        await asyncio.sleep(1.4)
        await socket.send(quiet(0.2))
        await socket.send(stop(drive))
        await drive.outcome()

    facts = desk.facts(drive)
    assert facts["underruns"] == 1
    assert 0.8 < facts["underrun_seconds"] < 5


@pytest.mark.parametrize(
    ("options", "side"),
    [({"Channel": 2}, 100), ({"Channel": 2, "VoiceChannel": 1}, 300), ({"Channel": 2, "VoiceChannel": 2}, -100)],
)
async def test_stereo_speaks_with_the_channel_that_was_asked_for(
    desk: Desk, options: dict[str, int], side: int
) -> None:
    """Interleaved samples are mixed, or one side is taken."""
    drive = desk.add()
    both = (300).to_bytes(2, "little", signed=True) + (-100).to_bytes(2, "little", signed=True)
    async with desk.socket(drive) as socket:
        await socket.send(start(drive, **options))
        await socket.send(both * 1600)
        await socket.send(stop(drive))
        await drive.outcome()

    assert desk.facts(drive)["seconds"] == pytest.approx(0.1)
    heard = desk.playouts["task"].heard_after(0)[1]
    assert {int.from_bytes(heard[at : at + 2], "little", signed=True) for at in range(0, len(heard), 2)} == {0, side}


WRONG = {
    "PCM first": ([quiet(0.1)], "before Start"),
    "no JSON": (["Start"], "Start: "),
    "a list": (["[]"], "Start: "),
    "Stop first": (["STOP"], "Start: Action"),
    "no drive": (['{"Action": "Start", "Payload": {}}'], "Payload.DriveId"),
    "another drive": (['{"Action": "Start", "Payload": {"DriveId": "x"}}'], "not the drive"),
    "a rate as text": ([{"SampleRate": "16000"}], "Payload.SampleRate"),
    "another rate": ([{"SampleRate": 48000}], "Payload.SampleRate"),
    "three channels": ([{"Channel": 3}], "Payload.Channel"),
    "an unknown field": ([{"Volume": 3}], "Payload.Volume"),
    "half a sample": ([{}, b"abc"], "not whole samples of 2"),
    "half a pair": ([{"Channel": 2}, b"abcdef"], "not whole samples of 4"),
    "Start twice": ([{}, {}], "Stop: Action"),
    "a numbered Stop": ([{}, '{"Action": "Stop", "SequenceID": "2", "Payload": {"DriveId": "x"}}'], "Stop: SequenceID"),
    "another Stop": ([{}, '{"Action": "Stop", "Payload": {"DriveId": "x"}}'], "not the drive"),
    "PCM after Stop": ([{}, quiet(0.1), "STOP", quiet(0.1)], "after Stop"),
    "Start after Stop": ([{}, quiet(0.1), "STOP", {}], "after Stop"),
}


@pytest.mark.parametrize(("messages", "reason"), WRONG.values(), ids=WRONG)
async def test_a_wrong_message_closes_the_socket(desk: Desk, messages: list[Any], reason: str) -> None:
    """The drive fails with a reason that names the field, and the socket is closed with 4400."""
    drive = desk.add()
    async with desk.socket(drive) as socket:
        for message in messages:
            told = stop(drive) if message == "STOP" else message
            await socket.send(start(drive, **told) if isinstance(told, dict) else told)
        assert await closing(socket) == 4400

    assert reason in (await drive.outcome())[-1]
    assert "ended" not in drive.told


async def test_nobody_enters_without_a_token(desk: Desk) -> None:
    """An unknown token and another path are turned away."""
    drive = Drive("unknown", "task")
    async with desk.socket(drive) as socket:
        assert await closing(socket) == 4403
    with pytest.raises(InvalidStatus, match="404"):
        await desk.socket(drive, "/other")


async def test_a_stream_has_one_socket_at_a_time(desk: Desk) -> None:
    """A second socket fails its drive and disturbs nobody; once the first is closed another may come."""
    first, second, third = desk.add(), desk.add(), desk.add()
    elsewhere = desk.add("another task")
    async with desk.socket(first) as socket:
        await socket.send(start(first))
        async with desk.socket(second) as crowding, desk.socket(elsewhere) as beside:
            assert await closing(crowding) == 4423
            await beside.send(start(elsewhere))
            await beside.send(stop(elsewhere))
        await socket.send(quiet(0.1))
        await socket.send(stop(first))
        assert await first.outcome() == ["speaking", "ended"]
    async with desk.socket(third) as socket:
        await socket.send(start(third))
        await socket.send(stop(third))

    assert await second.outcome() == ["another socket of the stream was open"]
    assert [await drive.outcome() for drive in (third, elsewhere)] == [["ended"], ["ended"]]


async def test_the_certificate_is_worth_nothing(desk: Desk) -> None:
    """A client that verifies refuses the socket, as it would the vendor's."""
    with pytest.raises(ssl.SSLCertVerificationError):
        await connect(f"wss://127.0.0.1:{desk.server.port}/ws?Token=x", proxy=None)


async def test_a_socket_that_never_starts_fails_its_drive(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open socket without a Start is closed after a while."""
    monkeypatch.setattr(talk, "START_SECONDS", 0.1)
    drive = desk.add()
    async with desk.socket(drive) as socket:
        assert await closing(socket) == 4400

    assert await drive.outcome() == ["no Start within 0.1 s"]


@pytest.mark.parametrize("hard", [True, False])
async def test_a_socket_closed_without_stop_is_an_unfinished_drive(desk: Desk, hard: bool) -> None:
    """What came is said, and the drive is counted as unfinished; so it is when the network is cut."""
    drive = desk.add()
    async with desk.socket(drive) as socket:
        await socket.send(start(drive))
        await socket.send(quiet(0.3))
        if hard:
            await drive.wait_spoken()
            assert desk.server.cut() == 1
            assert await closing(socket) == 1006

    assert await drive.outcome() == ["speaking", "ended"]
    assert desk.facts(drive)["unfinished"]


async def test_an_interrupted_drive_falls_silent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends at once, what still comes is ignored, and the socket is closed if the client does not."""
    monkeypatch.setattr(talk, "LINGER_SECONDS", 0.2)
    drive = desk.add()
    async with desk.socket(drive) as socket:
        await socket.send(start(drive))
        await socket.send(quiet(20))
        await drive.wait_spoken()
        drive.cancelled.set()
        assert await drive.outcome() == ["speaking", "interrupted"]
        await socket.send(quiet(0.1))
        assert await closing(socket) == 4409

    facts = desk.facts(drive)
    assert facts["dropped"]
    assert facts["played_seconds"] < 10
    assert facts["frames"] == 1


async def test_twenty_streams_cost_little(desk: Desk) -> None:
    """Twenty sockets at the speed of speech, their senders included, leave a core to others."""
    spent, seconds = resource.getrusage(resource.RUSAGE_SELF), 3.0

    async def send(drive: Drive) -> None:
        async with desk.socket(drive) as socket:
            await socket.send(start(drive, SampleRate=24000))
            first = time.monotonic()
            for number in range(round(seconds / FRAME)):
                await asyncio.sleep(first + number * FRAME / 1.2 - time.monotonic())
                await socket.send(quiet(FRAME, 24_000))
            await socket.send(stop(drive))

    drives = [desk.add(f"task-{number}") for number in range(20)]
    await asyncio.gather(*map(send, drives))
    for drive in drives:
        assert await drive.outcome() == ["speaking", "ended"]
    used = resource.getrusage(resource.RUSAGE_SELF)
    # CPU seconds for a second of one stream.
    cost = (used.ru_utime + used.ru_stime - spent.ru_utime - spent.ru_stime) / (len(drives) * seconds)

    assert all(desk.facts(drive)["seconds"] == pytest.approx(seconds) for drive in drives)
    assert cost < 0.04
