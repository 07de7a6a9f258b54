"""The studio's account for live shows, with the calls of all its processes paced together."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from tasks.blocks import BlockMissing, ZegoCredentials, load_block
from tasks.errors import Problem, RequestRefused
from tasks.keeping import Kept
from tasks.settings import Price, get_settings
from tasks.show.contract import PROVIDER, STREAM_SECONDS
from tasks.show.turns import ActionTurns

if TYPE_CHECKING:
    from tasks.providers.zego.client import ZegoClient


@dataclass(frozen=True)
class ZegoAccount:
    """One account at ZEGO, ready to be called.

    Args:
        client: takes a turn before every try of a call.
        account: label of the account that pays.
        endpoint: where it lives.
        unverified_socket: whether the drive socket's certificate is accepted unseen.
        prices: of all providers, as the settings have them.
    """

    client: "ZegoClient"
    account: str
    endpoint: str
    unverified_socket: bool
    prices: Mapping[str, Price]


def cost_of(seconds: float, prices: Mapping[str, Price]) -> tuple[Decimal, str]:
    """What so many seconds of a stream cost, and the unit: the seconds themselves where no price is set."""
    amount = Decimal(str(round(seconds, 3)))
    price = prices.get(PROVIDER)
    return (amount, STREAM_SECONDS) if price is None else (amount * price.per_second, price.unit)


async def load_zego() -> ZegoAccount:
    """The account that the settings name; one client serves all steps of a run.

    Raises:
        RequestRefused: the studio has no account at ZEGO.
        StudioUnavailable: the Prefect server does not answer.
    """
    try:
        return await _accounts.get(get_settings().zego_block)
    except BlockMissing as missing:
        fix = f"{missing.fix} To try shows without an account: `make down`, then `make up SANDBOX=1`."
        wrong = f"live shows are not set up in this studio: {missing.message}"
        raise RequestRefused([Problem("show", wrong, fix)]) from missing


async def _make_account(block: str) -> ZegoAccount:
    credentials = await load_block(ZegoCredentials, block)
    client = credentials.get_client()
    return ZegoAccount(
        client=client.with_turn(ActionTurns(client.base_url)),
        account=credentials.account,
        endpoint=client.base_url,
        unverified_socket=credentials.unverified_socket,
        prices=get_settings().prices,
    )


_accounts = Kept(_make_account, seconds=30)
