"""ZEGO's two signatures: of our calls (section 1.3 of the vendor page), and of its callbacks (section 6)."""

import hashlib
import hmac
import secrets

from tasks.providers.zego.assumptions import NONCE_BYTES

SIGNATURE_VERSION = "2.0"


def sign(app_id: int, nonce: str, secret: str, timestamp: int) -> str:
    """Signature of a call: 32 lower-case hex digits.

    Args:
        app_id: the project.
        nonce: as it is sent.
        secret: the ServerSecret.
        timestamp: Unix seconds, as they are sent.
    """
    text = f"{app_id}{nonce}{secret}{timestamp}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def signed_params(app_id: int, secret: str, action: str, *, now: float) -> dict[str, str]:
    """The query of one try of a call (section 1.2), with a nonce of its own: no two tries may share one.

    Args:
        app_id: the project.
        secret: the ServerSecret.
        action: the call's name.
        now: Unix seconds.
    """
    nonce, timestamp = secrets.token_hex(NONCE_BYTES), int(now)
    return {
        "Action": action,
        "AppId": str(app_id),
        "SignatureNonce": nonce,
        "Timestamp": str(timestamp),
        "Signature": sign(app_id, nonce, secret, timestamp),
        "SignatureVersion": SIGNATURE_VERSION,
    }


def callback_signature(secret: str, timestamp: str, nonce: str) -> str:
    """Signature that a callback must carry: 40 lower-case hex digits.

    Args:
        secret: the CallbackSecret, which is not the ServerSecret.
        timestamp: the callback's, as it came: its unit is not sure, and only the text is signed.
        nonce: the callback's.
    """
    text = "".join(sorted((secret, timestamp, nonce)))
    # A stranger may send half of a surrogate pair in JSON; its signature is wrong, and no reason to stop.
    return hashlib.sha1(text.encode(errors="surrogatepass"), usedforsecurity=False).hexdigest()


def is_callback_genuine(secret: str, timestamp: str, nonce: str, signature: str) -> bool:
    """Whether a callback was signed with our secret; takes equally long for every wrong signature.

    An empty secret makes nothing genuine.
    """
    expected = callback_signature(secret, timestamp, nonce)
    # Texts with signs outside ASCII cannot be compared as texts.
    same = hmac.compare_digest(expected.encode(), signature.encode(errors="surrogatepass"))
    return bool(secret) and same
