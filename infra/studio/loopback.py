"""Plain HTTP to the studio's own ports: no proxy, no redirects, one attempt, a deadline."""

import http.client
import json
from typing import Any

from infra.studio.config import HOST
from tasks.errors import StudioUnavailable


def ask(port: int, path: str, body: dict[str, Any] | None = None, *, seconds: float = 5) -> bytes:
    """GET a path, or POST a body as JSON. Returns the content of a successful answer.

    Raises:
        StudioUnavailable: no answer in time, or one that is not a success.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request(
            "GET" if body is None else "POST",
            path,
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json"},
        )
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise StudioUnavailable(f"nothing usable answers at {HOST}:{port}: {error}.") from error
    finally:
        connection.close()
    if answer.status >= http.client.MULTIPLE_CHOICES:
        told = content[:200].decode(errors="replace")
        raise StudioUnavailable(f"{HOST}:{port} answered {answer.status} to {path}: {told}")
    return content
