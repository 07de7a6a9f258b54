"""ZEGO's calls over HTTP: one address, the action in the query (sections 2 to 5)."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.sandbox.gate import Gate, Refused
from infra.sandbox.zego.catalogue import show_human, show_humans, show_timbres
from infra.sandbox.zego.envelope import read_body, success
from infra.sandbox.zego.guesses import UNKNOWN_ACTION
from infra.sandbox.zego.orders import (
    ActionOrder,
    AudioOrder,
    CreateOrder,
    HumanOrder,
    HumansOrder,
    Nothing,
    RtcOrder,
    TaskOrder,
    TextOrder,
    TimbresOrder,
)
from infra.sandbox.zego.speaking import Speaking
from infra.sandbox.zego.tasks import Tasks

Data = dict[str, Any] | None
"""``Data`` of an answer; None for the calls that return none."""


class ZegoService:
    """Takes calls apart and hands them on."""

    def __init__(self, tasks: Tasks, speaking: Speaking) -> None:
        self._tasks, self._speaking = tasks, speaking

    def routes(self, gate: Gate) -> list[Route]:
        """The one address."""
        tasks, speaking = self._tasks, self._speaking
        rows: dict[str, tuple[str, Callable[[Request], Awaitable[Response]]]] = {
            "GetDigitalHumanList": ("humans", _answering(HumansOrder, show_humans)),
            "GetDigitalHumanInfo": ("human", _answering(HumanOrder, show_human)),
            "GetTimbreList": ("timbres", _answering(TimbresOrder, show_timbres)),
            "CreateDigitalHumanStreamTask": ("create", _answering(CreateOrder, tasks.create)),
            "StopDigitalHumanStreamTask": ("stop", _answering(TaskOrder, tasks.stop)),
            "QueryDigitalHumanStreamTasks": ("list", _answering(Nothing, tasks.list_live)),
            "GetDigitalHumanStreamTaskStatus": ("status", _answering(TaskOrder, tasks.status)),
            "DriveByText": ("text", _answering(TextOrder, speaking.say_text)),
            "DriveByAudio": ("audio", _answering(AudioOrder, speaking.say_audio)),
            "DriveByWsStream": ("ws", self._give_socket),
            "DriveByRTCStream": ("rtc", _answering(RtcOrder, speaking.say_stream)),
            "DoAction": ("action", _answering(ActionOrder, speaking.act)),
            "InterruptDriveTask": ("interrupt", _answering(TaskOrder, speaking.interrupt)),
        }
        guarded = {action: gate.guard(call, handler, rated=True) for action, (call, handler) in rows.items()}
        unknown = gate.guard("unknown", _refuse_action)

        async def dispatch(request: Request) -> Response:
            return await guarded.get(request.query_params.get("Action", ""), unknown)(request)

        return [Route("/", dispatch, methods=["POST"])]

    async def _give_socket(self, request: Request) -> Response:
        """The drive socket is where the customer reached the server, as an IP address."""
        order = await read_body(request, TaskOrder)
        return success(self._speaking.give_socket(order, request.scope["server"][0]))


def _answering(form: type[Any], act: Callable[[Any], Data]) -> Callable[[Request], Awaitable[Response]]:
    """The handler of an action: reads its parameters strictly and wraps what it returns."""

    async def handler(request: Request) -> Response:
        return success(act(await read_body(request, form)))

    return handler


async def _refuse_action(request: Request) -> Response:
    raise Refused(UNKNOWN_ACTION, f"Action: {request.query_params.get('Action', '')!r} does not exist")
