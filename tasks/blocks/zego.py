"""The account at ZEGOCLOUD."""

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr

from tasks.blocks.accounts import ProviderAccount

if TYPE_CHECKING:
    from tasks.providers.zego.client import ZegoClient


class ZegoCredentials(Block, ProviderAccount):
    """A project at ZEGOCLOUD, found in its console; its support must have switched digital humans on.

    Example:
        Load a stored block and look at the streams that are alive:

        ```python
        from tasks.blocks import ZegoCredentials

        block = ZegoCredentials.load("BLOCK_NAME")
        streams = await block.get_client().live_streams()
        ```
    """

    # The words of a validation error would quote the secrets.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "ZEGO Credentials"
    _block_type_slug = "zego-credentials"
    _description = "AppID and ServerSecret of a project at ZEGOCLOUD, whose digital humans speak live into a room."
    _documentation_url = "https://www.zegocloud.com/docs/aigc-digital-human-server/streaming-apis/accessing-server-apis"  # type: ignore[assignment]

    app_id: int = Field(ge=1, le=4_294_967_295, title="AppID", description="The project's number; no secret.")
    server_secret: SecretStr = Field(title="ServerSecret", description="What calls are signed with.")
    callback_secret: SecretStr = Field(
        default=SecretStr(""),
        title="CallbackSecret",
        description="Only kept here: the receiver of callbacks reads it from STUDIO_ZEGO_CALLBACK_SECRET. It is not "
        "the ServerSecret.",
    )

    base_url: str = Field(
        default="https://aigc-digitalhuman-api.zegotech.cn",
        title="Base URL",
        description="Address of the API; change it for the host that ZEGO gives out overseas, or the sandbox.",
    )
    unverified_socket: bool = Field(
        default=False,
        title="Accept the drive socket's certificate unseen",
        description="Streamed speech goes to an address without a host name, whose certificate cannot be verified: "
        "whoever sits on the way could listen. Without this, cues that stream PCM fail. Calls of the API are always "
        "verified.",
    )

    def get_client(self) -> "ZegoClient":
        """A client of the account. The only place where the ServerSecret is unwrapped."""
        from tasks.providers.zego.client import ZegoClient  # noqa: PLC0415 - only where used

        return ZegoClient(
            base_url=self.base_url, app_id=self.app_id, server_secret=self.server_secret.get_secret_value()
        )
