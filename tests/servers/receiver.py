"""The receiver of notices as a process of its own, with a ledger in a folder of its own."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tasks.ledger import Entry
from tasks.ledger.store import Ledger
from tasks.notices import notice_url
from tasks.settings import get_settings

SECRET = "a secret of the tests"


@dataclass
class Receiver:
    """A running receiver and the ledger that it reads."""

    port: int
    home: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """Everything it printed."""
        return (self.home / "webhooks.log").read_text(errors="replace")

    def address(self, entry: Entry, provider: str = "topview") -> str:
        """Where notices about this entry go."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("STUDIO_WEBHOOK_URL", self.url)
            patch.setenv("STUDIO_WEBHOOK_SECRET", SECRET)
            get_settings.cache_clear()
            made = notice_url(provider, order_of(entry))
        get_settings.cache_clear()
        return made

    def post(self, entry: Entry, job_id: str, **more: Any) -> httpx.Response:
        """Send a notice as TopView does."""
        body = {"taskId": job_id, "uuid": "notice-1", "bizType": "ZERO_SHOT_AVATAR", "status": "success", **more}
        return httpx.post(self.address(entry), json=body, headers={"Topview-Uid": "our-uid"}, timeout=30)

    def ledger(self, work: Callable[[Ledger], Awaitable[Any]]) -> Any:
        """Do something with the ledger."""

        async def run() -> Any:
            async with await Ledger.open(f"sqlite+aiosqlite:///{self.home / 'ledger.db'}") as ledger:
                return await work(ledger)

        return asyncio.run(run())

    def read(self, entry: Entry) -> Entry:
        """The entry as it is now."""
        return self.ledger(lambda ledger: ledger.get(entry.id))

    def hints(self, entry: Entry) -> list[str]:
        """What notices named for the entry."""
        return self.ledger(lambda ledger: ledger.hints("topview", order_of(entry)))

    def dump(self) -> str:
        """The whole database."""
        with sqlite3.connect(self.home / "ledger.db") as database:
            return "\n".join(database.iterdump())


def order_of(entry: Entry) -> str:
    return f"{entry.render_key[:24]}-{entry.attempt}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(home: Path, *arguments: str, **environment: str) -> Receiver:
    home.mkdir(exist_ok=True)
    port = free_port()
    variables = {
        **os.environ,
        "STUDIO_HOME": str(home),
        "STUDIO_WEBHOOK_SECRET": SECRET,
        # Nobody listens there: Prefect is away in all these tests.
        "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
        **environment,
    }
    with (home / "webhooks.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "infra.webhooks", "--port", str(port), *arguments],
            env=variables,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    receiver = Receiver(port, home, process)
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{receiver.url}/health", timeout=30)
        except httpx.TransportError:
            assert process.poll() is None, receiver.log
            assert time.monotonic() < deadline, receiver.log
            time.sleep(0.05)
        else:
            return receiver


def end(receiver: Receiver) -> None:
    receiver.process.send_signal(signal.SIGTERM)
    try:
        receiver.process.wait(timeout=30)
    finally:
        receiver.process.kill()
        receiver.process.wait()


def raw(receiver: Receiver, request: bytes, *, close: bool = False) -> bytes:
    """Send bytes as they are; the answer until the receiver closes. ``close`` hangs up without reading."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=20) as connection:
        connection.sendall(request)
        if close:
            return b""
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def head(receiver: Receiver, url: str, *lines: str) -> bytes:
    path = url.removeprefix(receiver.url)
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: studio", *lines, "", ""]).encode("latin-1")
