"""Plain calls of both vendors, worded from their pages alone, and the servers that a customer of theirs runs."""

import functools
import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import httpx

from tests.servers.sandbox import SandboxServer

PATIENCE = 30.0


def wait_for(look: Callable[[], Any], what: str) -> Any:
    """Look again and again until something true is seen."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for {what}"
        time.sleep(0.05)
    return seen


def decoded(path: Path) -> tuple[int, float]:
    """Number of pictures and seconds of sound that really decode."""
    with av.open(str(path)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        return pictures, sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))


class TopView:
    """A customer of TopView."""

    def __init__(self, server: SandboxServer, **headers: str) -> None:
        given = {"Topview-Uid": server.topview_uid, "Authorization": f"Bearer {server.topview_key}"}
        self.http = httpx.Client(base_url=server.topview_url, headers=given | headers, timeout=PATIENCE)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return self.http.get(path, params=query).json()

    def post(self, path: str, body: object) -> dict[str, Any]:
        return self.http.post(path, json=body).json()

    def submit(self, body: object) -> dict[str, Any]:
        return self.post("/v1/video_avatar/task/submit", body)

    def query(self, task_id: str, **more: Any) -> dict[str, Any]:
        return self.get("/v1/video_avatar/task/query", taskId=task_id, **more)["result"]

    def finish(self, task_id: str) -> dict[str, Any]:
        """Ask until the task has ended."""
        return wait_for(
            lambda: (found := self.query(task_id))["status"] in {"success", "fail"} and found, f"task {task_id}"
        )

    def credential(self, extension: str) -> dict[str, Any]:
        return self.get("/v1/upload/credential", format=extension)["result"]

    def upload(self, path: Path) -> str:
        credential = self.credential(path.suffix[1:])
        assert httpx.put(credential["uploadUrl"], content=path.read_bytes()).status_code == 200
        assert self.get("/v1/upload/check", fileId=credential["fileId"])["result"] is True
        return credential["fileId"]


class Mingyan:
    """A customer of mingyan."""

    def __init__(self, server: SandboxServer, key: str | None = None) -> None:
        bearer = {"Authorization": f"Bearer {key or server.mingyan_key}"}
        self.http = httpx.Client(base_url=server.mingyan_url, headers=bearer, timeout=PATIENCE)

    def create(self, body: object) -> httpx.Response:
        return self.http.post("/v1/digitalHuman/videos", json=body)

    def query(self, job_id: str) -> dict[str, Any]:
        return self.http.get(f"/v1/result/{job_id}").json()

    def finish(self, job_id: str) -> dict[str, Any]:
        """Ask until the job has ended."""
        return wait_for(lambda: (f := self.query(job_id))["status"] in {"completed", "failed"} and f, f"job {job_id}")


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def serving(handler: Any) -> Iterator[str]:
    """An HTTP server on loopback; gives its address."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serving_folder(folder: Path) -> Any:
    """A file server for a folder."""
    return serving(functools.partial(_Files, directory=str(folder)))


@contextmanager
def receiving(answers: Callable[[dict[str, Any], str], object]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of notices: gives its address and what came; ``answers`` words each answer from notice and uid."""
    came: list[dict[str, Any]] = []

    class Receiver(_Files):
        def do_POST(self) -> None:
            notice = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            came.append(notice)
            body = json.dumps(answers(notice, self.headers["Topview-Uid"])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with serving(Receiver) as url:
        yield url, came


def echo(notice: dict[str, Any], uid: str) -> dict[str, Any]:
    """The answer that TopView's page asks for."""
    result = {"uuid": notice["uuid"], "topviewUid": uid, "result": "success"}
    return {"code": "200", "message": "Success", "result": result}
