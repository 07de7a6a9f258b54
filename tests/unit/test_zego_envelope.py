"""What every answer of ZEGO becomes: the table of codes, odd envelopes, and lenient models."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import JsonValue

from tasks.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable
from tasks.http import Answer, may_repeat_submit
from tasks.providers import contract
from tasks.providers.zego import clock
from tasks.providers.zego.clock import told_skew, warn_of_skew
from tasks.providers.zego.envelope import (
    CODES,
    AtStreamLimit,
    NotStreaming,
    SignatureExpired,
    StreamGone,
    StreamIdTaken,
    is_envelope,
    open_envelope,
)
from tasks.providers.zego.models import DigitalHuman, StreamTask, WsDrive, read_answer

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

# Section 7, line by line: code, what it becomes, whether a submission may be made again, and the pause before.
VERDICTS: list[tuple[int, type[ProviderError], bool, float | None]] = [
    (100000004, SignatureExpired, False, None),
    (100000005, ProviderRejected, False, None),
    (400000001, ProviderRejected, False, None),
    (400000002, ProviderRejected, False, None),
    (400000003, ProviderRejected, False, None),
    (400000004, ProviderRejected, False, None),
    (400000005, StreamGone, False, None),
    (400000006, NotStreaming, True, 1),
    (400000007, StreamGone, False, None),
    (400000008, AtStreamLimit, True, 30),
    (400000009, ProviderRejected, False, None),
    (400000010, ProviderRejected, False, None),
    (400000015, StreamIdTaken, False, None),
    (400000016, ProviderRejected, False, None),
    (400010000, ProviderUnavailable, False, None),
    (400010001, ProviderRejected, False, None),
    (400010002, ProviderBusy, True, 2),
    (400010007, AtStreamLimit, True, 30),
    (400010009, ProviderBusy, True, 1),
]


@pytest.fixture(autouse=True)
def _fresh_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees the differences that it makes."""
    monkeypatch.setattr(contract, "_noted", set())
    clock._warn.cache_clear()


def answer(body: JsonValue, *, status: int = 200, retry_after: float | None = None) -> Answer:
    return Answer(status=status, body=body, request_id="http-7", retry_after=retry_after, date=NOW)


def error_of(body: JsonValue, **facts: float) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        open_envelope(answer(body, **facts), "DriveByText", "t-1")  # type: ignore[arg-type]
    return caught.value


def test_the_table_is_the_pages() -> None:
    """No code is forgotten, none is invented."""
    assert {str(row[0]) for row in VERDICTS} == CODES.keys()


@pytest.mark.parametrize(("code", "kind", "again", "pause"), VERDICTS, ids=[str(row[0]) for row in VERDICTS])
def test_every_code_has_a_verdict(code: int, kind: type[ProviderError], again: bool, pause: float | None) -> None:
    """The error says the code, its meaning, the vendor's words, the task and what to do."""
    error = error_of({"Code": code, "Message": "said\n the vendor", "RequestId": "r-9"})

    assert type(error) is kind
    assert may_repeat_submit(error) is again
    assert getattr(error, "retry_after", None) == pause
    assert (error.provider, error.code, error.request_id, error.job_id) == ("zego", str(code), "r-9", "t-1")
    assert f"DriveByText with code {code} ({CODES[str(code)].meaning}), 'said the vendor'." in error.message
    assert error.fix.endswith(".")


def test_the_servers_own_pause_goes_first() -> None:
    """A Retry-After header says more than our table."""
    error = error_of({"Code": 400010009, "Message": ""}, retry_after=7)

    assert isinstance(error, ProviderBusy)
    assert error.retry_after == 7


@pytest.mark.parametrize("code", [1, -1, 400000099, "odd", "9" * 50])
def test_an_unknown_code_says_nothing(code: int | str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody knows whether the vendor acted, so a submission is not made again; the code is noted."""
    error = error_of({"Code": code, "Message": "m"})

    assert type(error) is ProviderUnavailable
    assert error.sent
    assert f"unknown code {str(code)[:20]!r}" in caplog.text


@pytest.mark.parametrize("body", [None, [], "text", 7, {}, {"Code": None}, {"Code": True}, {"Code": []}, {"code": 0}])
def test_what_is_no_envelope_says_nothing(body: JsonValue) -> None:
    """A gateway's JSON is no answer of the vendor's."""
    error = error_of(body)

    assert type(error) is ProviderUnavailable
    assert error.sent
    assert not is_envelope(body)
    assert error.request_id == "http-7"


@pytest.mark.parametrize("code", [0, "0"])
def test_success_gives_the_data(code: int | str) -> None:
    """Data may miss: three actions have none. An HTTP status that differs does not change the verdict."""
    assert open_envelope(answer({"Code": code, "Message": "success", "Data": {"TaskId": "t"}}), "x") == {"TaskId": "t"}
    assert open_envelope(answer({"Code": code, "Message": "success"}), "x") is None
    assert open_envelope(answer({"Code": code}, status=500), "x") is None


def test_a_long_message_is_cut_and_kept_on_one_line() -> None:
    """An error stays a line that people can read."""
    error = error_of({"Code": 400000001, "Message": "a\n" * 5000})

    assert len(error.message) < 500
    assert "\n" not in error.message


# The clock


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (timedelta(minutes=-14), "14 min behind the vendor's (by its Date header)"),
        (timedelta(hours=2), "120 min ahead of the vendor's (by its Date header)"),
        (timedelta(seconds=6), "only 0.1 min off"),
    ],
)
def test_a_clock_that_is_off_is_measured(ahead: timedelta, said: str) -> None:
    """A person reads by how much and to which side, or that the clock is not to blame."""
    assert said in told_skew(NOW, NOW + ahead)


def test_without_a_date_nothing_is_claimed() -> None:
    """No header, no number."""
    assert "not known" in told_skew(None, NOW)


def test_a_clock_on_its_way_out_is_told_in_time(caplog: pytest.LogCaptureFixture) -> None:
    """Eight minutes are accepted by the vendor and logged here once; a few seconds are nothing."""
    for seconds in (0, 60, -60, 3 * 60 + 1, 3 * 60 + 2, -8 * 60):
        warn_of_skew(NOW, NOW + timedelta(seconds=seconds))
    warn_of_skew(None, NOW)

    assert [record.args for record in caplog.records] == [(3, 10), (-8, 10)]


# Answers


def test_a_stream_task_is_read() -> None:
    """Seconds since the epoch become a moment; a number of the vendor's stays one."""
    raw = {"TaskId": "t", "RoomId": "r", "StreamId": "s", "Status": 3, "CreateTime": 1754300000}
    found = read_answer(StreamTask, raw, call="x")

    assert (found.task_id, found.room_id, found.stream_id, found.status) == ("t", "r", "s", 3)
    assert found.created_at == datetime(2025, 8, 4, 9, 33, 20, tzinfo=UTC)


def test_odd_fields_are_noted_and_do_not_stop_the_call(caplog: pytest.LogCaptureFixture) -> None:
    """Numbers for texts, null for lists, fields that are new, gone or unreadable: the rest is read all the same."""
    caplog.set_level(logging.WARNING)
    raw = {"TaskId": 7, "RoomId": None, "Status": 3, "CreateTime": "moon day", "Mood": "fine", "StreamId": "s"}
    found = read_answer(StreamTask, raw, call="x")
    avatar = read_answer(
        DigitalHuman, {"DigitalHumanId": "d", "Name": "N", "IsPublic": True, "Actions": None}, call="y"
    )

    assert (found.task_id, found.room_id, found.status, found.created_at) == ("7", "", 3, None)
    assert avatar.action_names == []
    assert "unknown field 'Mood'" in caplog.text
    assert "unreadable CreateTime" in caplog.text
    assert "moon day" not in caplog.text


def test_a_drives_address_is_a_secret() -> None:
    """Its token lets anybody speak; it is in no text that a drive is printed as."""
    drive = read_answer(WsDrive, {"DriveId": "d", "WssAddress": "wss://192.0.2.1:1/ws?Token=planted-4711"}, call="x")

    assert drive.address.get_secret_value().endswith("planted-4711")
    assert "planted" not in f"{drive!r} {drive} {drive.model_dump()} {drive.model_dump_json()}"
