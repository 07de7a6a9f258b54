"""The account at mingyan, or another brand of the same gateway."""

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr

from tasks.blocks.accounts import ProviderAccount

if TYPE_CHECKING:
    from tasks.providers.mingyan.client import MingyanClient


class MingyanCredentials(Block, ProviderAccount):
    """An account at mingyan (GlobalAiOpc), whose key comes from its console or sales contact.

    Example:
        Load a stored block and ask for a job:

        ```python
        from tasks.blocks import MingyanCredentials

        block = MingyanCredentials.load("BLOCK_NAME")
        job = await block.get_client().query_video("JOB_ID")
        ```
    """

    # The words of a validation error would quote the keys.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "mingyan Credentials"
    _block_type_slug = "mingyan-credentials"
    _description = "API key of an account at mingyan, which renders digital humans from a clip and a recording."
    _documentation_url = "https://docs.globalaiopc.com/en/api-reference/digital-human/DigitalHuman/digital-human-create"  # type: ignore[assignment]

    api_key: SecretStr = Field(title="API key", description="The account's API key, without the word Bearer.")

    base_url: str = Field(
        default="https://zcbservice.aizfw.cn/kyyReactApiServer",
        title="Base URL",
        description="Address of the API; change it for a reseller or the sandbox.",
    )

    def get_client(self) -> "MingyanClient":
        """A client of the account. The only place where the key is unwrapped."""
        from tasks.providers.mingyan.client import MingyanClient  # noqa: PLC0415 - only where used

        return MingyanClient(base_url=self.base_url, api_key=self.api_key.get_secret_value())
