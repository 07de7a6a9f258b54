"""A small scripted web server on loopback: every byte of an answer is the test's own."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

Answer = Callable[[str, dict[str, str], asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True)
class Asked:
    """One request that came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


class WebServer:
    """Remembers what it was asked, and on which connection."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.requests: list[Asked] = []
        self.connections = 0
        self.port = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests and let the script answer them, until it, or the client, wants no more."""
        self.connections += 1
        number = self.connections
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                headers = await self._read(reader, number)
                await self.answer(self.requests[-1].path, headers, writer)
                await writer.drain()
                if headers.get("connection") == "close" or not self.keeps_open:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    keeps_open = False
    """Whether a connection may carry more than one request."""

    async def _read(self, reader: asyncio.StreamReader, connection: int) -> dict[str, str]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        # Keys of an account are told apart by case; only names are not.
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, path, _ = head[0].split(" ", 2)
        self.asked.append((path, headers))
        self.requests.append(Asked(method, path, headers, body, connection))
        return headers

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def listed(self) -> frozenset[str]:
        """Its host and port, as fetches of closed addresses must list them."""
        return frozenset({f"127.0.0.1:{self.port}"})


@contextlib.asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[WebServer]:
    """Serve a script on a free port."""
    web = WebServer(answer)
    server = await asyncio.start_server(web.handle, "127.0.0.1", 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    async with server:
        yield web


def reply(writer: asyncio.StreamWriter, body: bytes = b"", status: str = "200 OK", **headers: str) -> None:
    """Write one whole answer."""
    fields = {"content-length": str(len(body)), "connection": "close"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body)


def reply_json(writer: asyncio.StreamWriter, body: object, status: str = "200 OK", **headers: str) -> None:
    """Write one whole answer in JSON."""
    reply(writer, json.dumps(body).encode(), status, content_type="application/json", **headers)


def file_server(body: bytes) -> Answer:
    """Answers everything with one file."""

    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        reply(writer, body, content_type="video/mp4")

    return answer
