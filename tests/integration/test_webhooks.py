"""The receiver of notices as a real process with a real ledger, called as vendors and strangers call it."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.webhooks.notice import LARGEST_BODY
from tasks.ledger import Entry, Intent
from tasks.ledger.store import Ledger
from tests.servers.receiver import Receiver, end, head, order_of, raw, start

LATER = timedelta(hours=1)
_keys = count(1)


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A receiver that lets the tests call as often as they like, and never prints a traceback."""
    running = start(tmp_path_factory.mktemp("webhooks"), "--client-rate", "10000", "--total-rate", "10000")
    yield running
    end(running)
    assert "Traceback" not in running.log, running.log


@pytest.fixture
def hurried(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver that gives a body one second."""
    running = start(tmp_path / "home", "--client-rate", "1000", "--body-seconds", "1")
    yield running
    end(running)


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Receiver]:
    """A receiver that allows one call in a thousand seconds; what asked for its health has used up the strangers'."""
    running = start(tmp_path / "home", "--client-rate", "0.001", "--total-rate", "0.001")
    yield running
    end(running)


def make(receiver: Receiver, state: str, job_id: str = "job-1") -> Entry:
    """An entry in some state, on its only way there."""
    intent = Intent(render_key=f"{next(_keys):024x}{0:040x}", provider="topview", account="a", endpoint="e")

    async def work(ledger: Ledger) -> Entry:
        entry, _ = await ledger.reserve(intent, owner="run")
        if state == "reserved":
            return entry
        entry = await ledger.mark_submitting(entry.id, "run")
        if state == "submitting":
            return entry
        if state == "ambiguous":
            return await ledger.mark_ambiguous(entry, "no answer")
        entry = await ledger.mark_submitted(entry.id, f"{job_id}-{intent.render_key[:24]}")
        await ledger.set_next_poll(entry.id, datetime.now(UTC) + LATER)
        if state == "submitted":
            return await ledger.get(entry.id)
        entry = await ledger.mark_succeeded(entry.id, {"location": "x"})
        return entry if state == "succeeded" else await ledger.mark_archived(entry.id, "s3://archive/x")

    return receiver.ledger(work)


def wakes(receiver: Receiver, entry: Entry) -> bool:
    """Whether the next poll is planned for now."""
    return receiver.read(entry).next_poll_at < datetime.now(UTC)


def test_a_notice_wakes_the_poll_and_gets_the_exact_echo(receiver: Receiver) -> None:
    """The vendor sees the answer of its contract, section 6.2, and the next query is made now, not in an hour."""
    entry = make(receiver, "submitted")

    answer = receiver.post(entry, entry.job_id)

    assert answer.status_code == 200
    assert answer.json() == {
        "code": "200",
        "message": "Success",
        "result": {"uuid": "notice-1", "topviewUid": "our-uid", "result": "success"},
    }
    assert wakes(receiver, entry)
    after = receiver.read(entry)
    assert (entry.state, entry.job_id, entry.updated_at) == (after.state, after.job_id, after.updated_at)


def test_result_may_be_an_object_or_text(receiver: Receiver) -> None:
    """The vendor's page shows the result quoted; both forms are taken, and neither is believed."""
    for result in ({"taskId": "x", "status": "failed"}, '{"taskId": "x", "status": "failed"}', "{"):
        entry = make(receiver, "submitted")

        assert receiver.post(entry, entry.job_id, result=result, status="fail").status_code == 200
        assert (receiver.read(entry).state, wakes(receiver, entry)) == ("submitted", True)


def test_repeats_are_harmless(receiver: Receiver) -> None:
    """A vendor that sends a notice again, ten at a time, is answered the same and changes nothing more."""
    entry = make(receiver, "submitted")

    async def flood() -> list[httpx.Response]:
        body = {"taskId": entry.job_id, "uuid": "notice-1"}
        async with httpx.AsyncClient(timeout=60) as client:
            return await asyncio.gather(*(client.post(receiver.address(entry), json=body) for _ in range(10)))

    answers = asyncio.run(flood())
    history = receiver.ledger(lambda ledger: ledger.history(entry.render_key))

    assert {answer.text for answer in answers} == {answers[0].text}
    assert answers[0].status_code == 200
    assert len(history) == 3
    assert receiver.hints(entry) == []


@pytest.mark.parametrize("state", ["reserved", "submitting", "ambiguous"])
def test_a_notice_before_the_answer_is_kept_as_a_hint(receiver: Receiver, state: str) -> None:
    """A notice that overtakes the answer to the submission names the job to look for; it settles nothing."""
    entry = make(receiver, state)

    codes = {receiver.post(entry, job_id).status_code for job_id in ("early-2", "early-1", "early-2")}

    assert codes == {200}
    assert receiver.hints(entry) == ["early-2", "early-1"]
    assert receiver.read(entry) == entry


def test_another_job_is_noted_and_told(receiver: Receiver) -> None:
    """A second job under one order may mean that a render was paid twice: it is kept and logged, not believed."""
    entry = make(receiver, "submitted")

    assert receiver.post(entry, "somebody-else").status_code == 200

    assert not wakes(receiver, entry)
    assert receiver.hints(entry) == ["somebody-else"]
    assert "notice names another job" in receiver.log


@pytest.mark.parametrize("state", ["succeeded", "archived"])
def test_a_late_notice_changes_nothing(receiver: Receiver, state: str) -> None:
    """What the studio knows already is not touched, and the vendor need not send it again."""
    entry = make(receiver, state)
    before = receiver.dump()

    codes = {receiver.post(entry, job_id).status_code for job_id in (entry.job_id, "other")}

    assert codes == {200}
    assert before == receiver.dump()


def test_strangers_learn_nothing(receiver: Receiver) -> None:
    """A wrong token, an unknown order and a path that never was look the same, so nobody can find orders by asking."""
    entry = make(receiver, "submitted")
    genuine = receiver.address(entry)
    unknown = entry.model_copy(update={"render_key": "f" * 64})
    wrong = [
        genuine[:-1] + ("0" if genuine[-1] != "0" else "1"),
        genuine.replace(order_of(entry), "f" * 24 + "-1"),
        receiver.address(unknown),
        genuine.replace("/topview/", "/mingyan/"),
        receiver.address(entry, "mingyan"),
        f"{receiver.url}/topview/%00/%C3%BC%FF",
        f"{receiver.url}/",
        f"{receiver.url}/topview",
    ]
    before = receiver.dump()

    answers = [httpx.post(url, json={"taskId": entry.job_id}, timeout=30) for url in wrong]

    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    assert {tuple(sorted(answer.headers)) for answer in answers} == {tuple(sorted(answers[0].headers))}
    assert before == receiver.dump()
    assert genuine.rpartition("/")[2] not in receiver.log


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_refused(receiver: Receiver, chunked: bool) -> None:
    """Nobody fills the memory, whether the size is announced or not."""
    entry = make(receiver, "submitted")
    body = b'{"taskId": "a", "x": "' + b"a" * LARGEST_BODY + b'"}'

    def pieces() -> Iterator[bytes]:
        for begin in range(0, len(body), 4096):
            yield body[begin : begin + 4096]

    answer = httpx.post(receiver.address(entry), content=pieces() if chunked else body, timeout=30)

    assert answer.status_code == 413
    assert not wakes(receiver, entry)


def test_a_slow_body_meets_its_deadline(hurried: Receiver) -> None:
    """A caller that sends a body for ever is told so after its time, and its connection is closed."""
    entry = make(hurried, "submitted")

    answer = raw(hurried, head(hurried, hurried.address(entry), "Content-Length: 100") + b'{"taskId"')

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_caller_that_hangs_up_leaves_no_trace(receiver: Receiver) -> None:
    """A body that is cut off is no error of the studio."""
    entry = make(receiver, "submitted")
    for _ in range(20):
        raw(receiver, head(receiver, receiver.address(entry), "Content-Length: 100") + b'{"taskId"', close=True)

    assert receiver.post(entry, entry.job_id).status_code == 200
    assert "Traceback" not in receiver.log


def test_too_many_calls_are_refused_and_strangers_keep_no_notice_out(strict: Receiver) -> None:
    """A flood is told when to come back; genuine notices have a limit of their own."""
    entry = make(strict, "submitted")
    flood = [httpx.post(f"{strict.url}/topview/{order_of(entry)}/{'0' * 32}", json={}, timeout=30) for _ in range(5)]
    first, second = (strict.post(entry, entry.job_id) for _ in range(2))

    assert [answer.status_code for answer in flood] == [429] * 5
    assert all(0 < int(answer.headers["retry-after"]) <= 1000 for answer in [*flood, second])
    assert (first.status_code, second.status_code) == (200, 429)


def test_without_the_ledger_the_vendor_is_asked_to_come_again(tmp_path: Path) -> None:
    """A notice is not thrown away because a database is away: 503, and it works again as soon as the database does."""
    home = tmp_path / "home"
    home.mkdir()
    wall = home / "ledger.db"
    wall.mkdir()
    away = start(home)
    try:
        lost = Entry.model_validate(BARE | {"render_key": f"{7:024x}{0:040x}"})
        assert away.post(lost, "job").status_code == 503
        assert httpx.get(f"{away.url}/health", timeout=30).status_code == 503
        wall.rmdir()
        entry = make(away, "submitted")

        assert away.post(entry, entry.job_id).status_code == 200
        assert httpx.get(f"{away.url}/health", timeout=30).status_code == 200
        assert "Traceback" not in away.log
    finally:
        end(away)


BARE = {
    **{name: None for name in Entry.model_fields if Entry.model_fields[name].is_required()},
    "provider": "topview",
    "account": "a",
    "endpoint": "e",
    "id": "00000000-0000-0000-0000-000000000000",
    "attempt": 1,
    "state": "submitted",
    "reason": "",
    "owner": "",
    "reserved_by": "",
    "created_at": datetime.now(UTC),
    "updated_at": datetime.now(UTC),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
fields = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("taskId", "uuid", "bizType", "status", "errorMsg", "result"), json_values),
)
notices = st.fixed_dictionaries({"taskId": st.from_regex(r"[a-z0-9-]{1,30}", fullmatch=True), "uuid": json_values})
bodies = st.binary(max_size=300) | (json_values | fields | notices).map(lambda value: json.dumps(value).encode())
headers = st.dictionaries(
    st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True),
    st.binary(max_size=60).filter(lambda value: not set(value) & {0, 10, 13}),
    max_size=5,
)


def test_nothing_a_stranger_sends_breaks_it(receiver: Receiver) -> None:
    """Any body and any headers, even to a genuine address: never a 5xx, never a change of what the ledger knows."""
    entry = make(receiver, "archived")
    genuine = receiver.address(entry)
    before = receiver.dump()
    codes: set[int] = set()

    @settings(max_examples=150)
    @given(body=bodies, extra=headers, good=st.booleans())
    def check(body: bytes, extra: dict[str, bytes], good: bool) -> None:
        url = genuine if good else genuine[:-1]
        lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in extra.items())
        start_line = head(receiver, url, f"Content-Length: {len(body)}").removesuffix(b"\r\n")
        answer = raw(receiver, start_line + lines + b"\r\n" + body)
        status = int(answer.split(b" ", 2)[1])
        codes.add(status)
        assert status < 500, answer

    check()

    assert {200, 400, 404} <= codes
    assert before == receiver.dump()
    assert receiver.process.poll() is None


def test_bytes_that_are_no_http_break_nothing(receiver: Receiver) -> None:
    """Garbage, half requests and header floods end in a refusal or a closed connection."""
    entry = make(receiver, "submitted")
    genuine = receiver.address(entry)
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        head(receiver, genuine, "Content-Length: -1"),
        head(receiver, genuine, "Content-Length: 1", "Content-Length: 2"),
        head(receiver, genuine, "Transfer-Encoding: chunked") + b"zz\r\n",
        head(receiver, genuine, "Transfer-Encoding: gzip"),
        head(receiver, genuine, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x"),
        head(receiver, genuine, *(f"X-{number}: {'a' * 100}" for number in range(500))),
        head(receiver, genuine + "/" + "a" * 20_000),
    ):
        answer = raw(receiver, garbage)
        assert answer == b"" or answer[9:10] == b"4", answer

    assert receiver.post(entry, entry.job_id).status_code == 200
