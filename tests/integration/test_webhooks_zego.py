"""Callbacks of ZEGO at a receiver that is a real process with a real ledger: genuine, wrong, repeated, garbled."""

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from infra.webhooks.app import NOTE_SECONDS
from infra.webhooks.callback import UsedSignatures, read_callback
from infra.webhooks.notice import LARGEST_BODY, NoticeRefused
from tasks.ledger.stream_models import StreamEvent
from tests.servers.receiver import Receiver, end, head, raw, start

SECRET = "the callback secret of the tests"
_numbers = count(1)


def sign(fields: dict[str, Any], secret: str = SECRET) -> dict[str, Any]:
    """Sign as section 6 of the vendor's page says, written here a second time."""
    words = sorted([secret, str(fields["Timestamp"]), str(fields["Nonce"])])
    return fields | {"Signature": sha1("".join(words).encode()).hexdigest()}  # noqa: S324 - the vendor's choice


def new_task() -> str:
    return f"task-{next(_numbers)}"


def told(task_id: str, status: int, *, drive_id: str = "", at: float | None = None, **more: Any) -> dict[str, Any]:
    """A callback as the vendor sends it, with a nonce of its own."""
    detail = {"DriveId": drive_id, "Status": status} if drive_id else {"Status": status, "RoomId": "r", "StreamId": "s"}
    fields = {
        "AppId": 1234567890,
        "EventType": 4 if drive_id else 3,
        "Nonce": secrets.token_hex(6),
        "Timestamp": str(int(time.time())),
        "EventTime": round((time.time() if at is None else at) * 1000),
        "TaskId": task_id,
        "Detail": detail,
    }
    return sign(fields | more)


def post(receiver: Receiver, fields: object) -> httpx.Response:
    # As JSON has it: half of a surrogate pair too, which httpx would not write.
    return httpx.post(f"{receiver.url}/zego", content=json.dumps(fields), timeout=30)


def events(receiver: Receiver, task_id: str) -> list[StreamEvent]:
    """What the ledger knows of a stream, as the show reads it."""
    return receiver.ledger(lambda ledger: ledger.stream_events(task_id, after=None))


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver with a CallbackSecret, which lets the tests call as often as they like, and prints no traceback."""
    home = tmp_path_factory.mktemp("callbacks")
    rates = ("--client-rate", "10000", "--total-rate", "10000")
    running = start(home, *rates, STUDIO_ZEGO_CALLBACK_SECRET=SECRET)
    yield running
    end(running)
    assert "Traceback" not in running.log, running.log
    assert SECRET not in running.log + running.dump()


def test_the_vendors_vector_is_genuine(tmp_path: Path) -> None:
    """The signature of the vendor's page, section 6, opens the door; with another secret it does not."""
    fields = told(new_task(), 3) | {
        "Nonce": "123412",
        "Timestamp": "1470820198",
        "Signature": "5bd59fd62953a8059fb7eaba95720f66d19e4517",
    }
    running = start(tmp_path / "home", STUDIO_ZEGO_CALLBACK_SECRET="secret")
    try:
        assert post(running, fields).status_code == 200
        assert len(events(running, fields["TaskId"])) == 1
        assert post(running, sign(fields, "another")).status_code == 404
    finally:
        end(running)


def test_stream_and_drive_reach_the_show(receiver: Receiver) -> None:
    """All that a show waits for is in the ledger: which stream, which drive, what, and when; no words of the vendor."""
    task_id, at = new_task(), time.time() - 5

    answers = [
        post(receiver, told(task_id, 3, at=at)),
        post(receiver, told(task_id, 4, drive_id="drive-1", at=at + 2)),
        post(receiver, told(task_id, 2, at=at + 3, Detail={"Status": 2, "FailReason": f"bad {SECRET}"})),
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    stream, drive, failure = sorted(events(receiver, task_id), key=lambda event: event.happened_at)
    assert (stream.kind, stream.drive_id, stream.status) == ("task", "", 3)
    assert (drive.kind, drive.drive_id, drive.status) == ("drive", "drive-1", 4)
    assert (failure.status, failure.reason) == (2, "")
    assert abs(stream.happened_at - datetime.fromtimestamp(at, UTC)) < timedelta(milliseconds=1)
    assert stream.received_at - stream.happened_at > timedelta(seconds=4)


@pytest.mark.parametrize(
    "change",
    [
        {"Signature": ""},
        {"Signature": "0" * 40},
        {"Signature": "5bd59fd62953a8059fb7eaba95720f66d19e4517"},
        {"Nonce": "another"},
        {"Timestamp": "1"},
        {"Signature": "\u00fc" * 40},
    ],
    ids=str,
)
def test_a_wrong_signature_is_not_there(receiver: Receiver, change: dict[str, str]) -> None:
    """Who does not know the secret gets the answer of a path that never was, and nothing is kept."""
    fields = told(new_task(), 3)
    nowhere = httpx.post(f"{receiver.url}/nowhere", json=fields, timeout=30)

    answer = post(receiver, fields | change)

    assert (answer.status_code, answer.text) == (nowhere.status_code, nowhere.text)
    assert events(receiver, fields["TaskId"]) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"[]",
        b"{}",
        b'{"Signature": "0", "Timestamp": [], "Nonce": "n", "EventType": 3}',
        b'{"Signature": "0", "Timestamp": "1", "Nonce": "n"}',
        b" " * (LARGEST_BODY + 1),
    ],
    ids=["empty", "text", "list", "nothing", "a list signed", "no kind", "large"],
)
def test_what_cannot_be_read_is_not_there(receiver: Receiver, body: bytes) -> None:
    """Nobody learns by a body of his own making that callbacks are taken here, nor which fields they have."""
    nowhere = httpx.post(f"{receiver.url}/nowhere", content=body, timeout=30)

    answer = httpx.post(f"{receiver.url}/zego", content=body, timeout=30)

    assert (answer.status_code, answer.text) == (nowhere.status_code, nowhere.text)
    assert sorted(answer.headers) == sorted(nowhere.headers)
    assert "callback that cannot be read" in receiver.log


def test_capital_letters_in_the_signature_do_not_pass(receiver: Receiver) -> None:
    """The page says lower-case; nothing else is compared."""
    fields = told(new_task(), 3)

    assert post(receiver, fields | {"Signature": fields["Signature"].upper()}).status_code == 404


def test_without_a_secret_nothing_is_taken(tmp_path: Path) -> None:
    """A digest that holds no secret can be made by everybody."""
    running = start(tmp_path / "home")
    try:
        fields = told(new_task(), 3)
        assert {post(running, fields).status_code, post(running, sign(fields, "")).status_code} == {404}
    finally:
        end(running)


def test_an_operator_learns_of_a_wrong_secret_once(receiver: Receiver) -> None:
    """The log says what to look at, and strangers cannot fill the disk with it."""
    before, began = receiver.log.count("STUDIO_ZEGO_CALLBACK_SECRET"), time.monotonic()
    for _ in range(20):
        post(receiver, sign(told(new_task(), 3), "wrong"))
    lines = receiver.log.count("STUDIO_ZEGO_CALLBACK_SECRET")

    assert lines >= 1
    assert lines - before <= 1 + (time.monotonic() - began) // NOTE_SECONDS


def test_repeats_are_one_event(receiver: Receiver) -> None:
    """The vendor's five retries, all at once and later again, are one row; also when each is signed anew."""
    task_id = new_task()
    fields = told(task_id, 3)
    again = [sign(fields | {"Nonce": f"n{number}"}) for number in range(5)]

    with ThreadPoolExecutor(10) as pool:
        codes = set(pool.map(lambda one: post(receiver, one).status_code, [fields] * 10 + again))

    assert codes == {200}
    assert post(receiver, fields).status_code == 200
    assert len(events(receiver, task_id)) == 1


@pytest.mark.parametrize(
    "disguise",
    [
        {},
        {"Timestamp": "9abc", "Nonce": "1470820198"},
        {"Timestamp": "147082019", "Nonce": "89abc"},
        {"Timestamp": "14708201989", "Nonce": "abc"},
        {"Timestamp": "14708201989abc", "Nonce": ""},
    ],
    ids=["as it was", "swapped", "digit to the nonce", "digit to the time", "all in the time"],
)
def test_a_signature_is_good_for_one_event(receiver: Receiver, disguise: dict[str, str]) -> None:
    """The body is not signed: what was overheard once can be repeated, but tells nothing else, however it is cut."""
    task_id, tail = new_task(), secrets.token_hex(6)
    disguise = {name: text.replace("abc", f"abc{tail}") for name, text in disguise.items()}
    fields = told(task_id, 3, Timestamp="1470820198", Nonce=f"9abc{tail}")
    assert sign(fields | disguise)["Signature"] == fields["Signature"]
    assert post(receiver, fields).status_code == 200
    forged: list[dict[str, Any]] = [
        {"TaskId": new_task()},
        {"Detail": {"Status": 5}},
        {"EventType": 4, "Detail": {"Status": 4, "DriveId": "d"}},
        {"EventTime": fields["EventTime"] + 1},
    ]

    codes = [post(receiver, fields | disguise | change).status_code for change in forged]

    assert codes == [404] * len(forged)
    assert [event.status for event in events(receiver, task_id)] == [3]
    assert events(receiver, forged[0]["TaskId"]) == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"EventType": 5}, 200),
        ({"Detail": {"Status": 6}}, 200),
        ({"EventTime": 1}, 200),
        ({"TaskId": None}, 400),
    ],
    ids=str,
)
def test_a_signature_is_used_up_by_what_changes_nothing(receiver: Receiver, change: dict[str, Any], code: int) -> None:
    """Also one that was overheard with a kind, a status or a time that the studio does not keep tells nothing else."""
    fields = told(new_task(), 3)

    codes = [post(receiver, sent).status_code for sent in (fields | change, fields | change, fields)]

    assert codes == [code, code, 404]
    assert events(receiver, fields["TaskId"]) == []


def test_deep_nesting_is_refused() -> None:
    """What could just be read with the stack that there was, but cannot be written again, is no error of the studio."""
    detail: dict[str, Any] = {}
    for _ in range(5000):
        detail = {"Status": detail}

    with pytest.raises(NoticeRefused, match="nested too deeply"):
        UsedSignatures().is_good_for(read_callback(told(new_task(), 3, Detail=detail)))


def test_disorder_does_not_matter(receiver: Receiver) -> None:
    """Late and out of order, as retries make it: ordered by EventTime the story is the true one."""
    task_id, now = new_task(), time.time()
    story = [(1, "d1"), (2, "d1"), (1, "d2"), (4, "d1"), (2, "d2"), (4, "d2")]
    posts = [told(task_id, status, drive_id=drive, at=now + place) for place, (status, drive) in enumerate(story)]

    for fields in (posts[place] for place in (4, 0, 5, 3, 1, 2)):
        assert post(receiver, fields).status_code == 200

    ordered = sorted(events(receiver, task_id), key=lambda event: event.happened_at)
    assert [(event.status, event.drive_id) for event in ordered] == story


@pytest.mark.parametrize(
    "change",
    [
        {"EventType": 5},
        {"EventType": 0, "Detail": None, "TaskId": None, "EventTime": None},
        {"Detail": {"Status": 6}},
        {"Detail": {"Status": -1}},
        {"EventType": 4, "Detail": {"Status": 99, "DriveId": "d"}},
    ],
    ids=str,
)
def test_what_the_page_does_not_list_is_ignored(receiver: Receiver, change: dict[str, Any]) -> None:
    """New kinds and statuses may appear; they are answered, so that the vendor stops, and change nothing."""
    fields = told(new_task(), 3)

    assert post(receiver, sign(fields | change)).status_code == 200
    assert events(receiver, fields["TaskId"]) == []


def test_numbers_and_digits_are_the_same(receiver: Receiver) -> None:
    """The page changed units and kinds of these fields before; a number for its digits loses no callback."""
    fields = told(new_task(), 3)
    other = sign(
        fields
        | {"Timestamp": int(fields["Timestamp"]), "EventType": "3", "EventTime": str(fields["EventTime"]), "New": [1]}
    )

    assert post(receiver, other).status_code == 200
    assert [event.status for event in events(receiver, fields["TaskId"])] == [3]


@pytest.mark.parametrize("days", [-8, 8, -20_000])
def test_events_of_another_time_are_dropped(receiver: Receiver, days: int) -> None:
    """What the ledger would forget at once, or not for years, is not kept; the send time is not looked at."""
    fields = told(new_task(), 3, at=max(0, time.time() + days * 86_400), Timestamp="1")

    assert post(receiver, fields).status_code == 200
    assert events(receiver, fields["TaskId"]) == []


def test_an_old_send_time_is_no_matter(receiver: Receiver) -> None:
    """Seconds or milliseconds, the page does not agree with itself: the text is signed, and nothing is read from it."""
    for timestamp in ("1470820198", "1470820198000", "soon"):
        fields = told(new_task(), 3, Timestamp=timestamp)

        assert post(receiver, fields).status_code == 200
        assert len(events(receiver, fields["TaskId"])) == 1


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"TaskId": None}, "TaskId"),
        ({"TaskId": ""}, "TaskId"),
        ({"TaskId": "a b"}, "TaskId"),
        ({"TaskId": "t" * 129}, "TaskId"),
        ({"TaskId": "\ud800"}, "TaskId"),
        ({"EventTime": "soon"}, "EventTime"),
        ({"EventTime": -1}, "EventTime"),
        ({"EventTime": 10**17}, "EventTime"),
        ({"Detail": []}, "Detail"),
        ({"Detail": {}}, "Detail.Status"),
        ({"Detail": {"Status": "odd"}}, "Detail.Status"),
        ({"EventType": 4, "Detail": {"Status": 4}}, "DriveId"),
        ({"EventType": 4, "Detail": {"Status": 4, "DriveId": "\n"}}, "Detail.DriveId"),
    ],
    ids=str,
)
def test_a_genuine_callback_without_what_it_needs_is_refused(
    receiver: Receiver, change: dict[str, Any], named: str
) -> None:
    """The refusal names the field and never repeats what was sent."""
    answer = post(receiver, sign(told(new_task(), 3) | change))

    assert answer.status_code == 400
    assert named in answer.json()["message"]


def test_strangers_keep_no_callback_out(tmp_path: Path) -> None:
    """A flood of wrong signatures is told when to come back, while genuine ones have a limit of their own."""
    rates = ("--client-rate", "0.001", "--total-rate", "0.001")
    running = start(tmp_path / "home", *rates, STUDIO_ZEGO_CALLBACK_SECRET=SECRET)
    try:
        flood = [post(running, sign(told(new_task(), 3), "wrong")) for _ in range(5)]
        first, second = (post(running, told(new_task(), 3)) for _ in range(2))
    finally:
        end(running)

    assert [answer.status_code for answer in flood] == [429] * 5
    assert (first.status_code, second.status_code) == (200, 429)
    assert int(second.headers["retry-after"]) > 0


def test_without_the_ledger_the_vendor_is_asked_to_come_again(tmp_path: Path) -> None:
    """A callback is not thrown away because a database is away, and its repetition is taken after the outage."""
    home = tmp_path / "home"
    home.mkdir()
    wall = home / "ledger.db"
    wall.mkdir()
    away = start(home, STUDIO_ZEGO_CALLBACK_SECRET=SECRET)
    try:
        fields = told(new_task(), 3)
        assert post(away, fields).status_code == 503
        wall.rmdir()

        assert post(away, fields).status_code == 200
        assert len(events(away, fields["TaskId"])) == 1
        assert "Traceback" not in away.log
    finally:
        end(away)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
details = st.dictionaries(st.sampled_from(["Status", "DriveId", "FailReason", "RoomId"]), values)
changes = st.dictionaries(
    st.sampled_from(["AppId", "EventType", "EventTime", "TaskId", "Detail", "Signature", "Nonce", "Timestamp"]),
    values | details | st.sampled_from([3, 4, 10**13]),
    max_size=4,
)
bodies = st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode())


def resigned(fields: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Changed, and signed again as far as its words can be signed."""
    try:
        return sign(fields | change) | ({"Signature": change["Signature"]} if "Signature" in change else {})
    except UnicodeEncodeError:
        return fields | change


def test_nothing_that_is_sent_breaks_it(receiver: Receiver) -> None:
    """Any body, and any change of a genuine callback, signed anew or not: never a 5xx, and the receiver goes on."""
    codes: set[int] = set()

    @settings(max_examples=150, deadline=None)
    @given(body=bodies, change=changes, how=st.sampled_from(["raw", "changed", "signed"]))
    @example(body=b"", change={"TaskId": None}, how="signed")
    def check(body: bytes, change: dict[str, Any], how: str) -> None:
        if how != "raw":
            fields = told(new_task(), 3)
            body = json.dumps(fields | change if how == "changed" else resigned(fields, change)).encode()
        answer = raw(receiver, head(receiver, "/zego", f"Content-Length: {len(body)}") + body)
        status = int(answer.split(b" ", 2)[1])
        codes.add(status)
        assert status < 500, answer

    check()

    assert {200, 400, 404} <= codes
    assert receiver.process.poll() is None
    assert post(receiver, told(new_task(), 3)).status_code == 200
