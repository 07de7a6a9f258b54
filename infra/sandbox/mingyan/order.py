"""What mingyan's create call takes (its create page, fields and rules)."""

from typing import Any
from urllib.parse import urlsplit

from infra.sandbox.gate import Refused

MODEL = "kyy_digitalHuman"
_LONGEST_URL = 4096


def check_order(body: object) -> dict[str, Any]:
    """The body of a create call, if mingyan would take it.

    Raises:
        Refused: code 400 and the field that is wrong.
    """
    if not isinstance(body, dict):
        raise Refused("400", "the body must be a JSON object")
    if body.get("model") != MODEL:
        raise Refused("400", f"model must be {MODEL}")
    for field in ("audioUrl", "videoUrl"):
        _check_url(field, body.get(field))
    for field, allowed in (("modelVersion", (1, 2)), ("sideFace", (0, 1)), ("tiltedFace", (0, 1))):
        value = body.get(field, allowed[0])
        # To Python a bool is an int; to the vendor it is not.
        if type(value) is not int or value not in allowed:
            raise Refused("400", f"{field} must be the integer {allowed[0]} or {allowed[1]}")
    return body


def _check_url(field: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise Refused("400", f"{field} is required")
    if not value.isascii() or len(value) > _LONGEST_URL:
        raise Refused("400", f"{field} must not contain Chinese or other non-ASCII characters")
    try:
        parts = urlsplit(value)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and not any(sign.isspace() for sign in value)
    except ValueError:
        good = False
    if not good:
        raise Refused("400", f"{field} must be a network address that starts with http:// or https://")
