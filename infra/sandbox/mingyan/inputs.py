"""Fetches the inputs of a job from the customer's addresses, as the vendor's servers do."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import av
import httpx

from infra.sandbox.knobs import Knobs
from infra.sandbox.material import JobFailed
from infra.sandbox.tls import trusted

_REDIRECTS = 3


async def fetch_input(url: str, target: Path, kind: Literal["audio", "video"], knobs: Knobs) -> dict[str, Any]:
    """Download one input and look into it.

    Args:
        url: the customer's address.
        target: file to write.
        kind: the stream that it must hold.
        knobs: deadline and cap.

    Returns:
        Its URL, size and sha256.

    Raises:
        JobFailed: unreachable, too large, or without such a stream.
    """
    try:
        async with asyncio.timeout(knobs.fetch_seconds):
            digest, size = await _download(url, target, knobs.max_input_bytes)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        # TimeoutError is an OSError; the address stays out of the message, as it may carry a signature.
        raise JobFailed(f"{kind}Url is not reachable: {_reason(error)} ({urlsplit(url).hostname})") from error
    if not await asyncio.to_thread(_holds, target, kind):
        raise JobFailed(f"{kind}Url holds no {kind} that can be decoded")
    return {"url": url, "size": size, "sha256": digest}


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__


async def _download(url: str, target: Path, limit: int) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    client = httpx.AsyncClient(follow_redirects=True, max_redirects=_REDIRECTS, trust_env=False, verify=trusted())
    async with client, client.stream("GET", url) as response:
        response.raise_for_status()
        with target.open("wb") as file:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > limit:
                    raise JobFailed(f"the input is larger than {limit} bytes")
                digest.update(chunk)
                file.write(chunk)
    return digest.hexdigest(), size


def _holds(path: Path, kind: Literal["audio", "video"]) -> bool:
    try:
        with av.open(str(path)) as container:
            # FFmpeg reads a still picture as a video of one frame, from a demuxer named after its format.
            still = container.format.name.endswith("_pipe")
            return not still and any(stream.type == kind for stream in container.streams)
    except (av.FFmpegError, OSError):
        return False
