"""Plain ways to move one video, each called in a process of its own; the studio's way is held against them."""

from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from minio import Minio

from tasks.quality.decode import verify_playable

CHUNK = 1024 * 1024


def copy(*, url: str, folder: str) -> int:
    """Copy a link to a file, plainly; returns the bytes."""
    with (
        TemporaryDirectory(dir=folder) as scratch,
        httpx.stream("GET", url, trust_env=False, timeout=60) as response,
        (Path(scratch) / "copy.mp4").open("wb") as file,
    ):
        return sum(file.write(chunk) for chunk in response.raise_for_status().iter_raw(CHUNK))


def decode(*, path: str) -> int:
    """Decode a file to its end as the archive does; returns the pictures."""
    return verify_playable(Path(path)).frames


def upload(*, endpoint: str, access_key: str, secret_key: str, path: str) -> str:
    """Upload a file with the SDK's own call; returns its ETag."""
    client = Minio(endpoint, access_key, secret_key, secure=False)
    if not client.bucket_exists("plain"):
        client.make_bucket("plain")
    written = client.fput_object("plain", "huge.mp4", path, content_type="video/mp4")
    client.remove_object("plain", "huge.mp4")
    return written.etag or ""
