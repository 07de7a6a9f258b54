"""The table of providers: one row each."""

from collections.abc import Callable

from tasks.errors import Problem, RequestRefused
from tasks.models import ProviderChoice, ProviderName
from tasks.providers.base import Provider
from tasks.settings import get_settings


def _local() -> Provider:
    from tasks.providers.local.provider import LocalProvider  # noqa: PLC0415 - heavy imports only where used

    return LocalProvider(get_settings().spool)


# In the order in which `auto` tries them: cheapest first.
PROVIDERS: dict[ProviderName, Callable[[], Provider]] = {
    "local": _local,
}


def get_provider(name: str) -> Provider:
    """Make the client of one provider.

    Raises:
        RequestRefused: the studio has no provider of this name.
    """
    for known, make in PROVIDERS.items():
        if known == name:
            return make()
    raise RequestRefused(
        [Problem("provider", f"{name!r} is not set up in this studio.", f"Choose one of {', '.join(PROVIDERS)}.")]
    )


def candidates(choice: ProviderChoice) -> list[Provider]:
    """The providers that a choice allows, in the order in which they are tried."""
    if choice == "auto":
        return [make() for make in PROVIDERS.values()]
    return [get_provider(choice)]
