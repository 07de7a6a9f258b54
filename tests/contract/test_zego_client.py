"""ZEGO's client over real sockets against scripted answers: what leaves, what may come back, what nobody may see."""

import asyncio
import contextlib
import json
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tasks.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.providers import contract
from tasks.providers.zego.client import ZegoClient
from tasks.providers.zego.envelope import SignatureExpired, StreamGone
from tasks.providers.zego.signature import sign
from tests.servers.web import Asked, WebServer, reply, reply_json, serving

APP_ID, SECRET = 12345, "planted-server-secret-4711"
LINK = "https://media.example/speech.mp3?X-Amz-Expires=60&X-Amz-Signature=planted-link-4711"
OK = {"Code": 0, "Message": "success", "RequestId": "r-1"}
STREAM = {
    "digital_human_id": "d-1",
    "background": "#00ff00",
    "room_id": "studio",
    "stream_id": "0123456789abcdef01234567-1",
    "ttl": 600,
    "max_idle": 120,
}

Calls = Callable[[ZegoClient], Awaitable[object]]


@pytest.fixture(autouse=True)
def _fresh_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees the differences that it makes."""
    monkeypatch.setattr(contract, "_noted", set())


@contextlib.asynccontextmanager
async def vendor(*answers: object, status: str = "200 OK", **headers: str) -> AsyncIterator[WebServer]:
    """Answers one call after the other, the last one for ever; bytes go out as they are, everything else as JSON."""
    left = list(answers)

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        said = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(said, bytes):
            reply(writer, said, status, **headers)
        else:
            reply_json(writer, said, status, **headers)

    async with serving(answer) as web:
        yield web


def ok(**data: Any) -> dict[str, Any]:
    return OK | {"Data": data}


def client_of(web: WebServer, **more: Any) -> ZegoClient:
    return ZegoClient(base_url=f"{web.url}/zego", app_id=APP_ID, server_secret=SECRET, **more)


def query_of(asked: Asked) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(asked.path).query).items()}


async def failed(web: WebServer, call: Calls) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await call(client_of(web))
    return caught.value


def said(error: BaseException) -> str:
    """All that a log, a traceback or a person could see of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


# What leaves

DRIVE = ok(DriveId="drive-1")
TASK = {"TaskId": "t-1"}
# Each row: the call, the vendor's answer, the action, its body, and what the caller gets.
ACTIONS: list[tuple[Calls, dict[str, Any], str, dict[str, Any], object]] = [
    (
        lambda client: client.create_stream(**STREAM),  # type: ignore[arg-type]
        ok(TaskId="t-1"),
        "CreateDigitalHumanStreamTask",
        {
            "DigitalHumanConfig": {"DigitalHumanId": "d-1", "BackgroundColor": "#00ff00"},
            "RTCConfig": {"RoomId": "studio", "StreamId": "0123456789abcdef01234567-1"},
            "TTL": 600,
            "MaxIdleTime": 120,
        },
        "t-1",
    ),
    (
        lambda client: client.drive_text("t-1", "Hello.", timbre="v-1"),
        DRIVE,
        "DriveByText",
        TASK | {"Text": "Hello.", "TTSConfig": {"TimbreId": "v-1"}},
        "drive-1",
    ),
    (
        lambda client: client.drive_text("t-1", "你好", timbre="v", rate=-500, pitch=0, volume=100, interrupt=True),
        DRIVE,
        "DriveByText",
        TASK
        | {
            "Text": "你好",
            "InterruptMode": 1,
            "TTSConfig": {"TimbreId": "v", "SpeechRate": -500, "PitchRate": 0, "Volume": 100},
        },
        "drive-1",
    ),
    (
        lambda client: client.drive_audio("t-1", LINK),
        DRIVE,
        "DriveByAudio",
        TASK | {"AudioUrl": LINK},
        "drive-1",
    ),
    (
        lambda client: client.drive_audio("t-1", LINK, channel=2, interrupt=True),
        DRIVE,
        "DriveByAudio",
        TASK | {"AudioUrl": LINK, "InterruptMode": 1, "VoiceChannel": 2},
        "drive-1",
    ),
    (
        lambda client: client.drive_rtc("t-1", "room", "stream"),
        DRIVE,
        "DriveByRTCStream",
        TASK | {"RTCConfig": {"RoomId": "room", "StreamId": "stream"}},
        "drive-1",
    ),
    (lambda client: client.act("t-1", "802_921474"), OK, "DoAction", TASK | {"Action": "802_921474"}, None),
    (lambda client: client.interrupt("t-1"), OK, "InterruptDriveTask", TASK, None),
    (lambda client: client.stop("t-1"), OK, "StopDigitalHumanStreamTask", TASK, None),
    (lambda client: client.live_streams(), ok(TaskList=[]), "QueryDigitalHumanStreamTasks", {}, []),
]


@pytest.mark.parametrize("row", ACTIONS, ids=[f"{number}-{row[2]}" for number, row in enumerate(ACTIONS)])
async def test_every_action_is_sent_as_its_page_says(
    row: tuple[Calls, dict[str, Any], str, dict[str, Any], Any],
) -> None:
    """Method, path, signed query and body; what is not given is not sent."""
    call, answer, action, body, result = row
    async with vendor(answer) as web:
        assert await call(client_of(web)) == result

    (asked,) = web.requests
    query = query_of(asked)
    assert (asked.method, urlsplit(asked.path).path, query["Action"]) == ("POST", "/zego/", action)
    assert asked.headers["content-type"] == "application/json"
    assert json.loads(asked.body) == body
    assert query["AppId"] == str(APP_ID)
    assert query["SignatureVersion"] == "2.0"
    assert query["Signature"] == sign(APP_ID, query["SignatureNonce"], SECRET, int(query["Timestamp"]))
    assert abs(int(query["Timestamp"]) - time.time()) < 60


async def test_a_status_is_read_with_its_task() -> None:
    """The answer does not repeat the id that was asked for; the studio's record has it."""
    answer = ok(Status=2, RoomId="r", StreamId="s", CreateTime=1754300000, FailReason="no face")
    async with vendor(answer) as web:
        found = await client_of(web).stream_status("t-1")

    assert (found.task_id, found.status, found.fail_reason) == ("t-1", 2, "no face")


async def test_a_socket_is_given_for_one_drive() -> None:
    """Drive and address come together; one without the other is no drive."""
    async with vendor(ok(DriveId="d", WssAddress="wss://192.0.2.1:9/ws?Token=x"), ok(DriveId="d")) as web:
        drive = await client_of(web).drive_ws("t-1")
        error = await failed(web, lambda client: client.drive_ws("t-1"))

    assert (drive.drive_id, drive.address.get_secret_value()) == ("d", "wss://192.0.2.1:9/ws?Token=x")
    assert isinstance(error, ProviderUnavailable)


# Each row: a call outside the bounds of the page, and the field that is named.
OUTSIDE: list[tuple[Calls, str]] = [
    *(
        (lambda client, wrong=wrong: client.create_stream(**(STREAM | wrong)), field)  # type: ignore[misc]
        for wrong, field in (
            ({"ttl": 9}, "TTL"),
            ({"ttl": 86_401}, "TTL"),
            ({"max_idle": 29}, "MaxIdleTime"),
            ({"max_idle": 86_401}, "MaxIdleTime"),
            ({"stream_id": "a b"}, "RTCConfig.StreamId"),
            ({"stream_id": "s" * 129}, "RTCConfig.StreamId"),
            ({"stream_id": "s\n"}, "RTCConfig.StreamId"),
            ({"room_id": "é" * 65}, "RTCConfig.RoomId"),
            ({"room_id": ""}, "RTCConfig.RoomId"),
            ({"background": "#80ffffff"}, "DigitalHumanConfig.BackgroundColor"),
            ({"digital_human_id": ""}, "DigitalHumanConfig.DigitalHumanId"),
        )
    ),
    (lambda client: client.drive_text("t", "x" * 1801, timbre="v"), "Text"),
    (lambda client: client.drive_text("t", "", timbre="v"), "Text"),
    (lambda client: client.drive_text("t", "x", timbre=""), "TTSConfig.TimbreId"),
    (lambda client: client.drive_text("t", "x", timbre="v", rate=501), "TTSConfig.SpeechRate"),
    (lambda client: client.drive_text("t", "x", timbre="v", pitch=-501), "TTSConfig.PitchRate"),
    (lambda client: client.drive_text("t", "x", timbre="v", volume=0), "TTSConfig.Volume"),
    (lambda client: client.drive_audio("t", "file:///etc/passwd"), "AudioUrl"),
    (lambda client: client.drive_audio("t", "https://media.example/ü.mp3"), "AudioUrl"),
    (lambda client: client.drive_rtc("t", "r" * 129, "s"), "RTCConfig.RoomId"),
    (lambda client: client.drive_rtc("t", "r", "é" * 65), "RTCConfig.StreamId"),
    (lambda client: client.act("t", ""), "Action"),
    (lambda client: client.stop(""), "TaskId"),
]


@pytest.mark.parametrize("row", OUTSIDE, ids=[f"{number}-{row[1]}" for number, row in enumerate(OUTSIDE)])
async def test_what_the_vendor_would_refuse_does_not_leave(row: tuple[Calls, str]) -> None:
    """Bounds of the page are checked here: the field is named, and no call is spent."""
    call, field = row
    async with vendor(OK) as web:
        error = await failed(web, call)

    assert type(error) is ProviderRejected
    assert f"{field}: " in error.message
    assert web.requests == []


# Tries and turns


async def test_a_stale_signature_is_replaced_once() -> None:
    """Code 100000004 means that nothing was done, so one more try with a fresh signature is safe, even for a stream."""
    turns: list[str] = []

    async def turn(action: str) -> None:
        turns.append(action)

    async with vendor({"Code": 100000004, "Message": "expired"}, ok(TaskId="t-1")) as web:
        assert await client_of(web, turn=turn).create_stream(**STREAM) == "t-1"  # type: ignore[arg-type]

    first, second = (query_of(asked) for asked in web.requests)
    assert first["SignatureNonce"] != second["SignatureNonce"]
    assert turns == ["CreateDigitalHumanStreamTask"] * 2


async def test_a_clock_that_is_wrong_is_explained() -> None:
    """A second refusal is about the clock: by how much it is off, and what to do."""
    theirs = format_datetime(datetime.now(UTC) + timedelta(minutes=14, seconds=5), usegmt=True)
    async with vendor({"Code": 100000004, "Message": "expired"}, date=theirs) as web:
        error = await failed(web, lambda client: client.live_streams())

    assert type(error) is SignatureExpired
    assert isinstance(error, ProviderRejected)
    assert "clock is 14 min behind the vendor's (by its Date header)" in error.message
    assert "NTP" in error.fix
    assert len(web.requests) == 2


@pytest.mark.parametrize("code", [100000005, 400010002, 400010009, 400010000, 400000006, 400000008])
async def test_no_other_answer_is_followed_by_a_second_try(code: int) -> None:
    """Whether a call is made again is the caller's decision, as it may cost money."""
    async with vendor({"Code": code, "Message": "m"}) as web:
        await failed(web, lambda client: client.create_stream(**STREAM))  # type: ignore[arg-type]

    assert len(web.requests) == 1


async def test_a_turn_is_waited_for_before_anything_is_signed() -> None:
    """The wait may be long, and a signature ages."""
    order: list[str] = []

    async def turn(action: str) -> None:
        order.append(f"turn {action} after {len(web.requests)}")

    async with vendor(OK) as web:
        plain = client_of(web)
        with_turn = plain.with_turn(turn)
        await with_turn.stop("t-1")
        await with_turn.interrupt("t-1")
        await plain.stop("t-1")

    assert order == ["turn StopDigitalHumanStreamTask after 0", "turn InterruptDriveTask after 1"]
    assert len(web.requests) == 3
    assert (with_turn.base_url, with_turn.own_network) == (plain.base_url, plain.own_network)


async def test_a_stream_is_opened_on_a_connection_of_its_own() -> None:
    """A kept connection that died unseen looks like a lost answer, which for a stream is an expensive question."""
    async with vendor(ok(TaskId="t-1", DriveId="d", TaskList=[]), connection="keep-alive") as web:
        web.keeps_open = True
        client = client_of(web)
        await client.live_streams()
        await client.create_stream(**STREAM)  # type: ignore[arg-type]
        await client.drive_text("t-1", "x", timbre="v")

    before, create, after = (asked.connection for asked in web.requests)
    assert before == after != create


# Answers


@pytest.mark.parametrize("status", ["400 Bad", "403 No", "404 Gone", "429 Fast", "500 Oops", "503 Busy"])
async def test_the_code_decides_whatever_the_http_status(status: str) -> None:
    """The mapping is not documented: a stopped stream is gone under any status, and 0 is success under any."""
    async with vendor({"Code": 400000007, "Message": "m"}, status=status) as web:
        assert type(await failed(web, lambda client: client.stop("t-1"))) is StreamGone
    async with vendor(ok(TaskList=[]), status=status) as web:
        assert await client_of(web).live_streams() == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("302 Found", ProviderRejected),
        ("403 No", ProviderRejected),
        ("404 Gone", ProviderRejected),
        ("429 Fast", ProviderBusy),
        ("502 Gateway", ProviderUnavailable),
    ],
)
async def test_without_an_envelope_the_status_decides(status: str, kind: type[ProviderError]) -> None:
    """A gateway answers in its own words; the error names the action, not the path that all actions share."""
    async with vendor(b"<html>", status=status) as web:
        error = await failed(web, lambda client: client.stop("t-1"))

    assert type(error) is kind
    assert error.job_id == "t-1"
    assert "POST /" not in error.message
    assert "StopDigitalHumanStreamTask" in error.message or "429" in error.message


@pytest.mark.parametrize(
    "answer",
    [OK, ok(), ok(TaskId=""), ok(TaskId=None), OK | {"Data": []}, OK | {"Data": "t-1"}, b"<html>", b"", {}],
)
async def test_a_creation_without_a_task_may_have_opened_a_stream(answer: object) -> None:
    """Whoever asked must look for its StreamId before asking again."""
    async with vendor(answer) as web:
        error = await failed(web, lambda client: client.create_stream(**STREAM))  # type: ignore[arg-type]

    assert isinstance(error, ProviderUnavailable)
    assert error.sent


LIVE = {"TaskId": "t", "RoomId": "r", "StreamId": "s", "Status": 1, "CreateTime": 1754300000}


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        ok(),
        ok(TaskList={}),
        ok(TaskList="none"),
        ok(TaskList=[LIVE, "t"]),
        ok(TaskList=[LIVE, LIVE | {"StreamId": ""}]),
        ok(TaskList=[LIVE, {"StreamId": "s"}]),
    ],
)
async def test_half_a_list_proves_no_streams_absence(answer: object) -> None:
    """'It is not there' lets a second stream be paid for, so it is only said of a list that was read as a whole."""
    async with vendor(answer) as web:
        error = await failed(web, lambda client: client.live_streams())

    assert isinstance(error, ProviderUnavailable)


@pytest.mark.parametrize(("listed", "count"), [([], 0), (None, 0), ([LIVE, LIVE | {"TaskId": "u"}], 2)])
async def test_a_whole_list_is_believed(listed: object, count: int) -> None:
    """Empty, or null as some servers write that, or with streams."""
    async with vendor(ok(TaskList=listed)) as web:
        assert len(await client_of(web).live_streams()) == count


async def test_a_status_without_a_number_is_no_status() -> None:
    """Nothing is taken for an end that was not told."""
    async with vendor(ok(RoomId="r", StreamId="s")) as web:
        assert isinstance(await failed(web, lambda client: client.stream_status("t-1")), ProviderUnavailable)


async def test_another_avatar_is_not_taken_for_the_one_that_was_asked_for() -> None:
    """Its actions would be checked against the wrong list."""
    async with vendor(ok(DigitalHumanId="d-2", Name="N", IsPublic=True, Actions=[])) as web:
        assert isinstance(await failed(web, lambda client: client.digital_human("d-1")), ProviderUnavailable)


# Catalogues


def page_of(start: int, end: int, total: int | None) -> dict[str, Any]:
    rows = [{"TimbreId": f"v-{number}", "Name": "N", "AvatarUrl": "u"} for number in range(start, end)]
    return ok(Timbres=rows, **({} if total is None else {"Total": total}))


# Each row: pages, ids that come out, and offsets that are asked for.
PAGES: dict[str, tuple[list[dict[str, Any]], int, list[int]]] = {
    "total ends it": ([page_of(0, 20, 25), page_of(20, 25, 25)], 25, [0, 20]),
    "an empty page ends it": ([page_of(0, 20, None), page_of(0, 0, None)], 20, [0, 20]),
    "null ends it": ([page_of(0, 20, None), ok(Timbres=None)], 20, [0, 20]),
    "smaller pages are followed": ([page_of(0, 7, 14), page_of(7, 14, 14)], 14, [0, 7]),
    "a page that comes again ends it": ([page_of(0, 20, 1000), page_of(0, 20, 1000)], 20, [0, 20]),
    "a wrong total is not waited for": ([page_of(0, 3, 9), page_of(0, 0, 9)], 3, [0, 3]),
}


@pytest.mark.parametrize("name", PAGES)
async def test_catalogues_are_read_to_their_end(name: str) -> None:
    """Every row comes once, whatever the size of a page, and nobody runs in circles."""
    pages, count, offsets = PAGES[name]
    async with vendor(*pages) as web:
        found = [timbre.timbre_id async for timbre in client_of(web).timbres("d-1")]

    bodies = [json.loads(asked.body) for asked in web.requests]
    assert found == [f"v-{number}" for number in range(count)]
    assert bodies == [{"DigitalHumanId": "d-1", "Offset": offset, "Limit": 20} for offset in offsets]


async def test_a_page_is_asked_for_again() -> None:
    """Reading costs nothing, so a busy vendor does not end a catalogue."""
    row = {"DigitalHumanId": "d", "Name": "N", "IsPublic": False, "Actions": [{"Action": "wave", "PreviewUrl": "u"}]}
    busy = {"Code": 400010009, "Message": "slow down"}
    async with vendor(busy, ok(Total=1, DigitalHumans=[row])) as web:
        found = [human async for human in client_of(web).digital_humans(3)]

    assert [(human.digital_human_id, human.is_public, human.action_names) for human in found] == [
        ("d", False, ["wave"])
    ]
    assert json.loads(web.requests[1].body) == {"FetchMode": 3, "Offset": 0, "Limit": 20}


# Secrets


@pytest.mark.parametrize("secret", ["", " ", f"{SECRET}\n", f" {SECRET}"])
def test_a_secret_that_was_copied_badly_is_refused_unseen(secret: str) -> None:
    """Every signature would be wrong, and nobody would see why."""
    with pytest.raises(ProviderRejected, match="credentials block") as caught:
        ZegoClient(base_url="https://x.example", app_id=1, server_secret=secret)

    assert SECRET not in said(caught.value)


@pytest.mark.parametrize("status", ["200 OK", "400 Bad", "403 No", "500 Oops"])
@pytest.mark.parametrize("form", ["envelope", "text", "request id", "unknown code", "data", "cut", "escaped"])
async def test_no_error_shows_a_secret_even_when_the_server_does(
    status: str, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Signature, ServerSecret and signed links are in no text, traceback or log line, whatever is thrown back."""
    caplog.set_level(logging.DEBUG)
    signatures = []

    async def answer(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        query = query_of(web.requests[-1])
        signatures.append(query["Signature"])
        echo = f"{path} {SECRET} {web.requests[-1].body.decode()}"
        bodies: dict[str, object] = {
            "envelope": {"Code": 400000001, "Message": echo},
            "text": echo,
            "request id": {"Code": 400000001, "Message": "m", "RequestId": query["Signature"]},
            "unknown code": {"Code": SECRET, "Message": echo},
            "data": OK | {"Data": [echo]},
            "cut": {"Code": 400000001, "Message": f"{'x' * 290}{echo}"},
            "escaped": f"{'x' * 150}{LINK.replace('&', '&amp;')} {SECRET}",
        }
        reply_json(writer, bodies[form], status)

    async with serving(answer) as web:
        error = await failed(web, lambda client: client.drive_audio("t-1", LINK))

    seen = said(error) + caplog.text
    assert len(signatures) == 1
    for secret in (signatures[0], SECRET, "planted-link-4711"):
        assert secret[:12] not in seen, secret


async def test_a_connection_that_breaks_shows_no_query() -> None:
    """Errors of the transport know the address; what they tell is the action."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(answer) as web:
        error = await failed(web, lambda client: client.create_stream(**STREAM))  # type: ignore[arg-type]

    assert isinstance(error, ProviderUnavailable)
    assert error.sent
    assert error.message.startswith("zego did not answer CreateDigitalHumanStreamTask")
    assert query_of(web.requests[0])["Signature"] not in said(error)
