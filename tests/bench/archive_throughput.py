"""How fast a large result reaches the archive, against plain code that moves the same bytes, and in how much memory."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.bench.child import Call, in_child
from tests.bench.lab import Lab
from tests.bench.media import write_huge_video
from tests.bench.rows import Limit, Row
from tests.servers.seaweedfs import SeaweedServer

MIB = 1024 * 1024


def run(lab: Lab) -> list[Row]:
    """Copy, decode, upload and archive the same video in turns, each in a process of its own."""
    folder = lab.folder / "archive"
    (folder / "served").mkdir(parents=True)
    video = write_huge_video(folder / "served" / "huge.mp4", (96 if lab.quick else 1024) * MIB)
    size = video.stat().st_size
    store = SeaweedServer(folder / "store")
    calls: dict[str, list[Call]] = {"copy": [], "decode": [], "upload": [], "archive": []}
    with _served(video.parent) as address:
        store.start()
        try:
            keys = {"endpoint": store.endpoint, "access_key": store.access_key, "secret_key": store.secret_key}
            link = {"url": f"{address}/{video.name}", "folder": str(folder)}
            for number in lab.rounds(3):
                calls["copy"].append(_call("copy", link))
                calls["decode"].append(_call("decode", {"path": str(video)}))
                calls["upload"].append(_call("upload", keys, path=str(video)))
                facts = {"size": size, "md5": _md5(video), "render_key": f"{number:064x}"}
                calls["archive"].append(_call("archive", keys, **link, **facts))
        finally:
            store.stop()
    return _rows(calls, size / MIB)


def _call(name: str, *arguments: dict[str, Any], **more: Any) -> Call:
    merged = {key: value for group in (*arguments, more) for key, value in group.items()}
    return in_child(f"tests.bench.transfers:{name}", **merged)


def _rows(calls: dict[str, list[Call]], mib: float) -> list[Row]:
    seconds = {name: [call.seconds for call in found] for name, found in calls.items()}
    archived = sorted(seconds["archive"])[len(seconds["archive"]) // 2]
    parts = [sum(three) for three in zip(seconds["copy"], seconds["decode"], seconds["upload"], strict=True)]
    what = f"archive {mib:.0f} MiB"
    return [
        Row(
            f"{what} from loopback HTTP",
            seconds["archive"],
            baseline="httpx to a file",
            baseline_samples=seconds["copy"],
            note=f"{mib / archived:.0f} MiB/s; includes the full decode, and MD5 and SHA-256 of all bytes",
        ),
        Row(
            what,
            seconds["archive"],
            baseline="the SDK's fput_object of the same file",
            baseline_samples=seconds["upload"],
        ),
        Row(
            what,
            seconds["archive"],
            baseline="httpx to a file, full decode, fput_object in turn",
            baseline_samples=parts,
        ),
        Row(
            f"{what}, growth of memory",
            [call.growth for call in calls["archive"]],
            unit="MiB",
            baseline="the SDK's fput_object",
            baseline_samples=[call.growth for call in calls["upload"]],
            wanted=Limit(128),
        ),
    ]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Say nothing."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve a folder on loopback; yields its address. This process does nothing else meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
