"""The same batch as a plain script: asyncio and httpx, a pause between questions, and the studio's own checks.

No Prefect, no ledger: a crash of it loses everything. It keeps the limits that the studio keeps.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from tasks.inspect import examine_video
from tasks.label import burn_in
from tasks.models import Labels
from tasks.poster import write_poster
from tasks.quality.decode import verify_playable
from tasks.storage import ObjectStore

BUCKET = "plain"
SUBMITS_AT_ONCE, FINISHES_AT_ONCE = 12, 4
_OK = "200"


class _Script:
    """One run of the script."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        store: ObjectStore,
        folder: Path,
        portrait: bytes,
        *,
        in_flight: int,
        pause: float,
        queries_per_second: float,
    ) -> None:
        self._http, self._store, self._folder, self._portrait = http, store, folder, portrait
        self._pause, self._spacing = pause, 1 / queries_per_second
        self._flights, self._submits = asyncio.Semaphore(in_flight), asyncio.Semaphore(SUBMITS_AT_ONCE)
        self._finishes = asyncio.Semaphore(FINISHES_AT_ONCE)
        self._next_query = 0.0

    async def render(self, number: int, row: dict[str, Any]) -> None:
        """One row from the first call to the stored video."""
        async with self._flights:
            async with self._submits:
                task_id = await self._submit(row["speech"])
            link = await self._wait(task_id)
            async with self._finishes:
                with TemporaryDirectory(dir=self._folder) as folder:
                    await self._finish(link, Path(folder), f"{number}")

    async def _call(self, method: str, path: str, **how: Any) -> Any:
        answer = (await self._http.request(method, path, **how)).raise_for_status().json()
        if answer["code"] != _OK:
            raise RuntimeError(f"{path}: {answer}")
        return answer["result"]

    async def _submit(self, speech: dict[str, Any]) -> str:
        given = await self._call("GET", "/v1/upload/credential", params={"format": "jpg"})
        # The address carries its own permission, and refuses another one.
        bare = self._http.build_request("PUT", given["uploadUrl"], content=self._portrait)
        for name in ("authorization", "topview-uid"):
            del bare.headers[name]
        (await self._http.send(bare)).raise_for_status()
        if await self._call("GET", "/v1/upload/check", params={"fileId": given["fileId"]}) is not True:
            raise RuntimeError("the upload is not there")
        body = {
            "avatarSourceFrom": "3",
            "imageFileId": given["fileId"],
            "modeType": "1",
            "audioSourceFrom": "1",
            "ttsText": speech["text"],
            "voiceoverId": speech["voice"],
        }
        accepted = await self._call("POST", "/v1/video_avatar/task/submit", json=body)
        return str(accepted["taskId"])

    async def _wait(self, task_id: str) -> str:
        while True:
            await self._turn()
            try:
                status = await self._call("GET", "/v1/video_avatar/task/query", params={"taskId": task_id})
            except httpx.HTTPStatusError as error:
                # Questions that a busy machine has held up leave in a bunch.
                if error.response.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    raise
                await asyncio.sleep(self._pause)
                continue
            if status["status"] == "fail":
                raise RuntimeError(status["errorMsg"])
            if status["status"] == "success":
                return str(status["outputVideoUrl"])
            await asyncio.sleep(self._pause)

    async def _turn(self) -> None:
        now = time.monotonic()
        mine = max(now, self._next_query)
        self._next_query = mine + self._spacing
        await asyncio.sleep(mine - now)

    async def _finish(self, link: str, folder: Path, name: str) -> None:
        original, labelled = folder / "original.mp4", folder / "labelled.mp4"
        async with self._http.stream("GET", link) as answer:
            answer.raise_for_status()
            with original.open("wb") as file:
                async for chunk in answer.aiter_raw():
                    file.write(chunk)
        await asyncio.to_thread(verify_playable, original)
        await self._store.put_file(BUCKET, f"{name}/original.mp4", original, content_type="video/mp4")
        inspection = await asyncio.to_thread(examine_video, original)
        await asyncio.to_thread(burn_in, original, Labels(), labelled, name)
        await self._store.put_file(BUCKET, f"{name}/video.mp4", labelled, content_type="video/mp4")
        poster = await asyncio.to_thread(write_poster, labelled, folder / "poster.jpg")
        await self._store.put_file(BUCKET, f"{name}/poster.jpg", poster, content_type="image/jpeg")
        await self._store.put_bytes(BUCKET, f"{name}/manifest.json", inspection.model_dump_json().encode())


async def render_all(
    *,
    url: str,
    uid: str,
    key: str,
    s3: dict[str, Any],
    rows: str,
    portrait: str,
    in_flight: int,
    pause: float,
    queries_per_second: float,
) -> dict[str, float]:
    """Render every row of a file.

    Args:
        url: base address of TopView.
        uid: the account.
        key: its key.
        s3: endpoint, access_key and secret_key.
        rows: file of JSON lines.
        portrait: file of the picture that all rows share.
        in_flight: most renders under way at once.
        pause: seconds between two questions about a render.
        queries_per_second: most questions of all renders together.

    Returns:
        Wall and processor seconds.
    """
    began, cpu = time.monotonic(), time.process_time()
    store = ObjectStore(**s3, secure=False)
    await store.ensure_bucket(BUCKET)
    lines = await asyncio.to_thread(Path(rows).read_text, "utf-8")
    picture = await asyncio.to_thread(Path(portrait).read_bytes)
    with TemporaryDirectory() as folder:
        async with _client(url, uid, key) as http:
            script = _Script(
                http,
                store,
                Path(folder),
                picture,
                in_flight=in_flight,
                pause=pause,
                queries_per_second=queries_per_second,
            )
            async with asyncio.TaskGroup() as group:
                for number, line in enumerate(lines.splitlines()):
                    group.create_task(script.render(number, json.loads(line)))
    return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}


@asynccontextmanager
async def _client(url: str, uid: str, key: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Topview-Uid": uid, "Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=50, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=60, trust_env=False) as http:
        yield http
