"""The sandbox's ZEGO calls back, misbehaves on demand, and loses nothing when it is killed."""

import hashlib
import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.contract.sandbox_calls import serving_folder, wait_for
from tests.contract.zego_calls import STOPPED, STREAMING, Zego, called_back, create_body, text_body
from tests.media_files import write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name

CUT = (httpx.RemoteProtocolError, httpx.ReadError)
ENDED = 4


@pytest.fixture
def zego(sandbox: SandboxServer) -> Zego:
    sandbox.settings(stream_start_seconds=0, stream_stop_seconds=0)
    return Zego(sandbox)


def genuine(event: dict, secret: str) -> bool:
    """Whether the signature is that of the page: SHA-1 over the three strings, sorted."""
    told = "".join(sorted([secret, event["Timestamp"], event["Nonce"]]))
    return event["Signature"] == hashlib.sha1(told.encode(), usedforsecurity=False).hexdigest()


# Callbacks


def test_every_change_is_called_back(zego: Zego, sandbox: SandboxServer):
    """Each status of task and drive comes once, signed, and in order when ordered by EventTime."""
    with called_back() as (url, came):
        sandbox.settings(zego_callback_url=f"{url}/zego", stream_start_seconds=0.1, stream_stop_seconds=0.1)
        task = zego.streaming()
        drive = zego.say(task)
        zego.wait_drive(drive, ENDED)
        zego.stop(task)
        wait_for(lambda: len(came) == 7, "seven callbacks")
    assert all(genuine(event, sandbox.zego_callback_secret) for event in came)
    assert {(event["AppId"], event["TaskId"], len(event["Timestamp"])) for event in came} == {
        (sandbox.zego_app_id, task, 10)
    }
    events = sorted(came, key=lambda event: event["EventTime"])
    assert abs(events[0]["EventTime"] / 1000 - time.time()) < 60
    assert [event["Detail"]["Status"] for event in events if event["EventType"] == 3] == [1, 3, 4, 5]
    assert [event["Detail"] for event in events if event["EventType"] == 4] == [
        {"DriveId": drive, "Status": status} for status in (1, 2, 4)
    ]
    assert events[0]["Detail"] == {"Status": 1, "RoomId": "room-1", "StreamId": "show-1"}


def test_a_failed_start_is_called_back_with_its_reason(zego: Zego, sandbox: SandboxServer):
    """Status 2 carries FailReason."""
    with called_back() as (url, came):
        sandbox.settings(zego_callback_url=url)
        sandbox.arm("zego", "create", "fail", reason="no node")
        zego.create()
        wait_for(lambda: len(came) == 2, "two callbacks")
    assert [event["Detail"].get("FailReason") for event in came if event["Detail"]["Status"] == 2] == ["no node"]


def test_callbacks_are_repeated_until_they_are_accepted(zego: Zego, sandbox: SandboxServer):
    """Whatever is not 2xx is tried again, freshly signed and with the same EventTime, six times in all."""
    answers = iter([500, 302, 404, 204])
    with called_back(lambda _: next(answers)) as (url, came):
        sandbox.settings(zego_callback_url=url, zego_callback_pause_scale=0.01, stream_start_seconds=600)
        zego.create()
        wait_for(lambda: sandbox.truth()["zego"]["callbacks"][0]["accepted"], "an accepted callback")
    assert len(came) == 4
    assert len({event["Nonce"] for event in came}) == 4
    assert len({event["EventTime"] for event in came}) == 1


def test_callbacks_are_given_up(zego: Zego, sandbox: SandboxServer):
    """After five repetitions nothing more comes."""
    with called_back(lambda _: 503) as (url, came):
        sandbox.settings(zego_callback_url=url, zego_callback_pause_scale=0.01, stream_start_seconds=600)
        zego.create()
        (event,) = wait_for(
            lambda: (events := sandbox.truth()["zego"]["callbacks"]) and events[0]["given_up"] and events, "the end"
        )
    assert (event["attempts"], event["accepted"], len(came)) == (6, False, 6)


def test_callbacks_can_be_off(zego: Zego, sandbox: SandboxServer):
    """With notices off, or with no address, nothing is sent."""
    with called_back() as (url, came):
        sandbox.settings(zego_callback_url=url, send_notices=False)
        zego.stop(zego.streaming("a"))
        sandbox.settings(zego_callback_url="", send_notices=True)
        zego.stop(zego.streaming("b"))
    assert (came, sandbox.truth()["zego"]["callbacks"]) == ([], [])


# Faults


def test_a_lost_answer_leaves_a_stream_to_be_found(zego: Zego):
    """Create's answer is lost and its stream lives; the list names it and its StreamId is taken."""
    zego.server.arm("zego", "create", "lost_answer")
    with pytest.raises(CUT):
        zego.create("lost")
    (row,) = zego.data("QueryDigitalHumanStreamTasks")["TaskList"]
    assert row["StreamId"] == "lost"
    assert zego.call("CreateDigitalHumanStreamTask", create_body("lost"))["Code"] == 400000015


def test_generic_faults_work_on_every_action(zego: Zego, sandbox: SandboxServer):
    """A reset, a status and a code of the vendor come before the call acts, as often as armed."""
    task = zego.streaming()
    sandbox.arm("zego", "stop", "business", times=2, code=400010002, message="system busy")
    assert [zego.stop(task) for _ in range(3)] == [400010002, 400010002, 0]
    sandbox.arm("zego", "list", "status", status=503, retry_after=3)
    answer = zego.http.post("/", params=zego.signed("QueryDigitalHumanStreamTasks"), json={})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    sandbox.arm("zego", "text", "reset")
    with pytest.raises(CUT):
        zego.call("DriveByText", text_body(task))
    sandbox.arm("zego", "status", "unknown_word", word=7)
    assert [zego.status(task), zego.status(task) in {4, 5}] == [7, True]
    assert sandbox.streams()[0]["stop_calls"] == 1


def test_senseless_faults_are_refused(sandbox: SandboxServer):
    """Fates belong to create, unknown words to status, and ZEGO has no query call."""
    for call, fault in (("text", "stuck"), ("list", "unknown_word"), ("query", "reset"), ("status", "wrong_md5")):
        body = {"vendor": "zego", "call": call, "fault": fault}
        assert httpx.post(f"{sandbox.url}/control/faults", json=body).status_code == 400


def test_a_reset_ends_everything(zego: Zego, sandbox: SandboxServer):
    """Nothing of a stream, its drives or its callbacks is left, and its StreamId is free."""
    with called_back(lambda _: 500) as (url, _):
        sandbox.settings(zego_callback_url=url)
        zego.say(zego.streaming())
        sandbox.reset()
        truth = sandbox.truth()["zego"]
        assert {name: truth[name] for name in ("streams", "drives", "callbacks", "calls")} == {
            "streams": [],
            "drives": [],
            "callbacks": [],
            "calls": {},
        }
    assert zego.create()


# Drive sockets


@contextmanager
def socket_to(address: str) -> Iterator[ClientConnection]:
    """The vendor's socket, whose certificate nobody signed."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with connect(address, ssl=trusting, proxy=None, compression=None) as socket:
        yield socket


def told(action: str, drive: dict) -> str:
    return json.dumps({"Action": action, "Payload": {"DriveId": drive["DriveId"]}})


def test_what_comes_through_the_socket_is_said(zego: Zego):
    """A socket drive speaks as long as its audio and then makes room; its address is good once."""
    task = zego.streaming()
    drive = zego.data("DriveByWsStream", {"TaskId": task})
    behind = zego.say(task)
    with socket_to(drive["WssAddress"]) as socket:
        socket.send(told("Start", drive))
        socket.send(bytes(32_000))
        socket.send(told("Stop", drive))
        with socket_to(drive["WssAddress"]) as second, pytest.raises(ConnectionClosed):
            second.recv(10)
        said = zego.wait_drive(drive["DriveId"], ENDED)
    assert (said["seconds"], said["playout"]["unfinished"]) == (1.0, False)
    assert zego.wait_drive(behind, ENDED)["began"] >= said["ended"]


def test_a_second_socket_of_a_stream_is_refused_and_counted(zego: Zego, sandbox: SandboxServer):
    """Its drive fails and the report tells; so it is with the socket of a drive that was cut but not closed."""
    task = zego.streaming()
    cut = zego.data("DriveByWsStream", {"TaskId": task})
    with socket_to(cut["WssAddress"]) as socket:
        socket.send(told("Start", cut))
        crowding = zego.data("DriveByWsStream", {"TaskId": task})
        with socket_to(crowding["WssAddress"]) as second, pytest.raises(ConnectionClosed, match="4423"):
            second.recv(10)
    assert "another socket" in zego.wait_drive(crowding["DriveId"], 3)["reason"]
    assert sandbox.truth()["zego"]["second_sockets"] == 1
    after = zego.data("DriveByWsStream", {"TaskId": task})
    with socket_to(after["WssAddress"]) as socket:
        socket.send(told("Start", after))
        socket.send(told("Stop", after))
        zego.wait_drive(after["DriveId"], ENDED)
    assert sandbox.truth()["zego"]["second_sockets"] == 1


def test_an_interruption_reaches_the_socket_drive(zego: Zego):
    """What was still to be said is dropped, and the truth keeps what had come."""
    task = zego.streaming()
    drive = zego.data("DriveByWsStream", {"TaskId": task})
    with socket_to(drive["WssAddress"]) as socket:
        socket.send(told("Start", drive))
        socket.send(bytes(320_000))
        zego.wait_drive(drive["DriveId"], 2)
        zego.data("InterruptDriveTask", {"TaskId": task})
        cut = zego.drive(drive["DriveId"])
    assert (cut["status"], cut["seconds"], cut["playout"]["dropped"]) == (5, 10.0, True)


def test_sockets_can_be_cut_and_refused(zego: Zego, sandbox: SandboxServer):
    """A cut socket leaves an unfinished drive; an armed fault refuses the socket of the next one."""
    task = zego.streaming()
    drive = zego.data("DriveByWsStream", {"TaskId": task})
    with socket_to(drive["WssAddress"]) as socket:
        socket.send(told("Start", drive))
        socket.send(bytes(3200))
        zego.wait_drive(drive["DriveId"], 2)
        assert sandbox.cut_sockets() == 1
        with pytest.raises(ConnectionClosed):
            socket.recv(10)
    assert zego.wait_drive(drive["DriveId"], ENDED)["playout"]["unfinished"]
    sandbox.arm("zego", "socket", "reset")
    refused = zego.data("DriveByWsStream", {"TaskId": task})
    with socket_to(refused["WssAddress"]) as socket, pytest.raises(ConnectionClosed):
        socket.recv(10)
    with socket_to(refused["WssAddress"]) as socket:
        socket.send(told("Start", refused))
        socket.send(told("Stop", refused))
        zego.wait_drive(refused["DriveId"], ENDED)


# Restart


def test_a_kill_loses_no_stream(sandbox: SandboxServer, tmp_path: Path):
    """After a SIGKILL streams go on, what waited is said, what was being said has failed, and callbacks are sent."""
    write_sound(tmp_path / "speech.wav", 1.0)
    zego = Zego(sandbox)
    with serving_folder(tmp_path) as files, called_back() as (url, came):
        sandbox.settings(stream_start_seconds=0, zego_callback_url=url)
        task = zego.streaming()
        said = zego.say(task, "Good day to you. " * 30)
        waits = zego.data("DriveByAudio", {"TaskId": task, "AudioUrl": f"{files}/speech.wav"})["DriveId"]
        zego.wait_drive(said, 2)
        sandbox.settings(stream_start_seconds=2)
        starting = zego.create("starting")
        before = {stream["task_id"]: stream["at"] for stream in sandbox.streams()}
        sandbox.kill()
        sandbox.restart()
        zego.wait_drive(waits, ENDED)
        assert zego.drive(said)["status"] == 3
        assert {stream["task_id"]: stream["at"] for stream in sandbox.streams()} == before
        zego.wait_status(starting, STREAMING)
        assert [zego.stop(task), zego.stop(starting)] == [0, 0]
        zego.wait_status(task, STOPPED)
        told = {"DriveId": said, "Status": 3}
        wait_for(lambda: told in [event["Detail"] for event in came], "the failed drive's callback")


def test_a_lifetime_goes_on_while_the_server_is_down(sandbox: SandboxServer):
    """A stream whose lifetime has ended meanwhile is over soon after the restart: it counts from the creation."""
    zego = Zego(sandbox)
    sandbox.settings(stream_start_seconds=0, stream_stop_seconds=0, zego_lifetime_part=0.6)
    task = zego.streaming(TTL=10)
    (born,) = (stream["at"] for stream in sandbox.streams())
    sandbox.kill()
    time.sleep(max(0.0, born + 6 - time.time()))
    sandbox.restart()
    back = time.time()
    stream = zego.wait_status(task, STOPPED)
    assert stream["how_ended"] == "ttl"
    assert stream["ended"] < back + 3
