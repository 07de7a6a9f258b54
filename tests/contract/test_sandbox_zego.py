"""The sandbox's ZEGO keeps to the vendor's page: lists, the life of stream tasks, and who speaks when."""

import shutil
import time
from pathlib import Path

import pytest

from tests.contract.sandbox_calls import serving_folder, wait_for
from tests.contract.zego_calls import OVER, STOPPED, STREAMING, Zego, text_body
from tests.media_files import write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name

QUEUED, SPEAKING, FAILED, ENDED, INTERRUPTED = 1, 2, 3, 4, 5
LONG = "Good day to you. " * 30
PART = 0.3
"""Texts are cut to this part, to hurry."""


@pytest.fixture
def zego(sandbox: SandboxServer) -> Zego:
    sandbox.settings(stream_start_seconds=0, stream_stop_seconds=0, zego_text_part=PART)
    return Zego(sandbox)


# Lists


def test_digital_humans_come_in_pages(zego: Zego):
    """All pages together are all digital humans, public and private ones, each with its actions."""
    first = zego.data("GetDigitalHumanList")
    second = zego.data("GetDigitalHumanList", {"Offset": 20, "Limit": 20})
    rows = first["DigitalHumans"] + second["DigitalHumans"]
    assert (len(first["DigitalHumans"]), len({row["DigitalHumanId"] for row in rows})) == (20, first["Total"])
    public, private = (zego.data("GetDigitalHumanList", {"FetchMode": mode})["Total"] for mode in (2, 3))
    assert (public + private, private > 0) == (first["Total"], True)
    assert zego.data("GetDigitalHumanInfo", {"DigitalHumanId": "dh-anna"}) == rows[0]
    assert {"Action", "PreviewUrl"} == set(rows[0]["Actions"][0])


def test_timbres_are_public_or_bound(zego: Zego):
    """Without a digital human there are the public timbres, with one only its own."""
    public = zego.data("GetTimbreList")
    own = zego.data("GetTimbreList", {"DigitalHumanId": "dh-own-presenter"})
    assert public["Total"] > len(public["Timbres"]) == 20
    assert [row["TimbreId"] for row in own["Timbres"]] == ["tb-own-presenter"]
    assert zego.data("GetTimbreList", {"DigitalHumanId": "dh-anna"}) == {"Total": 0, "Timbres": []}


# Life of a stream task


def test_a_stream_starts_streams_and_stops(zego: Zego, sandbox: SandboxServer):
    """A task initialises, streams after the time set, is listed while it lives, and stops once."""
    sandbox.settings(stream_start_seconds=1.5, stream_stop_seconds=1.5)
    task = zego.create()
    assert zego.status(task) == 1
    (row,) = zego.data("QueryDigitalHumanStreamTasks")["TaskList"]
    assert (row["TaskId"], row["RoomId"], row["StreamId"], row["Status"]) == (task, "room-1", "show-1", 1)
    assert abs(row["CreateTime"] - time.time()) < 30
    stream = zego.wait_status(task, STREAMING)
    assert stream["started"] - stream["at"] >= 1.49
    assert [zego.stop(task), zego.status(task), zego.stop(task)] == [0, 4, 400000007]
    assert zego.data("QueryDigitalHumanStreamTasks") == {"TaskList": []}
    stopped = zego.wait_status(task, STOPPED)
    assert (stopped["how_ended"], stopped["stop_calls"], zego.status(task)) == ("stopped", 2, STOPPED)
    sandbox.settings(stream_memory_seconds=0)
    assert zego.call("GetDigitalHumanStreamTaskStatus", {"TaskId": task})["Code"] == 400000005


def test_the_end_of_a_stream_can_be_told_by_a_code(zego: Zego, sandbox: SandboxServer):
    """A stopped task is asked for in vain where the setting says so; one that still stops has its status."""
    sandbox.settings(zego_end_is_a_status=False, stream_stop_seconds=1.5)
    task = zego.streaming()
    zego.stop(task)
    assert zego.status(task) == 4
    zego.wait_status(task, STOPPED)
    assert zego.call("GetDigitalHumanStreamTaskStatus", {"TaskId": task})["Code"] == 400000007


def test_a_stream_can_be_stopped_before_it_streams(zego: Zego, sandbox: SandboxServer):
    """Stop works while the task still initialises; it never streams then."""
    sandbox.settings(stream_start_seconds=30)
    task = zego.create()
    assert zego.stop(task) == 0
    assert zego.wait_status(task, STOPPED)["started"] is None


@pytest.mark.parametrize(
    ("fate", "how", "end"), [("", "ttl", STOPPED), ("stuck", "ttl", STOPPED), ("fail", "failed", 2)]
)
def test_a_stream_ends_by_itself(zego: Zego, sandbox: SandboxServer, fate: str, how: str, end: int):
    """The lifetime ends every stream, one that never started too; a failed one tells why."""
    sandbox.settings(zego_lifetime_part=0.1)
    if fate:
        sandbox.arm("zego", "create", fate, reason="no node")
    task = zego.create(TTL=10)
    ended = zego.wait_status(task, end)
    assert (ended["how_ended"], ended["started"] is None) == (how, bool(fate))
    assert how == "failed" or ended["ended"] - ended["at"] >= 0.99
    told = zego.data("GetDigitalHumanStreamTaskStatus", {"TaskId": task})["FailReason"]
    assert told == ("no node" if how == "failed" else "")
    assert zego.stop(task) in OVER


def test_silence_ends_a_stream_and_speech_keeps_it(zego: Zego, sandbox: SandboxServer):
    """The idle time counts from the end of the last drive; while something is said it stands still."""
    spoken = zego.streaming("spoken", MaxIdleTime=30)
    drive = zego.say(spoken, "Some seconds of speech, and longer than silence may be, all in all.")
    sandbox.settings(zego_lifetime_part=0.02)
    silent = zego.create("silent", MaxIdleTime=30)
    quiet, talked = (zego.wait_status(task, STOPPED) for task in (silent, spoken))
    assert (quiet["how_ended"], talked["how_ended"]) == ("idle", "idle")
    assert quiet["ended"] - quiet["started"] >= 0.59
    said = zego.drive(drive)
    assert said["status"] == ENDED
    assert talked["ended"] - said["ended"] >= 0.59


def test_only_so_many_streams_live_at_once(zego: Zego, sandbox: SandboxServer):
    """One stream too many is refused until another has ended, and so is a StreamId that lives."""
    sandbox.settings(zego_streams=2)
    first = zego.create("a")
    zego.create("b")
    body = {"DigitalHumanConfig": {"DigitalHumanId": "dh-bo"}, "RTCConfig": {"RoomId": "r", "StreamId": "c"}}
    assert zego.call("CreateDigitalHumanStreamTask", body)["Code"] == 400000008
    body["RTCConfig"]["StreamId"] = "a"
    assert zego.call("CreateDigitalHumanStreamTask", body)["Code"] == 400000015
    zego.stop(first)
    zego.wait_status(first, STOPPED)
    assert zego.call("CreateDigitalHumanStreamTask", body)["Code"] == 0
    assert [stream["stream_id"] for stream in sandbox.live_streams()] == ["b", "a"]


# Drives


def test_texts_wait_for_each_other(zego: Zego):
    """Drives of mode 0 are said one after the other, each as long as its text."""
    task = zego.streaming()
    first, second = zego.say(task, "Good morning, and welcome to all."), zego.say(task, "Goodbye.")
    after = zego.wait_drive(second, ENDED)
    before = zego.drive(first)
    assert before["ended"] <= after["began"]
    assert before["seconds"] == pytest.approx(PART * 33 / 15, abs=0.05)
    assert before["ended"] >= before["playout"]["first_byte_at"] + before["seconds"] - 0.05
    assert before["playout"]["played_seconds"] == pytest.approx(before["seconds"], abs=0.01)


def test_the_rate_of_speech_counts(zego: Zego):
    """At rate 500 a text takes half of its time: 60 letters 2 s instead of 4."""
    task = zego.streaming()
    body = text_body(task, "x" * 60)
    body["TTSConfig"] |= {"SpeechRate": 500, "PitchRate": -500, "Volume": 100}
    drive = zego.data("DriveByText", body)["DriveId"]
    assert wait_for(lambda: zego.drive(drive)["seconds"], "its length") == pytest.approx(PART * 2, abs=0.05)


def test_mode_1_cuts_the_running_drive_only(zego: Zego):
    """InterruptMode 1 takes the running drive's place; what waited is said afterwards."""
    task = zego.streaming()
    running, waiting = zego.say(task, LONG), zego.say(task, "Later.")
    zego.wait_drive(running, SPEAKING)
    urgent = zego.say(task, "Now.", InterruptMode=1)
    cut = zego.drive(running)
    assert (cut["status"], cut["reason"]) == (INTERRUPTED, "interrupted")
    last = zego.wait_drive(waiting, ENDED)
    assert zego.drive(urgent)["ended"] <= last["began"]


def test_an_interruption_cuts_and_drops(zego: Zego):
    """InterruptDriveTask silences the running drive and everything behind it, and the stream can speak again."""
    task = zego.streaming()
    drives = [zego.say(task, LONG) for _ in range(3)]
    zego.wait_drive(drives[0], SPEAKING)
    zego.data("InterruptDriveTask", {"TaskId": task})
    assert [zego.drive(drive)["status"] for drive in drives] == [INTERRUPTED] * 3
    zego.wait_drive(zego.say(task), ENDED)


def test_socket_and_rtc_drives_silence_everything(zego: Zego):
    """Both cut what is said and drop what waits as soon as they are asked for; a text then waits behind them."""
    task = zego.streaming()
    said, waiting = zego.say(task, LONG), zego.say(task, LONG)
    first, second = (zego.data("DriveByWsStream", {"TaskId": task}) for _ in range(2))
    assert [zego.drive(drive)["status"] for drive in (said, waiting, first["DriveId"])] == [INTERRUPTED] * 3
    assert first["WssAddress"] != second["WssAddress"]
    assert second["WssAddress"].startswith("wss://127.0.0.1:")
    source = {"RoomId": "other", "StreamId": "a voice, 声"}
    rtc = zego.data("DriveByRTCStream", {"TaskId": task, "RTCConfig": source})["DriveId"]
    zego.wait_drive(rtc, SPEAKING)
    behind = zego.say(task)
    assert [zego.drive(drive)["status"] for drive in (second["DriveId"], behind)] == [INTERRUPTED, QUEUED]


def test_actions_are_noted(zego: Zego, sandbox: SandboxServer):
    """A known action is answered without data and appears in the truth; it is no drive."""
    task = zego.streaming()
    assert "Data" not in zego.call("DoAction", {"TaskId": task, "Action": "802_921474"})
    (stream,) = sandbox.streams()
    assert ([action["action"] for action in stream["actions"]], sandbox.drives()) == (["802_921474"], [])


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_sound(folder / "speech.wav", 1.5)
    write_sound(folder / "speech.mp3", 1.5, channels=2)
    write_sound(folder / "speech.m4a", 1.0)
    shutil.copy(folder / "speech.m4a", folder / "renamed.mp3")
    (folder / "text.wav").write_text("this is no sound")
    return folder


def test_files_are_fetched_decoded_and_said(zego: Zego, media: Path):
    """MP3 and WAV, also one channel of stereo, are said for as long as they really are."""
    task = zego.streaming()
    with serving_folder(media) as url:
        files = [("speech.wav", 0), ("speech.mp3", 2)]
        drives = [
            zego.data("DriveByAudio", {"TaskId": task, "AudioUrl": f"{url}/{name}", "VoiceChannel": channel})["DriveId"]
            for name, channel in files
        ]
        rows = [zego.wait_drive(drive, ENDED) for drive in drives]
    assert [row["seconds"] for row in rows] == [pytest.approx(1.5, abs=0.1)] * 2
    assert [row["ended"] >= row["playout"]["first_byte_at"] + row["seconds"] - 0.05 for row in rows] == [True, True]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("speech.m4a", "neither MP3 nor WAV"),
        ("renamed.mp3", "neither MP3 nor WAV"),
        ("text.wav", "no audio"),
        ("no.wav", "404"),
    ],
)
def test_unusable_files_fail_their_drive(zego: Zego, media: Path, name: str, reason: str):
    """A file out of reach, of another format or without sound fails its drive with a reason, and the next is said."""
    task = zego.streaming()
    with serving_folder(media) as url:
        drive = zego.data("DriveByAudio", {"TaskId": task, "AudioUrl": f"{url}/{name}"})["DriveId"]
        after = zego.say(task)
        assert reason in zego.wait_drive(drive, FAILED)["reason"]
        zego.wait_drive(after, ENDED)


def test_the_end_of_a_stream_silences_it(zego: Zego):
    """Stop interrupts what is said and drops what waits."""
    task = zego.streaming()
    drives = [zego.say(task, LONG) for _ in range(2)]
    zego.wait_drive(drives[0], SPEAKING)
    zego.stop(task)
    assert [zego.drive(drive)["status"] for drive in drives] == [INTERRUPTED] * 2
