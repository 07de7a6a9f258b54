"""What all calls to customers trust."""

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """The usual authorities, loaded once: loading them for each call takes longer than the call."""
    return httpx.create_ssl_context(trust_env=False)
