"""The certificate authorities that are trusted, read once: that takes longer than a whole call on this machine."""

import ssl
from functools import cache

import httpx


@cache
def trusted(*, trust_env: bool) -> ssl.SSLContext:
    """A context with the public authorities.

    Args:
        trust_env: whether ``SSL_CERT_FILE`` counts, as it does for providers, but not for links of strangers.
    """
    return httpx.create_ssl_context(trust_env=trust_env)
