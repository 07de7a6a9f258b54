"""TopView's envelope, its two headers, and how it reads parameters (its authentication and error pages)."""

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from infra.sandbox.gate import Refused
from infra.sandbox.guesses import HTTP_STATUS, LARGEST_PAGE
from infra.sandbox.records import Vendor
from infra.sandbox.signing import same

UNAUTHORIZED = "401"
BAD_PARAMETER = "4000"
BAD_FORMAT = "4001"
MISSING = "4003"
NOT_FOUND = "4004"
REFUSED = "4006"
NO_CREDIT = "4100"


class TopViewDialect:
    """Every answer is ``{code, message, result}``."""

    vendor: Vendor = "topview"

    def __init__(self, uid: str, key: str) -> None:
        self._uid, self._key = uid, key

    def authorize(self, request: Request) -> None:
        """Check both headers; raises ``Refused``."""
        uid, bearer = request.headers.get("topview-uid", ""), request.headers.get("authorization", "")
        if not (same(uid, self._uid) and same(bearer, f"Bearer {self._key}")):
            raise Refused(UNAUTHORIZED, "Unauthorized")

    def refuse(self, refused: Refused) -> Response:
        """An envelope with the code; HTTP 200 for most."""
        headers = {"Retry-After": "1"} if refused.code == "429" else {}
        body = {"code": refused.code, "message": refused.message, "result": None}
        return JSONResponse(body, HTTP_STATUS.get(refused.code, 200), headers)

    def say(self, code: Any, message: str) -> Response:
        """An envelope with any code."""
        return JSONResponse({"code": str(code), "message": message, "result": None})


def success(result: Any) -> Response:
    """An envelope around a result."""
    return JSONResponse({"code": "200", "message": "Success", "result": result})


async def read_body(request: Request) -> dict[str, Any]:
    """The JSON object of a POST.

    Raises:
        Refused: the content type or the body is not JSON.
    """
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise Refused(BAD_FORMAT, "Content-Type must be application/json")
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise Refused(BAD_FORMAT, "The body is not JSON") from error
    if not isinstance(body, dict):
        raise Refused(BAD_FORMAT, "The body is not a JSON object")
    return body


def text(source: Any, name: str) -> str | None:
    """An optional text of a body or a query; empty counts as not given. Raises ``Refused`` for another type."""
    value = source.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise Refused(BAD_FORMAT, f"{name} must be a string")
    return value


def needed_text(source: Any, name: str) -> str:
    """A text that must be given; raises ``Refused``."""
    value = text(source, name)
    if value is None:
        raise Refused(MISSING, f"Required parameter is null: {name}")
    return value


def choice(source: Any, name: str, allowed: str) -> str | None:
    """An optional enum, as string or integer, in one digit of ``allowed``; raises ``Refused``."""
    value = source.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Refused(BAD_FORMAT, f"{name} must be a string or an integer")
    if str(value) not in set(allowed):
        raise Refused(BAD_PARAMETER, f"{name} must be one of {', '.join(allowed)}")
    return str(value)


def flag(source: Any, name: str) -> bool:
    """An optional boolean, as JSON or as a word; raises ``Refused``."""
    value = source.get(name)
    if value in (None, "", False, "false"):
        return False
    if value in (True, "true") and type(value) is not int:
        return True
    raise Refused(BAD_FORMAT, f"{name} must be a boolean")


def page(request: Request, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One page of a list, as ``pageNo`` and ``pageSize`` ask; raises ``Refused``."""
    number, size = _whole(request, "pageNo", 1), _whole(request, "pageSize", 20)
    if number < 1 or not 1 <= size <= LARGEST_PAGE:
        raise Refused(BAD_PARAMETER, f"pageNo must be 1 or more, pageSize 1 to {LARGEST_PAGE}")
    shown = rows[(number - 1) * size : number * size]
    return {"total": len(rows), "pageNo": number, "pageSize": size, "data": shown}


def _whole(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not (value.isascii() and value.isdecimal()) or len(value) > 9:
        raise Refused(BAD_FORMAT, f"{name} must be an integer")
    return int(value)
