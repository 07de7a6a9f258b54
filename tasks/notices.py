"""Addresses at which a provider may tell that a job ended. They cannot be guessed, and that is all they prove.

TopView signs nothing (its page on webhooks shows no signature), so the address itself carries a keyed digest of the
order. Whoever knows it was told it by the studio or by the provider; what is posted there stays a hint.
"""

import hashlib
import hmac

from tasks.settings import get_settings

TOKEN_DIGITS = 32
"""Hex digits of the digest that an address carries: 128 bits."""


def notice_url(provider: str, order_id: str) -> str:
    """Where the provider may tell that this order ended; empty when no notices are asked for."""
    settings = get_settings()
    if not settings.webhook_url or not settings.webhook_secret.get_secret_value():
        return ""
    return f"{settings.webhook_url.rstrip('/')}/{provider}/{order_id}/{_token(provider, order_id)}"


def is_genuine(provider: str, order_id: str, token: str) -> bool:
    """Whether a token belongs to this order, compared in constant time; never without a secret."""
    if not get_settings().webhook_secret.get_secret_value():
        return False
    return hmac.compare_digest(_token(provider, order_id).encode(), _bytes(token))


def _token(provider: str, order_id: str) -> str:
    secret = get_settings().webhook_secret.get_secret_value()
    return hmac.new(_bytes(secret), _bytes(f"{provider}/{order_id}"), hashlib.sha256).hexdigest()[:TOKEN_DIGITS]


def _bytes(text: str) -> bytes:
    # Strangers choose these words, and half of a surrogate pair has no UTF-8 form.
    return text.encode(errors="backslashreplace")
