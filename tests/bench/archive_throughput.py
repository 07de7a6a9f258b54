"""How fast a large result reaches the archive, against plain code that moves the same bytes, and in how much memory."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.child import Call, in_child
from tests.bench.lab import Lab
from tests.bench.media import write_huge_video
from tests.bench.rows import Limit, Row
from tests.servers.seaweedfs import SeaweedServer

MIB = 1024 * 1024
PLAIN = "tests.bench.plain_transfers"


def run(lab: Lab) -> list[Row]:
    """Copy, decode, upload and archive the same video in turns, each in a process of its own."""
    folder = lab.folder / "archive"
    (folder / "served").mkdir(parents=True)
    video = write_huge_video(folder / "served" / "huge.mp4", (64 if lab.quick else 1024) * MIB)
    mib, md5 = video.stat().st_size / MIB, _md5(video)
    store = SeaweedServer(folder / "store")
    calls: dict[str, list[Call]] = {"copy": [], "decode": [], "upload": [], "archive": []}
    with _served(video.parent) as address:
        store.start()
        try:
            keys: dict[str, Any] = {
                "endpoint": store.endpoint,
                "access_key": store.access_key,
                "secret_key": store.secret_key,
            }
            link: dict[str, Any] = {"url": f"{address}/{video.name}", "folder": str(folder)}
            for number in lab.rounds(3):
                calls["copy"].append(in_child(f"{PLAIN}:copy", **link))
                calls["decode"].append(in_child(f"{PLAIN}:decode", path=str(video)))
                calls["upload"].append(in_child(f"{PLAIN}:upload", **keys, path=str(video)))
                result: dict[str, Any] = {"size": video.stat().st_size, "md5": md5, "render_key": f"{number:064x}"}
                calls["archive"].append(in_child("tests.bench.archive_call:archive", **keys, **link, **result))
        finally:
            store.stop()
    return _rows(calls, mib)


def _rows(calls: dict[str, list[Call]], mib: float) -> list[Row]:
    seconds = {name: [call.seconds for call in found] for name, found in calls.items()}
    parts = [sum(three) for three in zip(seconds["copy"], seconds["decode"], seconds["upload"], strict=True)]
    what = f"archive {mib:.0f} MiB"
    return [
        Row(
            f"{what} from loopback HTTP",
            seconds["archive"],
            baseline="httpx to a file",
            baseline_samples=seconds["copy"],
            note=f"{mib / median(seconds['archive']):.0f} MiB/s, full decode and two digests included",
        ),
        Row(
            what,
            seconds["archive"],
            baseline="the SDK's fput_object of it",
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
