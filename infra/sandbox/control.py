"""The control side: the truth, the settings, the faults and the held calls, in JSON."""

import json
import shutil
from collections.abc import Awaitable, Callable

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infra.sandbox.faults import Fault
from infra.sandbox.house import House
from infra.sandbox.knobs import Knobs
from infra.sandbox.mingyan.service import WORDS as MINGYAN_WORDS
from infra.sandbox.records import RENDERING
from infra.sandbox.topview.tasks import WORDS as TOPVIEW_WORDS


class Control:
    """Steers one sandbox."""

    def __init__(self, house: House) -> None:
        self._house = house

    def routes(self) -> list[Route]:
        """Everything below ``/control``."""
        return [
            Route("/health", self.health),
            Route("/truth", self.truth),
            Route("/polls", self.polls),
            Route("/settings", self.settings, methods=["GET"]),
            Route("/settings", _judged(self.change_settings), methods=["PUT"]),
            Route("/faults", _judged(self.arm), methods=["POST"]),
            Route("/faults", self.clear, methods=["DELETE"]),
            Route("/held", self.held),
            Route("/release", self.release, methods=["POST"]),
            Route("/zego/cut", self.cut_sockets, methods=["POST"]),
            Route("/reset", self.reset, methods=["POST"]),
        ]

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """It is up."""
        return JSONResponse({"ok": True})

    async def truth(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """What was asked, accepted, refused and charged."""
        truth = self._house.truth
        return JSONResponse(
            {
                "topview": truth.report("topview", TOPVIEW_WORDS),
                "mingyan": truth.report("mingyan", MINGYAN_WORDS),
                "zego": self._house.zego.report(),
            }
        )

    async def polls(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """How often each video was asked for, when it ended, and when that was first seen."""
        return JSONResponse({vendor: self._house.truth.polls(vendor) for vendor in RENDERING})

    async def settings(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """The settings as they are."""
        return JSONResponse(self._house.truth.knobs.model_dump(mode="json"))

    async def change_settings(self, request: Request) -> Response:
        """Change some settings; the others stay."""
        changes = json.loads(await request.body())
        if not isinstance(changes, dict):
            raise TypeError("settings are a JSON object")
        knobs = Knobs.model_validate(self._house.truth.knobs.model_dump() | changes)
        self._house.truth.save_knobs(knobs)
        return JSONResponse(knobs.model_dump(mode="json"))

    async def arm(self, request: Request) -> Response:
        """Arm a fault."""
        fault = Fault.model_validate_json(await request.body())
        return JSONResponse({"id": self._house.faults.arm(fault)})

    async def clear(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """Disarm all faults and let held calls go on."""
        self._house.faults.clear()
        self._house.holds.release()
        return JSONResponse({"ok": True})

    async def held(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """The calls that are being held."""
        return JSONResponse(self._house.holds.listing())

    async def release(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """Let all held calls go on."""
        self._house.holds.release()
        return JSONResponse({"ok": True})

    async def cut_sockets(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """Close all drive sockets hard."""
        return JSONResponse({"cut": self._house.zego.cut_sockets()})

    async def reset(self, request: Request) -> Response:  # noqa: ARG002 - it asks nothing
        """Forget everything: jobs, files, charges, streams, settings and faults."""
        self._house.faults.clear()
        self._house.holds.release()
        await self._house.workshop.stop()
        await self._house.zego.forget()
        self._house.truth.forget()
        self._house.rate.forget()
        for folder in self._house.folders.media():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        return JSONResponse({"ok": True})


def _judged(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Answer 400 with the reason when what was sent makes no sense."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except (ValidationError, ValueError, TypeError) as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer
