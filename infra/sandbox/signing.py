"""Links that carry their own permission: a method, a path and an end of life, signed with a key of this sandbox."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response


class Signer:
    """Signs and checks links; the key is made once and kept in a file."""

    def __init__(self, key_file: Path) -> None:
        if not key_file.exists():
            key_file.write_text(secrets.token_hex(32), encoding="ascii")
            key_file.chmod(0o600)
        self._key = key_file.read_bytes()

    def sign(self, method: str, origin: str, path: str, seconds: float) -> str:
        """A link that allows one method on one path for so many seconds."""
        expires = f"{time.time() + seconds:.3f}"
        return f"{origin}{path}?" + urlencode({"expires": expires, "signature": self._digest(method, path, expires)})

    def find_fault(self, method: str, path: str, query: Mapping[str, str]) -> str | None:
        """S3's name for what is wrong with a link that was used; None when nothing is."""
        expires, signature = query.get("expires", ""), query.get("signature", "")
        if not same(signature, self._digest(method, path, expires)):
            return "SignatureDoesNotMatch"
        return "AccessDenied" if time.time() > float(expires) else None

    def _digest(self, method: str, path: str, expires: str) -> str:
        return hmac.new(self._key, f"{method}\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def xml_error(status: int, code: str, message: str) -> Response:
    """An error as S3 words it."""
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
        f"<Message>{escape(message)}</Message></Error>"
    )
    return Response(body, status, media_type="application/xml")


def same(given: str, expected: str) -> bool:
    """Compare secrets without telling by the time it takes how much of them is right."""
    return hmac.compare_digest(given.encode(), expected.encode())


def origin_of(request: Request) -> str:
    """Scheme, host and port under which the customer reached the sandbox; links start with it."""
    return f"{request.url.scheme}://{request.url.netloc}"
