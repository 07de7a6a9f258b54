"""The address of a provider's API as a person writes it into a block."""

from urllib.parse import urlsplit

from tasks.http import own_network


def check_base_url(value: str) -> str:
    """Accept https://host[/path], and plain http only on this machine; the key travels with every call.

    Raises:
        ValueError: says what is wrong and what is allowed.
    """
    address = value.strip().rstrip("/")
    parts = urlsplit(address)
    if parts.scheme not in {"https", "http"} or not parts.hostname or not address.isascii():
        raise ValueError(f"{value!r} is not an address. Write https://host or https://host/path.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the address carries more than host and path. Write https://host or https://host/path.")
    if parts.scheme == "http" and not own_network(address):
        raise ValueError(f"{value!r} would send the key in clear. Write https://.")
    return address
