"""What the credentials of every provider have: a label of the account, and the address of the API."""

from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

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


class ProviderAccount(BaseModel):
    """The fields of a credentials block that are no secret."""

    account: str = Field(
        default="default",
        min_length=1,
        max_length=100,
        pattern=r"^[A-Za-z0-9 ._@-]+$",
        title="Account label",
        description="Your name for the account that pays; part of every render's identity, never a secret.",
    )
    base_url: str

    @field_validator("base_url")
    @classmethod
    def _is_safe(cls, value: str) -> str:
        return check_base_url(value)
