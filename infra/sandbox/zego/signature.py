"""Signature 2.0 (section 1.3): which calls come from the account, and came just now."""

import hashlib
import time
from collections.abc import Mapping

from infra.sandbox.gate import Refused
from infra.sandbox.signing import same
from infra.sandbox.truth import Truth
from infra.sandbox.zego.guesses import NONCE_MEMORY_SECONDS, REPEATED_NONCE

EXPIRED = "100000004"
WRONG = "100000005"
_INVALID = "400000001"
_MOST_DEVIATION_SECONDS = 600
_VERSION = "2.0"
_PARAMETERS = ("AppId", "SignatureNonce", "Timestamp", "Signature", "SignatureVersion")


class SignatureCheck:
    """Judges the common parameters of a call.

    Args:
        truth: has the setting by how much the vendor's clock is off.
        app_id: the account.
        secret: its ServerSecret.
    """

    def __init__(self, truth: Truth, app_id: int, secret: str) -> None:
        self._truth, self._app_id, self._secret = truth, app_id, secret
        self._seen: dict[str, float] = {}
        """Nonces, oldest first, and when they came."""

    def check(self, query: Mapping[str, str]) -> None:
        """Accept a call or raise ``Refused``."""
        for name in _PARAMETERS:
            if not query.get(name):
                raise Refused(_INVALID, f"{name} is missing")
        timestamp, nonce = query["Timestamp"], query["SignatureNonce"]
        if query["SignatureVersion"] != _VERSION:
            raise Refused(_INVALID, f"SignatureVersion must be {_VERSION}")
        if not (timestamp.isascii() and timestamp.isdecimal()):
            raise Refused(_INVALID, "Timestamp must be a number of seconds")
        expected = _signature(self._app_id, nonce, self._secret, timestamp)
        if query["AppId"] != str(self._app_id) or not same(query["Signature"], expected):
            raise Refused(WRONG, "signature error")
        now = time.time() + self._truth.knobs.zego_clock_skew_seconds
        if abs(now - int(timestamp)) > _MOST_DEVIATION_SECONDS:
            raise Refused(EXPIRED, "signature expired")
        self._use_up(nonce)

    def _use_up(self, nonce: str) -> None:
        now = time.monotonic()
        while self._seen and (oldest := next(iter(self._seen))) and self._seen[oldest] < now - NONCE_MEMORY_SECONDS:
            del self._seen[oldest]
        if nonce in self._seen:
            raise Refused(REPEATED_NONCE, "signature error: the nonce was used before")
        self._seen[nonce] = now


def _signature(app_id: int, nonce: str, secret: str, timestamp: str) -> str:
    """MD5 over the plain concatenation, as 32 lowercase hexadecimal digits."""
    return hashlib.md5(f"{app_id}{nonce}{secret}{timestamp}".encode(), usedforsecurity=False).hexdigest()
