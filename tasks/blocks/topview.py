"""The account at TopView."""

from typing import TYPE_CHECKING

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr

from tasks.blocks.accounts import ProviderAccount

if TYPE_CHECKING:
    from tasks.providers.topview.client import TopViewClient


class TopViewCredentials(Block, ProviderAccount):
    """An account at TopView, found in the web app under API Settings.

    Example:
        Load a stored block and look at the credits:

        ```python
        from tasks.blocks import TopViewCredentials

        block = TopViewCredentials.load("BLOCK_NAME")
        balance = await block.get_client().credit_balance()
        ```
    """

    # The words of a validation error would quote the keys.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "TopView Credentials"
    _block_type_slug = "topview-credentials"
    _description = "User id and API key of an account at TopView, which renders video avatars."
    _documentation_url = "https://docs.topview.ai/reference/authentication-1"  # type: ignore[assignment]

    uid: SecretStr = Field(title="User id", description="The account's Topview-Uid.")
    api_key: SecretStr = Field(title="API key", description="The account's API key.")

    base_url: str = Field(
        default="https://api.topview.ai",
        title="Base URL",
        description="Address of the API; change it for a reseller or the sandbox.",
    )

    def get_client(self) -> "TopViewClient":
        """A client of the account. The only place where the key is unwrapped."""
        from tasks.providers.topview.client import TopViewClient  # noqa: PLC0415 - only where used

        return TopViewClient(
            base_url=self.base_url, uid=self.uid.get_secret_value(), api_key=self.api_key.get_secret_value()
        )
