"""Pages on which a person sees and hears what the digital humans would say. The vendor has nothing like them."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from infra.presenter import PRESENTER
from infra.sandbox.zego.heard import RATE
from infra.sandbox.zego.humans import HUMANS
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.records import Drive, StreamStatus, StreamTask

_PAGE = Path(__file__).with_name("page")
_FILES = {
    path.name: path
    for path in (*(_PAGE / name for name in ("preview.css", "preview.js", "sound.js", "face.js")), PRESENTER)
}
_LATEST_DRIVES, _LATEST_ACTIONS = 30, 5
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


class Preview:
    """The pages below ``/preview``.

    Args:
        streams: all stream tasks that are known.
        drives_of: the drives of a stream in the order they were accepted.
        playout_of: what a stream says.
    """

    def __init__(
        self,
        streams: Callable[[], Iterable[StreamTask]],
        drives_of: Callable[[str], Iterable[Drive]],
        playout_of: Callable[[str], Playout],
    ) -> None:
        self._streams, self._drives_of, self._playout_of = streams, drives_of, playout_of
        self._pages = Environment(
            loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )

    def routes(self) -> list[Route]:
        """To be mounted at ``/zego``; the page of a stream asks for the last two."""
        return [
            Route("/preview", self.listing),
            Route("/preview/files/{name}", self.file),
            Route("/preview/{task_id}", self.page),
            Route("/preview/{task_id}/state", self.state),
            Route("/preview/{task_id}/audio", self.audio),
        ]

    async def listing(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """The live streams, the newest first, and those that ended lately."""
        newest = sorted(self._streams(), key=lambda task: task.at, reverse=True)
        live = [_row(task) for task in newest if task.is_live]
        ended = [_row(task) for task in newest if not task.is_live][:_LATEST_DRIVES]
        return self._html("streams.html.j2", live=live, ended=ended)

    async def page(self, request: Request) -> Response:
        """One stream, live."""
        task = self._find(request)
        return _unknown() if task is None else self._html("stream.html.j2", task=_row(task))

    async def file(self, request: Request) -> Response:
        """Style, scripts and the presenter's picture."""
        path = _FILES.get(request.path_params["name"])
        return FileResponse(path, headers=_HEADERS) if path else _unknown()

    async def state(self, request: Request) -> Response:
        """What is said, what waits and what was said, as JSON; moments in seconds since the epoch."""
        task = self._find(request)
        if task is None:
            return _unknown()
        drives = list(self._drives_of(task.task_id))
        speaking = [drive for drive in drives if drive.began is not None and not drive.is_over]
        waiting = [drive for drive in drives if drive.began is None and not drive.is_over]
        over = [drive for drive in drives if drive.is_over][-_LATEST_DRIVES:]
        return JSONResponse(
            {
                "now": time.time(),
                "task": _row(task),
                "speaking": [self._line(drive) for drive in speaking],
                "waiting": [self._line(drive) for drive in waiting],
                "over": [self._line(drive) for drive in reversed(over)],
                "drives": len(drives),
                "actions": [action.model_dump() for action in task.actions[-_LATEST_ACTIONS:]],
            },
            headers=_HEADERS,
        )

    async def audio(self, request: Request) -> Response:
        """What the audience heard since ``after``: signed 16-bit mono; ``X-Sample`` is the place of its first sample.

        Without ``after``: nothing but the place of the present. ``X-Rate`` is the rate in Hz.
        """
        task = self._find(request)
        if task is None:
            return _unknown()
        after = request.query_params.get("after", "")
        if after and not after.isdecimal():
            return JSONResponse({"error": "after is the number of a sample"}, 400)
        playout = self._playout_of(task.task_id)
        begin, pcm = playout.heard_after(int(after) if after else playout.position)
        return Response(
            pcm, media_type="application/octet-stream", headers=_HEADERS | {"X-Sample": str(begin), "X-Rate": str(RATE)}
        )

    def _find(self, request: Request) -> StreamTask | None:
        wanted = request.path_params["task_id"]
        return next((task for task in self._streams() if task.task_id == wanted), None)

    def _html(self, template: str, **facts: Any) -> Response:
        return HTMLResponse(self._pages.get_template(template).render(facts), headers=_HEADERS)

    def _line(self, drive: Drive) -> dict[str, Any]:
        """One drive, in words, and how its audio came as far as it did."""
        playout = self._playout_of(drive.task_id)
        return {
            "drive_id": drive.drive_id,
            "kind": drive.kind,
            "what": _what(drive),
            "status": drive.status.name.lower(),
            "reason": drive.reason,
            "at": drive.at,
            "began": drive.began,
            "ended": drive.ended,
            "seconds": drive.seconds,
            "playout": drive.playout or (playout.facts(drive.drive_id) if playout.knows(drive.drive_id) else None),
        }


def _row(task: StreamTask) -> dict[str, Any]:
    human = HUMANS.get(task.digital_human_id)
    return {
        "task_id": task.task_id,
        "name": human["Name"] if human else task.digital_human_id,
        "digital_human_id": task.digital_human_id,
        "room_id": task.room_id,
        "stream_id": task.stream_id,
        "background": task.background,
        "status": task.status.name.lower(),
        "is_live": task.is_live,
        "is_streaming": task.status is StreamStatus.STREAMING,
        "at": task.at,
        "started": task.started,
        "ends_by": task.at + task.ttl,
        "quiet_since": task.quiet_since,
        "max_idle": task.max_idle,
        "ended": task.ended,
        "how_ended": task.how_ended,
        "fail_reason": task.fail_reason,
    }


def _what(drive: Drive) -> str:
    """What a drive says, as far as it is known; links without what could be a signature."""
    if drive.kind == "text":
        return drive.text or ""
    if drive.kind == "audio":
        return (drive.url or "").partition("?")[0]
    if drive.kind == "rtc":
        return " / ".join((drive.source or {}).values())
    return "PCM through a socket"


def _unknown() -> Response:
    return JSONResponse({"error": "there is no such stream"}, 404)
