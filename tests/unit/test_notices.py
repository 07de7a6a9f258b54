"""Addresses for notices, the words of a notice, and how often anybody may call."""

import ipaddress
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.webhooks.notice import NoticeRefused, read_notice
from infra.webhooks.rate_limit import BURST_SECONDS, MOST_CLIENTS, RateLimit
from tasks.notices import is_genuine, notice_url
from tasks.settings import get_settings

ORDER = f"{'ab' * 12}-1"
URL = "https://studio.example/hooks"
# HMAC-SHA256 with the key "a secret" of "topview/abababababababababababab-1", made with openssl.
TOKEN = "eb791fc1b7c5adb13d0dd36daceb8361"


@pytest.fixture(autouse=True)
def webhooks(studio_home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIO_WEBHOOK_URL", URL)
    monkeypatch.setenv("STUDIO_WEBHOOK_SECRET", "a secret")


def test_address_carries_provider_order_and_token() -> None:
    """Notices that a provider was asked for before an update still arrive after it: the address never changes."""
    assert notice_url("topview", ORDER) == f"{URL}/topview/{ORDER}/{TOKEN}"
    assert is_genuine("topview", ORDER, TOKEN)


@pytest.mark.parametrize("missing", ["STUDIO_WEBHOOK_URL", "STUDIO_WEBHOOK_SECRET"])
def test_no_notice_is_asked_for_without_url_and_secret(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A studio that nobody can reach does not tell providers to call it."""
    monkeypatch.delenv(missing)

    assert notice_url("topview", ORDER) == ""


def test_nothing_is_genuine_without_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest with an empty key can be made by everybody."""
    monkeypatch.setenv("STUDIO_WEBHOOK_SECRET", "")
    get_settings.cache_clear()
    empty_key = "3bd009f35d909f5268fe1bb95bc42999"

    assert not is_genuine("topview", ORDER, empty_key)


@pytest.mark.parametrize(
    ("provider", "order", "token"),
    [
        ("mingyan", ORDER, TOKEN),
        ("topview", f"{'ab' * 12}-2", TOKEN),
        ("topview", ORDER, TOKEN.upper()),
        ("topview", ORDER, TOKEN[:-1]),
        ("topview", ORDER, TOKEN + "0"),
        ("topview", ORDER, ""),
        ("topview/", ORDER, TOKEN),
    ],
)
def test_a_token_opens_one_order_only(provider: str, order: str, token: str) -> None:
    """Who knows one address cannot make another from it."""
    assert not is_genuine(provider, order, token)


@given(st.text(), st.text(alphabet=st.characters(exclude_categories=[])))
def test_any_words_are_refused_and_not_choked_on(order: str, token: str) -> None:
    """Strangers may write anything into an address, half of a surrogate pair too."""
    assert not is_genuine("topview", order, token)


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"result": {"taskId": "job-1", "video": [1]}},
        {"result": json.dumps({"taskId": "job-1"})},
        {"result": "{not json"},
        {"bizType": "SOMETHING_NEW", "status": "success"},
        {"errorMsg": None, "unknown": [[]]},
    ],
    ids=str,
)
def test_a_notice_is_read_leniently(extra: dict[str, Any]) -> None:
    """Only the job id matters; whatever else the vendor writes, or stops writing, loses no notice."""
    notice = read_notice(json.dumps({"taskId": "job-1", "uuid": "u-1", **extra}).encode())

    assert (notice.job_id, notice.uuid) == ("job-1", "u-1")


@pytest.mark.parametrize(
    ("status", "shown"), [("success", "success"), ("half done", "half done"), ("<script>", ""), (7, ""), (None, "")]
)
def test_a_status_is_shown_only_if_it_is_a_word(status: object, shown: str) -> None:
    """An unknown status word is kept; what could be anything else is not passed on to Prefect."""
    assert read_notice(json.dumps({"taskId": "job-1", "status": status}).encode()).status == shown


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"taskId"',
        b"{",
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"taskId": 1' + b"0" * 5000 + b"}",
        b"{}",
        b'{"taskId": 7}',
        b'{"taskId": ""}',
        b'{"taskId": "a b"}',
        b'{"taskId": "../../x"}',
        b'{"taskId": "job\\n"}',
        b'{"taskId": "\\ud800"}',
        b'{"taskId": "' + b"a" * 129 + b'"}',
        b'{"taskId": "job", "uuid": "' + b"a" * 201 + b'"}',
    ],
    ids=lambda body: body[:20],
)
def test_what_is_no_notice_is_refused(body: bytes) -> None:
    """Junk ends in a refusal with a reason, never in another error."""
    with pytest.raises(NoticeRefused) as caught:
        read_notice(body)

    assert caught.value.status == 400


@given(st.binary(max_size=2000) | st.recursive(st.text() | st.integers() | st.none(), st.lists).map(json.dumps))
def test_any_body_is_read_or_refused(body: bytes | str) -> None:
    """Whatever is posted, reading it knows two ends."""
    try:
        notice = read_notice(body if isinstance(body, bytes) else body.encode())
    except NoticeRefused:
        return
    assert re.fullmatch(r"[\w.:-]{1,128}", notice.job_id)


class Clock:
    """Seconds that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def calls_until_refused(limit: RateLimit, address: str) -> int:
    for count in range(10_000):
        if limit.take(address):
            return count
    raise AssertionError("never refused")


def test_a_client_has_a_burst_and_then_its_rate() -> None:
    """Some notices may come at once; a client that goes on is told how long to wait, and is let in again then."""
    clock = Clock()
    limit = RateLimit(client_rate=2, total_rate=1000, clock=clock)

    assert calls_until_refused(limit, "192.0.2.1") == 2 * BURST_SECONDS
    wait = limit.take("192.0.2.1")
    clock.now += wait

    assert wait == 1
    assert limit.take("192.0.2.1") == 0


def test_one_client_does_not_keep_others_out() -> None:
    """A client above its rate takes nothing from what is left for all."""
    limit = RateLimit(client_rate=1, total_rate=2, clock=Clock())
    calls_until_refused(limit, "192.0.2.1")
    for _ in range(1000):
        limit.take("192.0.2.1")

    assert limit.take("192.0.2.2") == 0


def test_many_clients_together_are_limited() -> None:
    """A flood from ever new addresses meets the limit for everybody."""
    limit = RateLimit(client_rate=10, total_rate=5, clock=Clock())

    let_in = sum(limit.take(f"192.0.2.{number}") == 0 for number in range(200))

    assert let_in == 5 * BURST_SECONDS


def test_addresses_of_one_site_count_together() -> None:
    """A subscriber with a whole IPv6 network is one client; clients without a readable address are one too."""
    limit = RateLimit(client_rate=1, total_rate=1000, clock=Clock())
    network = ipaddress.ip_network("2001:db8::/64")

    let_in = sum(limit.take(str(network[number])) == 0 for number in range(100))

    assert let_in == BURST_SECONDS
    assert limit.take("2001:db8:0:1::1") == 0
    assert calls_until_refused(limit, "nonsense") == BURST_SECONDS
    assert limit.take("other nonsense") > 0


def test_memory_is_bounded() -> None:
    """However many addresses call, only so many are remembered."""
    limit = RateLimit(client_rate=1, total_rate=1e9, clock=Clock())
    for number in range(2 * MOST_CLIENTS):
        limit.take(str(ipaddress.ip_address(number + 1)))

    assert len(limit) == MOST_CLIENTS
