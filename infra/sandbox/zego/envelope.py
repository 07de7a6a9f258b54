"""ZEGO's envelope and return codes (sections 1.4 and 7): everything else than Code 0 is a refusal."""

import uuid
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.sandbox.gate import Refused
from infra.sandbox.records import Vendor
from infra.sandbox.zego.guesses import HTTP_STATUS
from infra.sandbox.zego.signature import SignatureCheck

INVALID = "400000001"
NO_HUMAN = "400000003"
NO_TIMBRE = "400000004"
NO_TASK = "400000005"
NOT_STREAMING = "400000006"
STREAM_OVER = "400000007"
TOO_MANY_STREAMS = "400000008"
WRONG_TIMBRE = "400000009"
BROKEN_HUMAN = "400000010"
STREAM_ID_TAKEN = "400000015"
WRONG_MODEL = "400000016"
RATE_LIMITED = "400010009"

_OVER_RATE = "429"
"""How the gate names a call above the rate."""
B = TypeVar("B", bound=BaseModel)


class ZegoDialect:
    """Every answer is ``{Code, Message, RequestId, Data}``, whatever its HTTP status."""

    vendor: Vendor = "zego"

    def __init__(self, signatures: SignatureCheck) -> None:
        self._signatures = signatures

    def authorize(self, request: Request) -> None:
        """Check the common parameters; raises ``Refused``."""
        self._signatures.check(request.query_params)

    def refuse(self, refused: Refused) -> Response:
        """An envelope with the code and no data."""
        if refused.code == _OVER_RATE:
            return _envelope(int(RATE_LIMITED), "rate limited")
        return _envelope(int(refused.code), refused.message)

    def say(self, code: Any, message: str) -> Response:
        """An envelope with any code."""
        return _envelope(int(code), message)


def success(data: dict[str, Any] | None) -> Response:
    """An envelope around what a call returns; None leaves ``Data`` out."""
    return _envelope(0, "success", data)


def _envelope(code: int, message: str, data: dict[str, Any] | None = None) -> Response:
    body = {"Code": code, "Message": message, "RequestId": uuid.uuid4().hex}
    return JSONResponse(body if data is None else body | {"Data": data}, HTTP_STATUS)


async def read_body(request: Request, form: type[B]) -> B:
    """The JSON object of a call.

    Raises:
        Refused: the content type, the JSON or a parameter is wrong; the message names the first wrong parameter.
    """
    if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
        raise Refused(INVALID, "Content-Type must be application/json")
    try:
        return form.model_validate_json(await request.body())
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "body"
        raise Refused(INVALID, f"{where}: {fault['msg']}") from error
