"""The table of providers: one row each. A provider with an account is loaded from its credentials block."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from tasks.blocks import BlockMissing, MingyanCredentials, TopViewCredentials, load_block, load_store
from tasks.errors import Problem, RequestRefused, StudioError
from tasks.keeping import Kept
from tasks.ledger import LIVE_PROVIDERS, Entry
from tasks.models import ProviderChoice, ProviderName
from tasks.providers.base import ProbedMedia, Provider
from tasks.settings import get_settings
from tasks.staging import split_reference, stage_file

FETCH_LIFE = timedelta(hours=72)
"""Life of the links by which a provider fetches inputs: queueing plus fetch, well within the life of staged files."""


async def _local() -> Provider:
    from tasks.providers.local.provider import LocalProvider  # noqa: PLC0415 - heavy imports only where used

    return LocalProvider(get_settings().spool)


async def _topview() -> Provider:
    from tasks.providers.topview.provider import TopViewProvider  # noqa: PLC0415 - only where used

    settings = get_settings()
    credentials = await load_block(TopViewCredentials, settings.topview_block)
    return TopViewProvider(
        credentials.get_client(),
        account=credentials.account,
        prices=settings.prices,
        speed_field=settings.topview_speed_field,
        allow_avatar4=settings.topview_avatar4,
    )


async def _mingyan() -> Provider:
    from tasks.providers.mingyan.provider import MingyanProvider, Staging  # noqa: PLC0415 - only where used

    settings = get_settings()
    credentials = await load_block(MingyanCredentials, settings.mingyan_block)
    store = await load_store(settings.storage_block)

    async def link(media: ProbedMedia) -> str:
        bucket, key = split_reference(await stage_file(store, media.path))
        return store.presign_get(bucket, key, expires=FETCH_LIFE)

    return MingyanProvider(
        credentials.get_client(),
        account=credentials.account,
        prices=settings.prices,
        staging=Staging(address=store.public_address, link=link),
    )


# In the order in which `auto` tries them where prices do not decide: the free one first.
PROVIDERS: dict[ProviderName, Callable[[], Awaitable[Provider]]] = {
    "local": _local,
    "topview": _topview,
    "mingyan": _mingyan,
}


async def get_provider(name: str) -> Provider:
    """The client of one provider; it serves all steps of a run.

    Raises:
        RequestRefused: the studio has no such provider, or no account there.
    """
    for known in PROVIDERS:
        if known == name:
            try:
                return await _accounts.get(known)
            except BlockMissing as missing:
                raise RequestRefused(
                    [Problem("provider", f"{name!r} is not set up in this studio: {missing.message}", missing.fix)]
                ) from missing
    raise RequestRefused(
        [Problem("provider", f"{name!r} is not known.", f"Choose one of auto, {', '.join(PROVIDERS)}.")]
    )


async def _make_account(name: ProviderName) -> Provider:
    return await PROVIDERS[name]()


_accounts = Kept(_make_account, seconds=30)


async def candidates(choice: ProviderChoice) -> tuple[list[Provider], list[Problem]]:
    """The providers that a choice allows, in the order in which they are tried, and why others are left out.

    Raises:
        RequestRefused: the one that was chosen is not set up.
    """
    if choice != "auto":
        return [await get_provider(choice)], []
    found, missing = [], []
    for name in PROVIDERS:
        try:
            found.append(await get_provider(name))
        except RequestRefused as refused:
            missing += refused.problems
    return found, missing


async def provider_of(entry: Entry) -> Provider:
    """The provider of a ledger entry, at the account and address where the entry lives.

    Raises:
        StudioError: this studio now uses another account or address there.
    """
    provider = await get_provider(entry.provider)
    refuse_elsewhere(entry, provider.account, provider.endpoint)
    return provider


def refuse_elsewhere(entry: Entry, account: str, endpoint: str) -> None:
    """A submission is followed only where it was made.

    Raises:
        StudioError: the entry lives at another account or address.
    """
    if (entry.account, entry.endpoint) != (account, endpoint):
        way_out = (
            "it ends by itself" if entry.provider in LIVE_PROVIDERS else "end it with `studio settle KEY --abandon`"
        )
        raise StudioError(
            f"{entry.render_key} is under way at {entry.endpoint} (account {entry.account}), "
            f"but this studio now uses {endpoint} (account {account}).",
            fix=f"Switch back to that account and address to finish it; else {way_out}.",
        )
