"""What the one-shot services of the cluster read: ``CLUSTER_*`` variables, which no worker ever gets."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

_S3_PATTERN = r"^[A-Za-z0-9.\-:]+$"


class DatabaseSettings(BaseSettings):
    """For making roles and databases; which ones is read from the addresses that their users are given."""

    model_config = SettingsConfigDict(env_prefix="CLUSTER_", extra="ignore")

    postgres_url: SecretStr = Field(description="SQLAlchemy URL of PostgreSQL's superuser.")


class SetupSettings(BaseSettings):
    """For registering the store, and the sandbox where one runs."""

    model_config = SettingsConfigDict(env_prefix="CLUSTER_", extra="ignore")

    s3_endpoint: str = Field(pattern=_S3_PATTERN, description="Host and port of the store.")
    s3_secure: bool = Field(default=False, description="Speak HTTPS to it.")
    s3_region: str = Field(default="us-east-1", description="Region that calls are signed for.")
    s3_access_key: SecretStr = Field(description="Access key.")
    s3_secret_key: SecretStr = Field(description="Secret key.")
    s3_public_endpoint: str = Field(default="", description="Address that links are signed for.")

    sandbox_url: str = Field(default="", description="Address of the sandbox; empty: providers are the real ones.")
    topview_uid: SecretStr = Field(default=SecretStr(""), description="Account id that the sandbox accepts as TopView.")
    topview_key: SecretStr = Field(default=SecretStr(""), description="Key that it accepts as TopView.")
    mingyan_key: SecretStr = Field(default=SecretStr(""), description="Key that it accepts as mingyan.")
    zego_server_secret: SecretStr = Field(default=SecretStr(""), description="ServerSecret that it accepts as ZEGO.")
    zego_callback_secret: SecretStr = Field(default=SecretStr(""), description="What it signs ZEGO's callbacks with.")
