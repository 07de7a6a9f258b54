"""Fetching links that strangers wrote, over real sockets, and getting results whole."""

import asyncio
import hashlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.addresses import resolve_host, why_closed
from tasks.download import download_result
from tasks.errors import DownloadBroken, ProviderError, ProviderUnavailable, ResultExpired, StudioUnavailable
from tasks.http import FetchedFile, FetchRefused, FetchRules, Pace, fetch_public
from tasks.partial import WholeFile
from tests.servers.web import WebServer, file_server, reply, serving

Source = Callable[[int], AsyncIterator[bytes]]


async def fetch(url: str, path: Path, *, deadline: float = 10, **rules: object) -> FetchedFile:
    facts: dict[str, object] = {"max_bytes": 1_000_000} | rules
    return await fetch_public(url, path, rules=FetchRules(**facts), deadline=deadline)  # type: ignore[arg-type]


def local(web: WebServer, path: str = "/a.mp4") -> tuple[str, frozenset[str]]:
    return f"http://127.0.0.1:{web.port}{path}", frozenset({f"127.0.0.1:{web.port}"})


def leading_to(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(_host: str, _port: int) -> list[str]:
        return list(addresses)

    return resolve


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("100.64.0.1", "not public"),
        ("0.0.0.0", "unspecified"),  # noqa: S104 - refused, not bound
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "private"),
        ("240.0.0.1", "private"),
        ("198.18.0.1", "private"),
        ("192.0.2.1", "private"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fc00::1", "private"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("64:ff9b:1::a00:1", "reserved"),
        ("fec0::1", "reserved"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::", "link-local"),
        ("nonsense", "not an address"),
        ("8.8.8.8", ""),
        ("2606:4700:4700::1111", ""),
        ("::ffff:8.8.8.8", ""),
        ("64:ff9b::808:808", ""),
    ],
)
def test_only_public_addresses_are_open(address: str, reason: str) -> None:
    """Every way to write an inside address is recognised, wrapped ones too; public ones pass."""
    assert why_closed(address) == reason


INSIDE_HOSTS = (
    *("127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f000001", "0x7f.1", "127.1", "0", "LOCALHOST"),
    *("127.0.0.1.", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "[fe80::1]"),
)


@pytest.mark.parametrize("host", INSIDE_HOSTS)
async def test_inside_hosts_are_refused_however_they_are_written(tmp_path: Path, host: str) -> None:
    """Decimal, octal, hexadecimal and shortened hosts lead where the system says, and that is checked."""
    with pytest.raises(FetchRefused, match=r"only public addresses|is not known|could not be read"):
        await fetch(f"https://{host}/latest/meta-data", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test folder


async def test_one_inside_address_among_public_ones_is_enough(tmp_path: Path) -> None:
    """A name with a public and an inside address is refused before any connection."""
    asked: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8", "10.0.0.7"]

    with pytest.raises(FetchRefused, match=r"10\.0\.0\.7, which is private.*STUDIO_PRIVATE_MEDIA_HOSTS"):
        await fetch("https://media.example.com/a.mp4", tmp_path / "a", resolve=resolve)
    assert asked == ["media.example.com"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://8.8.8.8/a.mp4", "not an https"),
        ("ftp://8.8.8.8/a.mp4", "not an https"),
        ("file:///etc/passwd", "not an https"),
        ("https:///a.mp4", "not an https"),
        ("https://user:secret@8.8.8.8/a.mp4", "user name"),
        ("https://8.8.8.8:99999/a.mp4", "port"),
    ],
)
async def test_other_links_are_refused(tmp_path: Path, url: str, said: str) -> None:
    """Only plain https links of strangers are followed, and no secret is repeated in the message."""
    with pytest.raises(FetchRefused, match=said) as refused:
        await fetch(url, tmp_path / "a")
    assert "secret" not in str(refused.value)


async def test_a_file_arrives_hashed_under_its_name(tmp_path: Path) -> None:
    """The listed loopback host may be fetched from; nothing of ours is sent along."""
    body = bytes(range(256)) * 1000
    async with serving(file_server(body)) as web:
        url, listed = local(web, "/a%20b.mp4?signature=1")
        found = await fetch(url, tmp_path / "a", allow_private=listed)

    assert found == FetchedFile(tmp_path / "a", len(body), hashlib.sha256(body).hexdigest(), "video/mp4")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a"]  # noqa: ASYNC240 - a test folder
    ((path, headers),) = web.asked
    assert path == "/a%20b.mp4?signature=1"
    assert headers["host"] == f"127.0.0.1:{web.port}"
    assert headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie", "referer"} & headers.keys()


async def test_proxies_of_the_environment_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve the name again, beyond our check."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(file_server(b"direct")) as web:
        url, listed = local(web)
        assert (await fetch(url, tmp_path / "a", allow_private=listed)).size == 6


async def test_redirects_are_followed_under_the_same_rules(tmp_path: Path) -> None:
    """A relative redirect is followed; one to an inside address is not, and its target is never asked."""
    inside: list[str] = []

    async def secret(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        inside.append(path)
        reply(writer, b"secret")

    async def answer(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        targets = {
            "/near": "/file",
            "/inside": f"https://127.0.0.1:{hidden.port}/secret",
            "/plain": f"http://127.0.0.1:{hidden.port}/secret",
            "/metadata": "https://169.254.169.254/latest",
            "/file-scheme": "file:///etc/passwd",
            "/loop": "/loop",
        }
        if path == "/file":
            reply(writer, b"file")
        else:
            reply(writer, status="302 Found", location=targets[path], set_cookie="session=1")

    async with serving(secret) as hidden, serving(answer) as web:
        url, listed = local(web, "")
        assert (await fetch(f"{url}/near", tmp_path / "a", allow_private=listed)).size == 4
        assert "cookie" not in web.asked[-1][1]
        for path, said in {
            "/inside": "loopback",
            "/plain": "not an https",
            "/metadata": "link-local",
            "/file-scheme": "not an https",
            "/loop": "more than 5 redirects",
        }.items():
            with pytest.raises(FetchRefused, match=said):
                await fetch(url + path, tmp_path / "b", allow_private=listed)
    assert inside == []


async def test_announced_size_is_checked_first(tmp_path: Path) -> None:
    """A file that says it is too large is refused before its first byte is kept."""
    async with serving(file_server(b"x" * 1001)) as web:
        url, listed = local(web)
        with pytest.raises(FetchRefused, match="limit is 1000"):
            await fetch(url, tmp_path / "a", max_bytes=1000, allow_private=listed)


async def test_endless_file_is_cut_at_the_cap(tmp_path: Path) -> None:
    """A body without an announced length is counted while it comes."""
    sent = 0

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with serving(answer) as web:
        url, listed = local(web)
        with pytest.raises(FetchRefused, match="limit is 200000"):
            await fetch(url, tmp_path / "a", max_bytes=200_000, allow_private=listed)
    assert sent < 20_000_000
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test folder


async def test_compressed_answers_are_refused(tmp_path: Path) -> None:
    """A body that would have to be unpacked could be a bomb."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        reply(writer, b"\x1f\x8b", content_encoding="gzip")

    async with serving(answer) as web:
        url, listed = local(web)
        with pytest.raises(FetchRefused, match=r"compressed \(gzip\)"):
            await fetch(url, tmp_path / "a", allow_private=listed)


async def drip(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def test_trickling_servers_are_given_up(tmp_path: Path) -> None:
    """A server that sends a byte now and then does not hold a run for ever."""
    async with serving(drip) as web:
        url, listed = local(web)
        with pytest.raises(FetchRefused, match="too slowly"):
            await fetch(url, tmp_path / "a", allow_private=listed, pace=Pace(10_000, 0.2))
        with pytest.raises(FetchRefused, match=r"did not arrive within 0.3 s"):
            await fetch(url, tmp_path / "a", deadline=0.3, allow_private=listed)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test folder


@pytest.mark.parametrize(
    ("status", "fix"),
    [("403 No", "expired"), ("404 No", "spelling"), ("401 No", "pre-signed"), ("204 None", "browser")],
)
async def test_final_answers_are_not_repeated(tmp_path: Path, status: str, fix: str) -> None:
    """An answer that will stay the same is given on at once, with the way out."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        reply(writer, status=status)

    async with serving(answer) as web:
        url, listed = local(web)
        with pytest.raises(FetchRefused, match=rf"HTTP {status[:3]}.*{fix}"):
            await fetch(url, tmp_path / "a", allow_private=listed)
    assert len(web.asked) == 1


async def test_passing_troubles_are_repeated(tmp_path: Path) -> None:
    """A busy server and a cut connection are tried again; the file is whole in the end."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if len(web.asked) == 1:
            reply(writer, status="503 Busy")
        elif len(web.asked) == 2:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        else:
            reply(writer, b"whole file")

    async with serving(answer) as web:
        url, listed = local(web)
        assert (await fetch(url, tmp_path / "a", allow_private=listed)).size == 10
    assert len(web.asked) == 3


def make_tls(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Server and client contexts around a fresh certificate for one name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return _server_context(pem, secret), ssl.create_default_context(cadata=pem.decode())


def _server_context(pem: bytes, secret: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem + secret)
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def test_the_checked_address_is_the_one_connected_to(tmp_path: Path) -> None:
    """The name is resolved once; TLS and Host still speak of the name, and a wrong certificate is refused."""
    server_tls, client_tls = make_tls("media.example.com")
    lookups: list[str] = []

    async def resolve(host: str, _port: int) -> list[str]:
        lookups.append(host)
        # A rebinding name: a second look-up would lead elsewhere.
        return ["127.0.0.1"] if len(lookups) == 1 else ["127.0.0.2"]

    async with serving(file_server(b"over tls"), server_tls) as web:
        names = [f"media.example.com:{web.port}", f"other.example.com:{web.port}"]
        listed = frozenset(names)
        found = await fetch(
            f"https://{names[0]}/a.mp4", tmp_path / "a", resolve=resolve, allow_private=listed, tls=client_tls
        )
        assert found.size == 8
        assert lookups == ["media.example.com"]
        assert web.asked[0][1]["host"] == names[0]
        with pytest.raises(FetchRefused, match="certificate"):
            await fetch(
                f"https://{names[1]}/a.mp4",
                tmp_path / "b",
                resolve=leading_to("127.0.0.1"),
                allow_private=listed,
                tls=client_tls,
            )
        with pytest.raises(FetchRefused, match="certificate"):
            await fetch(
                f"https://{names[0]}/a.mp4", tmp_path / "b", resolve=leading_to("127.0.0.1"), allow_private=listed
            )


async def test_next_address_is_tried_when_the_first_is_dead(tmp_path: Path) -> None:
    """A host with a dead address among its checked ones is still reached."""
    async with serving(file_server(b"alive")) as web:
        name = f"media.example.com:{web.port}"
        found = await fetch(
            f"http://{name}/a",
            tmp_path / "a",
            resolve=leading_to("127.0.0.77", "127.0.0.1"),
            allow_private=frozenset({name}),
        )
        assert found.size == 5


async def test_unknown_hosts_are_named(tmp_path: Path) -> None:
    """A misspelt host is told as such."""
    with pytest.raises(FetchRefused, match=r"no-such-host\.invalid is not known"):
        await fetch("https://no-such-host.invalid/a", tmp_path / "a")
    assert await resolve_host("127.0.0.1", 80) == ["127.0.0.1"]


RESULT = bytes(range(256)) * 4000


def broken(told: str) -> ProviderUnavailable:
    """What a provider's source raises when its stream breaks."""
    return ProviderUnavailable(told, sent=True, provider="test")


def source(*cuts: int, body: bytes = RESULT) -> tuple[list[int], Source]:
    """A source that breaks at the given positions, once each, and the offsets it was opened at."""
    offsets: list[int] = []
    waiting = list(cuts)

    async def open_stream(offset: int) -> AsyncIterator[bytes]:
        offsets.append(offset)
        end = waiting.pop(0) if waiting else None
        for start in range(offset, end if end is not None else len(body), 10_000):
            yield body[start : min(start + 10_000, end or len(body))]
        if end is not None:
            raise broken("cut by the test")

    return offsets, open_stream


async def download(open_stream: Source, path: Path, **changes: object) -> WholeFile:
    facts: dict[str, object] = {"what": "the result of test job 7", "max_bytes": 10_000_000, "deadline": 30} | changes
    return await download_result(open_stream, path, **facts)  # type: ignore[arg-type]


async def test_broken_results_are_resumed(tmp_path: Path) -> None:
    """Each leg goes on at the byte where the last one broke, and the digests are of the whole."""
    offsets, open_stream = source(300_000, 300_000, 555_555)

    found = await download(
        open_stream,
        tmp_path / "a",
        expect_size=len(RESULT),
        expect_md5=hashlib.md5(RESULT).hexdigest().upper(),  # noqa: S324 - as announced
    )

    assert offsets == [0, 300_000, 300_000, 555_555]
    assert found.path.read_bytes() == RESULT
    assert found.sha256 == hashlib.sha256(RESULT).hexdigest()


async def test_short_results_are_resumed_when_the_size_is_known(tmp_path: Path) -> None:
    """A stream that ends early without an error is noticed by its announced size."""
    calls: list[int] = []

    async def open_stream(offset: int) -> AsyncIterator[bytes]:
        calls.append(offset)
        yield RESULT[offset : offset + 600_000]

    found = await download(open_stream, tmp_path / "a", expect_size=len(RESULT))

    assert calls == [0, 600_000]
    assert found.path.read_bytes() == RESULT


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"expect_md5": "0" * 32}, "MD5"),
        ({"expect_size": len(RESULT) - 1}, "size"),
        ({"max_bytes": len(RESULT) - 1}, "limit is"),
    ],
)
async def test_results_that_are_not_as_announced(tmp_path: Path, facts: dict[str, object], said: str) -> None:
    """A result with another digest or size, or beyond the cap, leaves no file behind."""
    with pytest.raises(DownloadBroken, match=said):
        await download(source()[1], tmp_path / "a", **facts)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test folder


async def test_a_dead_source_ends_with_what_is_missing(tmp_path: Path) -> None:
    """A source that never gets further is given up with the byte it stopped at."""

    async def open_stream(offset: int) -> AsyncIterator[bytes]:
        if offset < 10:
            yield b"x" * 10
        raise broken("dead")

    with pytest.raises(DownloadBroken, match="incomplete after 10 of 99 bytes"):
        await download(open_stream, tmp_path / "a", expect_size=99)
    with pytest.raises(DownloadBroken, match="incomplete"):
        await download(drip_source, tmp_path / "a", deadline=0.2)


async def drip_source(_offset: int) -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.01)
        yield b"x"


async def test_what_stays_wrong_is_not_repeated(tmp_path: Path) -> None:
    """An expired link means 'query again', so it goes straight to the caller."""
    offsets: list[int] = []

    async def open_stream(offset: int) -> AsyncIterator[bytes]:
        offsets.append(offset)
        raise ResultExpired("gone", provider="test", job_id="7")
        yield b""

    with pytest.raises(ProviderError, match="gone"):
        await download(open_stream, tmp_path / "a")
    assert offsets == [0]


async def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """A spool without room says where to make some."""
    (tmp_path / "a.part").symlink_to("/dev/full")
    with pytest.raises(StudioUnavailable, match=r"No space left.*STUDIO_HOME"):
        await download(source()[1], tmp_path / "a")
