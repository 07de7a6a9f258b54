"""What can be chosen from at ZEGO, as rows of `studio catalog zego`; section 3 of the vendor page."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tasks.providers.zego.client import ZegoClient

Row = dict[str, str | None]

AVATAR_COLUMNS = {
    "digital_human_id": "Avatar id",
    "name": "Name",
    "whose": "Whose",
    "actions": "Actions",
    "avatar_url": "Picture",
}
TIMBRE_COLUMNS = {"timbre_id": "Timbre id", "name": "Name", "avatar": "Only for avatar"}
"""Column titles by the fields of a row, the id that a rundown takes first."""

_WHOSE = {True: "everybody's", False: "yours", None: None}
_ALL: Literal[1] = 1
_OWN: Literal[3] = 3


async def avatars(client: "ZegoClient", *, custom: bool = False) -> AsyncIterator[Row]:
    """Avatars with the names of their actions; of the account alone where ``custom``."""
    async for found in client.digital_humans(_OWN if custom else _ALL):
        yield {
            "digital_human_id": found.digital_human_id,
            "name": found.name,
            "whose": _WHOSE[found.is_public],
            "actions": ", ".join(found.action_names),
            "avatar_url": found.avatar_url,
        }


async def timbres(client: "ZegoClient", *, avatar: str = "") -> AsyncIterator[Row]:
    """The public voices, then those that only one avatar has: of this avatar, or of each.

    The vendor lists either the ones or the others, never both.
    """
    async for found in client.timbres():
        yield {"timbre_id": found.timbre_id, "name": found.name, "avatar": ""}
    owners = [avatar] if avatar else [found.digital_human_id async for found in client.digital_humans(_ALL)]
    for owner in owners:
        async for found in client.timbres(owner):
            yield {"timbre_id": found.timbre_id, "name": found.name, "avatar": owner}
