"""Plain calls of ZEGO, worded from its page alone, and the server that a customer's callbacks go to."""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx

from tests.contract.sandbox_calls import PATIENCE, serving, wait_for
from tests.servers.sandbox import SandboxServer

STREAMING, STOPPED = 3, 5
OVER = {400000005, 400000007}


class Zego:
    """A customer of ZEGO."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.zego_url, timeout=PATIENCE)

    def signed(self, action: str, **changes: str) -> dict[str, str]:
        """The common parameters of a call; changes are made before it is signed, unless they change the signature."""
        common = {
            "Action": action,
            "AppId": str(self.server.zego_app_id),
            "SignatureNonce": secrets.token_hex(8),
            "Timestamp": str(int(time.time())),
            "SignatureVersion": "2.0",
        } | changes
        told = common["AppId"] + common["SignatureNonce"] + self.server.zego_server_secret + common["Timestamp"]
        return {"Signature": hashlib.md5(told.encode(), usedforsecurity=False).hexdigest()} | common

    def post(self, query: dict[str, str], body: object) -> dict[str, Any]:
        return self.http.post("/", params=query, json=body).json()

    def call(self, action: str, body: object | None = None) -> dict[str, Any]:
        """The whole answer, whatever its code."""
        return self.post(self.signed(action), {} if body is None else body)

    def data(self, action: str, body: object | None = None) -> dict[str, Any]:
        """``Data`` of an answer that has to be a success."""
        answer = self.call(action, body)
        assert answer["Code"] == 0, answer
        return answer.get("Data", {})

    def create(self, stream_id: str = "show-1", **changes: Any) -> str:
        """A new stream task."""
        return self.data("CreateDigitalHumanStreamTask", create_body(stream_id) | changes)["TaskId"]

    def status(self, task_id: str) -> int:
        """The number of a task's status."""
        return self.data("GetDigitalHumanStreamTaskStatus", {"TaskId": task_id})["Status"]

    def streaming(self, stream_id: str = "show-1", **changes: Any) -> str:
        """A new stream task that streams already."""
        task_id = self.create(stream_id, **changes)
        self.wait_status(task_id, STREAMING)
        return task_id

    def wait_status(self, task_id: str, status: int) -> dict[str, Any]:
        """Wait for a status, without asking the vendor; returns the truth about the stream."""
        return wait_for(
            lambda: next((s for s in self.server.streams() if (s["task_id"], s["status"]) == (task_id, status)), None),
            f"status {status} of stream {task_id}",
        )

    def drive(self, drive_id: str) -> dict[str, Any]:
        """The truth about a drive."""
        return next(drive for drive in self.server.drives() if drive["drive_id"] == drive_id)

    def wait_drive(self, drive_id: str, status: int) -> dict[str, Any]:
        """Wait for the status of a drive; returns the truth about it."""
        return wait_for(
            lambda: (drive := self.drive(drive_id))["status"] == status and drive, f"status {status} of {drive_id}"
        )

    def stop(self, task_id: str) -> int:
        """The code that the stop of a task is answered with."""
        return self.call("StopDigitalHumanStreamTask", {"TaskId": task_id})["Code"]

    def say(self, task_id: str, text: str = "Hello.", **changes: Any) -> str:
        """A text drive."""
        return self.data("DriveByText", text_body(task_id, text) | changes)["DriveId"]


def create_body(stream_id: str = "show-1") -> dict[str, Any]:
    """What a stream task needs at least."""
    return {
        "DigitalHumanConfig": {"DigitalHumanId": "dh-anna"},
        "RTCConfig": {"RoomId": "room-1", "StreamId": stream_id},
    }


def text_body(task_id: str, text: str = "Hello.") -> dict[str, Any]:
    """What a text drive needs at least."""
    return {"TaskId": task_id, "Text": text, "TTSConfig": {"TimbreId": "tb-en-calm"}}


@contextmanager
def called_back(answer: Callable[[dict[str, Any]], int] = lambda _: 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of callbacks: gives its address and what came; ``answer`` gives the HTTP status for each."""
    came: list[dict[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Stay quiet."""

        def do_POST(self) -> None:
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.append(event)
            self.send_response(answer(event))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Receiver) as url:
        yield url, came
