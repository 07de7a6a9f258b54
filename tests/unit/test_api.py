"""What may be repeated, how long is waited, and what every kind of bad answer becomes, over real sockets."""

import asyncio
import contextlib
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tasks.errors import (
    AmbiguousSubmit,
    DownloadBroken,
    JobUnknown,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RenderFailed,
    ResultExpired,
    StillRunning,
    StorageError,
)
from tasks.http import (
    ApiClient,
    FetchRefused,
    asked_pause,
    download,
    may_repeat_download,
    may_repeat_poll,
    may_repeat_submit,
    own_network,
    patiently,
    put_file,
)
from tasks.http import api as api_module
from tasks.http.api import read_retry_after
from tasks.http.retry import RETRY_AFTER_CAP
from tests.servers.web import Answer, WebServer, reply, reply_json, serving

KEY = "planted-key-4711"

P = {"provider": "test"}
# Each row: what happened, and whether submit, poll and download may be repeated after it.
VERDICTS: list[tuple[BaseException, bool, bool, bool]] = [
    (ProviderBusy("not accepted", **P), True, True, True),
    (ProviderBusy("not accepted", retry_after=5, **P), True, True, True),
    (ProviderUnavailable("never left", sent=False, **P), True, True, True),
    (ProviderUnavailable("lost answer", sent=True, **P), False, True, True),
    (ProviderRejected("no", **P), False, False, False),
    (JobUnknown("which?", **P), False, False, False),
    (AmbiguousSubmit("nobody knows", **P), False, False, False),
    (RenderFailed("ended", **P), False, False, False),
    (ResultExpired("dead link", **P), False, False, False),
    (StillRunning("not yet", **P), False, False, False),
    (FetchRefused("inside address"), False, False, False),
    (DownloadBroken("wrong md5"), False, False, False),
    (StorageError("full"), False, False, False),
    (ConnectionResetError("cut"), False, False, True),
    (TimeoutError("slow"), False, False, True),
    (asyncio.CancelledError(), False, False, False),
    (KeyboardInterrupt(), False, False, False),
    (ValueError("a mistake of ours"), False, False, False),
    (OSError("disk full"), False, False, False),
]
_NAMES = [f"{type(row[0]).__name__}-{row[0]}" for row in VERDICTS]


@pytest.mark.parametrize(("error", "may"), [(row[0], row[1]) for row in VERDICTS], ids=_NAMES)
def test_a_submit_is_repeated_only_when_nothing_was_accepted(error: BaseException, may: bool) -> None:
    """Money: only 'surely never left' and 'not accepted' allow a second submission."""
    assert may_repeat_submit(error) is may


@pytest.mark.parametrize(("error", "may"), [(row[0], row[2]) for row in VERDICTS], ids=_NAMES)
def test_a_poll_is_repeated_after_any_passing_trouble(error: BaseException, may: bool) -> None:
    """A question costs nothing, so it is asked again unless the answer is final."""
    assert may_repeat_poll(error) is may


@pytest.mark.parametrize(("error", "may"), [(row[0], row[3]) for row in VERDICTS], ids=_NAMES)
def test_a_download_goes_on_unless_the_link_is_dead(error: BaseException, may: bool) -> None:
    """403 and 404 mean 'ask for a fresh link', which no repeat of the download can do."""
    assert may_repeat_download(error) is may


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("86400", 86400.0),
        ("9" * 400, float("inf")),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("inf", None),
        ("Wed, 32 Oct 2099 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_or_left(value: str, seconds: float | None) -> None:
    """Seconds and past dates are read; junk is no wish at all."""
    assert read_retry_after(value) == seconds


@pytest.mark.parametrize("sign", ["²", "٣", "Sun, 06 Nov 99999 08:49:37 GMT", "1 Jan 10000000000000 0:0:0 GMT"])
def test_strange_retry_after_never_breaks_a_call(sign: str) -> None:
    """A header that nobody should send is not worth losing an answer over."""
    found = read_retry_after(sign)

    assert found is None or found >= 0


def test_retry_after_may_be_a_date() -> None:
    """A date in the future counts from now."""
    found = read_retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True))

    assert found is not None
    assert 90 < found <= 100


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (None, 0),
        (ValueError(), 0),
        (ProviderBusy("x", **P), 0),
        (ProviderBusy("x", retry_after=7, **P), 7),
        (ProviderUnavailable("x", sent=True, retry_after=7, **P), 7),
        (ProviderBusy("x", retry_after=86_400, **P), RETRY_AFTER_CAP),
        (ProviderBusy("x", retry_after=float("inf"), **P), RETRY_AFTER_CAP),
        (ProviderRejected("x", **P), 0),
    ],
)
def test_wishes_are_honoured_up_to_the_cap(error: BaseException | None, seconds: float) -> None:
    """A server may ask for a pause, not for a standstill."""
    assert asked_pause(error) == seconds


class Script:
    """A call that fails as written down, then succeeds, and the pauses that were made in between."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0
        self.pauses: list[float] = []

    async def call(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def run(self, may: Callable[[BaseException], bool], seconds: float = 600) -> str:
        return await patiently(may, seconds=seconds).copy(sleep=self.sleep)(self.call)


async def test_pauses_are_as_long_as_the_server_asks() -> None:
    """The wish wins over our own back-off; beyond the cap it does not."""
    script = Script(
        ProviderBusy("x", retry_after=31, **P),
        ProviderUnavailable("x", sent=False, retry_after=32, **P),
        ProviderBusy("x", retry_after=9_999, **P),
        ProviderBusy("x", **P),
    )

    assert await script.run(may_repeat_submit) == "done"

    assert script.calls == 5
    assert script.pauses[:3] == [31, 32, RETRY_AFTER_CAP]
    assert 0 <= script.pauses[3] <= 20


async def test_patience_ends() -> None:
    """When the time is over the last error itself comes out, not a wrapper."""
    script = Script(*[ProviderBusy(f"call {number}", **P) for number in range(9)])

    with pytest.raises(ProviderBusy, match="call 0"):
        await script.run(may_repeat_submit, seconds=0)
    assert (script.calls, script.pauses) == (1, [])


async def test_what_must_not_be_repeated_is_not() -> None:
    """A lost answer to a submission ends the loop at the first try."""
    script = Script(ProviderUnavailable("lost", sent=True, **P))

    with pytest.raises(ProviderUnavailable, match="lost"):
        await script.run(may_repeat_submit)
    assert script.calls == 1


def client_of(url: str, key: str = KEY) -> ApiClient:
    return ApiClient("test", url, lambda: {"Authorization": f"Bearer {key}"})


def always(body: object, status: str = "200 OK", **headers: str) -> Answer:
    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if isinstance(body, bytes):
            reply(writer, body, status, **headers)
        else:
            reply_json(writer, body, status, **headers)

    return answer


async def submitted(url: str) -> ProviderError:
    """The error that a submission ends in."""
    with pytest.raises(ProviderError) as caught:
        await client_of(url).submit("/jobs", {"name": "a"})
    return caught.value


async def test_calls_carry_key_and_content() -> None:
    """Each kind of call arrives as written, with the account's header; the answer comes back as data."""
    async with serving(always({"id": 7}, x_request_id="r-1")) as web:
        client = client_of(web.url + "/")
        found = await client.submit("/jobs", {"name": "ä"})
        await client.query("/jobs/7", {"page": "1 2"})
        await client.ask("/check", {"a": [1]})

    assert (found.status, found.body, found.request_id, found.retry_after) == (200, {"id": 7}, "r-1", None)
    assert [(asked.method, asked.path) for asked in web.requests] == [
        ("POST", "/jobs"),
        ("GET", "/jobs/7?page=1+2"),
        ("POST", "/check"),
    ]
    assert web.requests[0].body == '{"name":"ä"}'.encode()
    assert {asked.headers["authorization"] for asked in web.requests} == {f"Bearer {KEY}"}


# Each row: HTTP status, what it becomes, and for an answer that may have been acted on: sent.
STATUSES: list[tuple[str, type[ProviderError], bool | None, str]] = [
    ("301 Moved", ProviderRejected, None, "base URL"),
    ("302 Found", ProviderRejected, None, "base URL"),
    ("303 See Other", ProviderUnavailable, True, ""),
    ("307 Moved", ProviderRejected, None, "base URL"),
    ("308 Moved", ProviderRejected, None, "base URL"),
    ("400 Bad", ProviderRejected, None, ""),
    ("401 Who", ProviderRejected, None, "Check the key"),
    ("402 Pay", ProviderRejected, None, "Top up"),
    ("403 No", ProviderRejected, None, "Check the key"),
    ("404 Gone", ProviderRejected, None, "base URL"),
    ("408 Slow", ProviderUnavailable, True, ""),
    ("409 Conflict", ProviderRejected, None, ""),
    ("413 Large", ProviderRejected, None, ""),
    ("422 Wrong", ProviderRejected, None, ""),
    ("429 Fast", ProviderBusy, None, ""),
    ("500 Oops", ProviderUnavailable, True, ""),
    ("502 Gateway", ProviderUnavailable, True, ""),
    ("503 Busy", ProviderUnavailable, True, ""),
    ("504 Gateway", ProviderUnavailable, True, ""),
    ("599 Odd", ProviderUnavailable, True, ""),
]


@pytest.mark.parametrize(("status", "kind", "sent", "fix"), STATUSES, ids=[row[0] for row in STATUSES])
async def test_every_status_has_a_verdict(status: str, kind: type[ProviderError], sent: bool | None, fix: str) -> None:
    """A status decides whether the call may be made again; redirects are never followed with the key."""
    target = {"location": "http://127.0.0.1:9/elsewhere"} if status.startswith("3") else {}
    async with serving(always(b"why so", status, retry_after="3", x_request_id="r-9", **target)) as web:
        error = await submitted(web.url)

    assert type(error) is kind
    assert getattr(error, "sent", None) is sent
    assert fix in error.fix
    assert (error.provider, error.status, error.request_id) == ("test", int(status[:3]), "r-9")
    assert getattr(error, "retry_after", 3) == 3
    assert KEY not in f"{error!r} {error}"
    assert len(web.asked) == 1


async def test_a_query_is_sent_and_never_told() -> None:
    """Some accounts are identified in the query: a refusal, or a server that quotes it, must not give it away."""
    params, link = {"Action": "Do", "Signature": "planted-signature"}, "planted-link"

    async def answer(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        reply(writer, f"who sent {path} and {link}?".encode(), "403 No")

    async with serving(answer) as web:
        client = client_of(web.url)
        for call in (client.submit, client.ask):
            with pytest.raises(ProviderRejected, match=r"refused POST /: HTTP 403, 'who sent") as caught:
                await call("/", {}, params, hidden=[link])
            told = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value))
            assert "planted" not in told

    assert [asked.path for asked in web.requests] == ["/?Action=Do&Signature=planted-signature"] * 2


@pytest.mark.parametrize(
    ("header", "date"),
    [
        ({"date": "Sun, 06 Nov 2026 08:49:37 GMT"}, datetime(2026, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ({"date": "Sun, 06 Nov 2026 08:49:37 -0000"}, datetime(2026, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ({"date": "Sun, 06 Nov 2026 10:49:37 +0200"}, datetime(2026, 11, 6, 8, 49, 37, tzinfo=UTC)),
        ({"date": "yesterday"}, None),
        ({}, None),
    ],
)
async def test_the_servers_clock_comes_with_its_answer(header: dict[str, str], date: datetime | None) -> None:
    """Whoever signs with a time can say how far the clocks differ; a header that is none is left."""
    async with serving(always({}, **header)) as web:
        found = await client_of(web.url).ask("/", {})

    assert found.date == date


@pytest.mark.parametrize("status", ["200 OK", "403 No", "429 Fast", "500 Oops", "302 Found"])
async def test_a_body_may_decide_in_place_of_the_status(status: str) -> None:
    """A provider that does not document its statuses is believed in what it writes; anything else is a status."""

    def decides(body: object) -> bool:
        return isinstance(body, dict) and "Code" in body

    async with serving(always({"Code": 7}, status)) as web:
        client = ApiClient("test", web.url, dict, body_decides=decides)
        found = await client.ask("/", {})
    async with serving(always({"other": 7}, "500 Oops")) as web:
        with pytest.raises(ProviderUnavailable):
            await ApiClient("test", web.url, dict, body_decides=decides).ask("/", {})

    assert (found.status, found.body) == (int(status[:3]), {"Code": 7})


async def test_addresses_do_not_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP library writes whole addresses at level INFO, with every signature in them."""
    caplog.set_level(logging.INFO)
    async with serving(always({})) as web:
        await client_of(web.url).ask("/", {}, {"Signature": "planted-signature"})

    assert "planted-signature" not in caplog.text


@pytest.mark.parametrize("body", [b"<html>please wait</html>", b"", b"{", b"\xff\xfe\x00"])
async def test_what_is_not_json_may_have_been_accepted(body: bytes) -> None:
    """A gateway's page says nothing about the job behind it."""
    async with serving(always(body)) as web:
        error = await submitted(web.url)

    assert isinstance(error, ProviderUnavailable)
    assert error.sent


@contextlib.asynccontextmanager
async def raw_server(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], object],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(handle, "127.0.0.1", 0)  # type: ignore[arg-type]
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_cut_connections_count_as_sent() -> None:
    """Nobody here can tell whether the other side read the request before the connection broke."""

    async def before(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def after(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    async def amid(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"id":')
        await writer.drain()
        writer.close()

    for handle in (before, after, amid):
        async with raw_server(handle) as url:
            error = await submitted(url)
        assert isinstance(error, ProviderUnavailable), handle
        assert error.sent, handle
        assert not may_repeat_submit(error)
        assert may_repeat_poll(error)


async def test_refused_connections_never_left() -> None:
    """Where nobody listens nothing can have been accepted, so the submission may be made again."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        error = await submitted(f"http://127.0.0.1:{reserved.getsockname()[1]}")

    assert isinstance(error, ProviderUnavailable)
    assert not error.sent
    assert may_repeat_submit(error)


async def test_dribbling_answers_hit_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then resets a read timeout for ever; the call's own deadline does not care."""
    monkeypatch.setitem(api_module.DEADLINES, "submit", 0.3)

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(answer) as web:
        error = await submitted(web.url)

    assert isinstance(error, ProviderUnavailable)
    assert error.sent
    assert "in time" in error.message


async def test_endless_answers_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer beyond any API's size fills no memory; the job may exist all the same."""
    monkeypatch.setattr(api_module, "MAX_ANSWER_BYTES", 100_000)
    async with serving(always(b" " * 200_000)) as web:
        error = await submitted(web.url)

    assert isinstance(error, ProviderUnavailable)
    assert error.sent
    assert "more than 100000 bytes" in error.message


@pytest.mark.parametrize("key", [f"{KEY}\r\nX-Evil: 1", f"{KEY}\n", f"{KEY}\x00", f"{KEY}é"])
async def test_keys_that_cannot_be_sent_stay_unseen(key: str) -> None:
    """A key copied with a line break is refused here, and no text of the error repeats it."""
    async with serving(always({})) as web:
        with pytest.raises(ProviderRejected, match="key") as caught:
            await client_of(web.url, key).submit("/jobs", {})

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert KEY not in told
    assert web.asked == []


async def test_addresses_that_are_none_are_refused() -> None:
    """A base URL without host or with another scheme is a setting to mend, not a passing trouble."""
    for url in ("ftp://127.0.0.1", "nonsense", "http://"):
        assert type(await submitted(url)) is ProviderRejected, url


async def test_a_submission_has_a_connection_of_its_own() -> None:
    """A kept connection may die unseen, and its loss looks like a lost answer; only questions share one."""
    async with serving(always({}, connection="keep-alive")) as web:
        web.keeps_open = True
        client = client_of(web.url)
        await client.query("/a")
        await client.submit("/b", {})
        await client.submit("/c", {})
        await client.query("/d")
        await client.ask("/e", {})

    used = {asked.path: asked.connection for asked in web.requests}
    assert len({used["/a"], used["/b"], used["/c"]}) == 3
    assert used["/a"] == used["/d"] == used["/e"]


async def test_cookies_are_not_kept() -> None:
    """What one account's answer sets is not sent with another's call."""
    async with serving(always({}, set_cookie="session=1; Path=/")) as web:
        await client_of(web.url).query("/a")
        await client_of(web.url).query("/b")

    assert all("cookie" not in headers for _, headers in web.asked)


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("http://127.0.0.1:8700/topview", {"127.0.0.1:8700"}),
        ("http://localhost:8700", {"localhost:8700"}),
        ("https://10.0.0.7/x", {"10.0.0.7:443"}),
        ("http://[::1]:8700", {"::1:8700"}),
        ("https://api.topview.ai", set()),
        ("https://8.8.8.8", set()),
        ("https://localhost.example.com", set()),
    ],
)
def test_only_an_inside_provider_may_link_inside(address: str, own: set[str]) -> None:
    """A public vendor can never name an address of ours, whatever its answers say."""
    assert own_network(address) == own


BODY = bytes(range(256)) * 2000


def ranged(body: bytes = BODY) -> Answer:
    async def answer(_path: str, headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        start = int(headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            reply(writer, status="416 Range", content_range=f"bytes */{len(body)}")
        elif start:
            reply(writer, body[start:], "206 Part", content_range=f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            reply(writer, body)

    return answer


async def downloaded(web: WebServer, offset: int = 0, path: str = "/v.mp4?signature=s") -> bytes:
    chunks = [chunk async for chunk in download(web.url + path, offset, provider="test", allow_private=web.listed)]
    return b"".join(chunks)


async def test_downloads_resume_where_they_stopped() -> None:
    """With or without ranges on the other side, the bytes from the offset on come out, and no key goes in."""
    async with serving(ranged()) as web:
        assert await downloaded(web) == BODY
        assert await downloaded(web, 1000) == BODY[1000:]
    async with serving(always(BODY)) as plain:
        assert await downloaded(plain, 300_000) == BODY[300_000:]

    assert [headers.get("range") for _, headers in web.asked] == [None, "bytes=1000-"]
    for _, headers in web.asked + plain.asked:
        assert not {"authorization", "cookie", "topview-uid"} & headers.keys()


async def test_ranges_that_start_early_are_cut_to_fit() -> None:
    """A server that rounds a range down sends some bytes twice; they come out once."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        reply(writer, BODY[512:], "206 Part", content_range=f"bytes 512-{len(BODY) - 1}/{len(BODY)}")

    async with serving(answer) as web:
        assert await downloaded(web, 1000) == BODY[1000:]


async def test_nothing_is_left_after_the_end() -> None:
    """416 at the end of a file means that it is complete."""
    async with serving(ranged()) as web:
        assert await downloaded(web, len(BODY)) == b""


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("401 No", ResultExpired),
        ("403 No", ResultExpired),
        ("404 No", ResultExpired),
        ("410 No", ResultExpired),
        ("416 No", ResultExpired),
        ("408 Slow", ProviderUnavailable),
        ("429 Fast", ProviderBusy),
        ("500 Oops", ProviderUnavailable),
        ("503 Busy", ProviderUnavailable),
    ],
)
async def test_dead_links_are_told_from_trouble(status: str, kind: type[ProviderError]) -> None:
    """A dead link asks for a fresh one; trouble asks for patience."""
    async with serving(always(b"", status, retry_after="4")) as web:
        with pytest.raises(kind) as caught:
            await downloaded(web)

    assert caught.value.status == int(status[:3])
    assert "signature=s" not in str(caught.value)
    assert getattr(caught.value, "retry_after", 4) == 4


async def test_broken_downloads_may_go_on() -> None:
    """What came before the break is kept; the error allows to go on."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + BODY[:100])

    got = bytearray()

    async def read(web: WebServer) -> None:
        async for chunk in download(web.url + "/v?sig=1", 0, provider="test", allow_private=web.listed):
            got.extend(chunk)

    async with serving(answer) as web:
        with pytest.raises(ProviderUnavailable) as caught:
            await read(web)

    assert got == BODY[:100]
    assert may_repeat_download(caught.value)
    assert "sig=1" not in str(caught.value)


async def test_results_are_not_fetched_from_inside() -> None:
    """A vendor's link, or a redirect of it, cannot make us read our own network."""
    async with serving(always(b"secret")) as hidden:
        targets = [f"http://127.0.0.1:{hidden.port}/", f"https://127.0.0.1:{hidden.port}/", "http://169.254.169.254/"]
        for target in targets:
            async with serving(always(b"", "302 Found", location=target)) as web:
                with pytest.raises(FetchRefused):
                    await downloaded(web)
        with pytest.raises(FetchRefused):
            async for _ in download(f"{hidden.url}/v", 0, provider="test", allow_private=frozenset()):
                pass
    assert hidden.asked == []


async def test_uploads_arrive_whole(tmp_path: Path) -> None:
    """The file goes out with its length and without a key."""
    path = tmp_path / "a.mp4"
    path.write_bytes(BODY)
    async with serving(always(b"")) as web:
        await put_file(f"{web.url}/up?signature=s", path, provider="test", allow_private=web.listed)

    (asked,) = web.requests
    assert (asked.method, asked.path, asked.body) == ("PUT", "/up?signature=s", BODY)
    assert asked.headers["content-length"] == str(len(BODY))
    assert not {"authorization", "cookie", "transfer-encoding"} & asked.headers.keys()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("302 Found", ProviderRejected),
        ("403 Stale", ProviderRejected),
        ("404 No", ProviderRejected),
        ("429 Fast", ProviderBusy),
        ("500 Oops", ProviderUnavailable),
        ("503 Busy", ProviderUnavailable),
    ],
)
async def test_refused_uploads_are_told_from_trouble(tmp_path: Path, status: str, kind: type[ProviderError]) -> None:
    """A stale upload link needs a fresh one; trouble only patience. Redirects are not followed with the file."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    target = {"location": "http://127.0.0.1:9/"} if status.startswith("3") else {}
    async with serving(always(b"", status, **target)) as web:
        with pytest.raises(kind) as caught:
            await put_file(f"{web.url}/up?signature=s", path, provider="test", allow_private=web.listed)

    assert type(caught.value) is kind
    assert "signature=s" not in str(caught.value)


async def test_uploads_do_not_go_inside(tmp_path: Path) -> None:
    """An upload link of a public vendor cannot lead to our own network."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    async with serving(always(b"")) as web:
        with pytest.raises(FetchRefused):
            await put_file(f"{web.url}/up", path, provider="test", allow_private=frozenset())
    assert web.asked == []
