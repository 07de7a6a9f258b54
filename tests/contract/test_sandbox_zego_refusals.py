"""The sandbox's ZEGO refuses what the vendor's page forbids, with the vendor's own code, and accepts nothing by it."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.contract.zego_calls import Zego, create_body, text_body
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name

INVALID = 400000001
STREAM = "show-1"
TASK = "the task"


@pytest.fixture
def zego(sandbox: SandboxServer) -> Zego:
    sandbox.settings(stream_start_seconds=0)
    return Zego(sandbox)


def changed(body: dict, path: str, value: object) -> dict:
    """A body in which one field, named by its path, is another or gone."""
    copy = json.loads(json.dumps(body))
    *groups, name = path.split(".")
    inner = copy
    for group in groups:
        inner = inner[group]
    if value is None:
        del inner[name]
    else:
        inner[name] = value
    return copy


# Common parameters


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Signature": "0" * 32}, 100000005),
        ({"Signature": "ä"}, 100000005),
        ({"AppId": "1"}, 100000005),
        ({"SignatureVersion": "1.0"}, INVALID),
        ({"SignatureVersion": ""}, INVALID),
        ({"SignatureNonce": ""}, INVALID),
        ({"Timestamp": "soon"}, INVALID),
        ({"Timestamp": "-5"}, INVALID),
        ({"Action": "GetDriveStatus"}, INVALID),
        ({"Action": ""}, INVALID),
    ],
)
def test_strangers_are_refused(zego: Zego, sandbox: SandboxServer, change: dict, code: int):
    """A wrong, missing or misspelt common parameter refuses the call."""
    answer = zego.post(zego.signed("CreateDigitalHumanStreamTask", **change), create_body())
    assert (answer["Code"], bool(answer["Message"]), "Data" in answer) == (code, True, False)
    truth = sandbox.truth()["zego"]
    assert (truth["streams"], [refusal["code"] for refusal in truth["refusals"]]) == ([], [str(code)])


def test_the_documented_signature_is_the_one(zego: Zego, sandbox: SandboxServer):
    """Upper case and a signature over another order are wrong; the page's order in lower case is right."""
    query = zego.signed("GetTimbreList")
    assert zego.post(query | {"Signature": query["Signature"].upper()}, {})["Code"] == 100000005
    assert zego.post(query, {})["Code"] == 0
    assert sandbox.truth()["zego"]["calls"] == {"timbres": 2}


@pytest.mark.parametrize(("ahead", "code"), [(-590, 0), (590, 0), (-620, 100000004), (620, 100000004)])
def test_ten_minutes_of_deviation_are_allowed(zego: Zego, ahead: int, code: int):
    """A timestamp may be ten minutes off in either direction."""
    signed = zego.signed("GetTimbreList", Timestamp=str(int(time.time()) + ahead))
    assert zego.post(signed, {})["Code"] == code


def test_the_vendors_clock_can_be_off(zego: Zego, sandbox: SandboxServer):
    """With its clock shifted the sandbox judges timestamps by it, and shows it in the Date header."""
    sandbox.settings(zego_clock_skew_seconds=14 * 60)
    answer = zego.http.post("/", params=zego.signed("GetTimbreList"), json={})
    assert answer.json()["Code"] == 100000004
    (date,) = answer.headers.get_list("Date")
    said = time.mktime(time.strptime(date, "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert said - time.time() == pytest.approx(14 * 60, abs=30)
    in_step = zego.signed("GetTimbreList", Timestamp=str(int(said)))
    assert zego.post(in_step, {})["Code"] == 0


def test_a_signed_query_is_good_once(zego: Zego):
    """The same nonce a second time is refused, for another action too."""
    signed = zego.signed("GetTimbreList")
    assert [zego.post(signed, {})["Code"] for _ in range(2)] == [0, 100000005]
    assert zego.post(signed | {"Action": "GetDigitalHumanList"}, {})["Code"] == 100000005


def test_ten_calls_a_second_of_each_action(zego: Zego, sandbox: SandboxServer):
    """Calls of an action above the rate are refused and counted, one of another action is not."""
    sandbox.settings(zego_calls_per_second=3)

    def together() -> list[int]:
        with ThreadPoolExecutor(12) as pool:
            return [answer["Code"] for answer in pool.map(zego.call, ["GetTimbreList"] * 12)]

    codes = together()
    refused = codes.count(400010009)
    assert (refused > 0, codes.count(0)) == (True, 12 - refused)
    assert zego.call("GetDigitalHumanList")["Code"] == 0
    assert sandbox.truth()["zego"]["over_rate"] == refused
    sandbox.settings(enforce_rate=False)
    assert together() == [0] * 12
    assert sandbox.truth()["zego"]["over_rate"] > refused


def test_bodies_must_be_json_objects(zego: Zego):
    """Another content type, broken JSON and anything but an object are invalid parameters; so is GET."""
    for content in (b"{", b"[]", b'"x"', b""):
        sent = {"content": content, "headers": {"Content-Type": "application/json"}}
        assert zego.http.post("/", params=zego.signed("GetTimbreList"), **sent).json()["Code"] == INVALID
    unnamed = zego.http.post("/", params=zego.signed("GetTimbreList"), content=b"{}")
    assert (unnamed.status_code, unnamed.json()["Code"]) == (200, INVALID)
    assert zego.http.get("/", params=zego.signed("GetTimbreList")).status_code == 405


# Parameters


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("DigitalHumanConfig", None, INVALID),
        ("DigitalHumanConfig.DigitalHumanId", None, INVALID),
        ("DigitalHumanConfig.DigitalHumanId", 5, INVALID),
        ("DigitalHumanConfig.DigitalHumanId", "dh-nobody", 400000003),
        ("DigitalHumanConfig.DigitalHumanId", "dh-own-broken", 400000010),
        ("DigitalHumanConfig.DigitalHumanId", "dh-own-outdated", 400000016),
        ("DigitalHumanConfig.BackgroundColor", "#80ffffff", INVALID),
        ("DigitalHumanConfig.BackgroundColor", "black", INVALID),
        ("DigitalHumanConfig.Layout", {"Top": 0}, INVALID),
        ("RTCConfig.RoomId", "", INVALID),
        ("RTCConfig.RoomId", "房" * 43, INVALID),
        ("RTCConfig.StreamId", None, INVALID),
        ("RTCConfig.StreamId", "a b", INVALID),
        ("RTCConfig.StreamId", "a\n", INVALID),
        ("RTCConfig.StreamId", "a" * 129, INVALID),
        ("TTL", 9, INVALID),
        ("TTL", 86_401, INVALID),
        ("TTL", "60", INVALID),
        ("TTL", 60.5, INVALID),
        ("MaxIdleTime", 29, INVALID),
        ("MaxIdleTime", 86_401, INVALID),
        ("VideoConfig", {"Width": 1080}, INVALID),
        ("Assets", [], INVALID),
    ],
)
def test_a_wrong_stream_task_is_refused(zego: Zego, sandbox: SandboxServer, path: str, value: object, code: int):
    """Every rule of the create page has its code; the message of an invalid parameter names it."""
    answer = zego.call("CreateDigitalHumanStreamTask", changed(create_body(), path, value))
    assert answer["Code"] == code, answer
    assert code != INVALID or path.rpartition(".")[2] in answer["Message"]
    assert sandbox.streams() == []


def test_the_bounds_themselves_are_good(zego: Zego, sandbox: SandboxServer):
    """Ids of 128 bytes, the shortest and the longest times are accepted."""
    for stream_id, ttl, idle in (("a" * 128, 10, 30), ("Z-9_z", 86_400, 86_400)):
        room = {"RoomId": "房" * 42, "StreamId": stream_id}
        zego.data("CreateDigitalHumanStreamTask", create_body() | {"RTCConfig": room, "TTL": ttl, "MaxIdleTime": idle})
    assert [(stream["ttl"], stream["max_idle"]) for stream in sandbox.streams()] == [(10, 30), (86_400, 86_400)]


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("TaskId", "unknown", 400000005),
        ("TaskId", None, INVALID),
        ("Text", "", INVALID),
        ("Text", "x" * 1801, INVALID),
        ("InterruptMode", 2, INVALID),
        ("InterruptMode", True, INVALID),
        ("TTSConfig", None, INVALID),
        ("TTSConfig.TimbreId", "tb-nobody", 400000004),
        ("TTSConfig.TimbreId", "tb-own-founder", 400000009),
        ("TTSConfig.SpeechRate", 501, INVALID),
        ("TTSConfig.PitchRate", -501, INVALID),
        ("TTSConfig.Volume", 0, INVALID),
        ("TTSConfig.Volume", 101, INVALID),
    ],
)
def test_a_wrong_text_is_refused(zego: Zego, sandbox: SandboxServer, path: str, value: object, code: int):
    """Every rule of the text page has its code, and nothing is said by it."""
    body = changed(text_body(zego.streaming()), path, value)
    assert zego.call("DriveByText", body)["Code"] == code
    assert sandbox.drives() == []


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        ("GetDigitalHumanList", {"FetchMode": 4}, INVALID),
        ("GetDigitalHumanList", {"Limit": 21}, INVALID),
        ("GetDigitalHumanList", {"Limit": 0}, INVALID),
        ("GetDigitalHumanList", {"Offset": 1_000_001}, INVALID),
        ("GetDigitalHumanList", {"Offset": -1}, INVALID),
        ("GetDigitalHumanInfo", {}, INVALID),
        ("GetDigitalHumanInfo", {"DigitalHumanId": "dh-nobody"}, 400000003),
        ("GetTimbreList", {"DigitalHumanId": "dh-nobody"}, 400000003),
        ("GetDigitalHumanStreamTaskStatus", {"TaskId": "unknown"}, 400000005),
        ("StopDigitalHumanStreamTask", {"TaskId": "unknown"}, 400000005),
        ("InterruptDriveTask", {"TaskId": "unknown"}, 400000005),
        ("QueryDigitalHumanStreamTasks", {"TaskId": "x"}, INVALID),
        ("DoAction", {"TaskId": TASK, "Action": "fly"}, INVALID),
        ("DoAction", {"TaskId": TASK}, INVALID),
        ("DriveByAudio", {"TaskId": TASK, "AudioUrl": "ftp://example.com/a.mp3"}, INVALID),
        ("DriveByAudio", {"TaskId": TASK, "AudioUrl": "https://example.com/a.mp3", "VoiceChannel": 3}, INVALID),
        ("DriveByRTCStream", {"TaskId": TASK, "RTCConfig": {"RoomId": "r"}}, INVALID),
        ("DriveByRTCStream", {"TaskId": TASK, "RTCConfig": {"RoomId": "r", "StreamId": ""}}, INVALID),
        ("DriveByRTCStream", {"TaskId": TASK, "RTCConfig": {"RoomId": "r", "StreamId": "a" * 129}}, INVALID),
        ("DriveByWsStream", {"TaskId": TASK, "SampleRate": 16000}, INVALID),
    ],
)
def test_other_wrong_calls_are_refused(zego: Zego, sandbox: SandboxServer, action: str, body: dict, code: int):
    """The parameters of the other calls are judged as well."""
    if body.get("TaskId") == TASK:
        body = body | {"TaskId": zego.streaming()}
    assert zego.call(action, body)["Code"] == code
    assert sandbox.drives() == []


def test_drives_need_a_stream_that_streams(zego: Zego, sandbox: SandboxServer):
    """Before it streams every drive is too early, after its stop too late."""
    sandbox.settings(stream_start_seconds=600)
    task = zego.create()
    drives = [
        ("DriveByText", text_body(task)),
        ("DriveByAudio", {"TaskId": task, "AudioUrl": "http://127.0.0.1/a.mp3"}),
        ("DriveByWsStream", {"TaskId": task}),
        ("DriveByRTCStream", {"TaskId": task, "RTCConfig": {"RoomId": "r", "StreamId": "s"}}),
        ("DoAction", {"TaskId": task, "Action": "idle_action"}),
        ("InterruptDriveTask", {"TaskId": task}),
    ]
    assert [zego.call(action, body)["Code"] for action, body in drives] == [400000006] * 6
    zego.stop(task)
    assert [zego.call(action, body)["Code"] for action, body in drives] == [400000007] * 6
    assert sandbox.drives() == []
