"""Where the archive is and with which keys: a Prefect block, loaded by name at the call that needs it."""

from typing import Self
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from tasks.blocks.loading import load_block
from tasks.keeping import Kept
from tasks.storage import ObjectStore


class S3Storage(Block):
    """An S3 object store: any that speaks plain S3, such as SeaweedFS, MinIO or AWS.

    Example:
        Load a stored block and look an object up:

        ```python
        from tasks.blocks import S3Storage

        block = S3Storage.load("BLOCK_NAME")
        facts = await block.get_store().head("archive", "renders/ab/abcd/render.json")
        ```
    """

    # The words of a validation error would quote the keys.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name = "S3 Storage"
    _block_type_slug = "s3-storage"
    _description = "An S3 object store that keeps the finished videos and the staged media."
    _documentation_url = "https://docs.aws.amazon.com/AmazonS3/latest/API/Welcome.html"  # type: ignore[assignment]

    endpoint: str = Field(
        pattern=r"^[A-Za-z0-9.\-\[\]:]+$",
        title="Endpoint",
        description="Host and port that workers reach the store at, such as 127.0.0.1:8333.",
        examples=["127.0.0.1:8333", "s3.eu-central-1.amazonaws.com"],
    )
    secure: bool = Field(default=True, title="TLS", description="Speak HTTPS to the endpoint.")
    region: str = Field(
        default="us-east-1", min_length=1, title="Region", description="Region that calls are signed for."
    )
    access_key: SecretStr = Field(title="Access key", description="Access key id of the account.")
    secret_key: SecretStr = Field(title="Secret key", description="Secret access key of the account.")
    public_endpoint: str = Field(
        default="",
        title="Public endpoint",
        description="Address that links are signed for, such as https://media.example.com; empty takes the endpoint.",
    )
    archive_bucket: str = Field(default="archive", title="Archive", description="Bucket of the finished videos.")
    staging_bucket: str = Field(
        default="staging", title="Staging", description="Bucket of uploaded media, with expiry."
    )
    staging_days: int = Field(
        default=7, ge=2, le=365, title="Staging days", description="Days after which staged media may be deleted."
    )
    retry_seconds: float = Field(
        default=60,
        ge=0,
        le=3600,
        title="Retry seconds",
        description="How long a call is repeated while the store does not answer; raise it for slow restarts.",
    )

    @field_validator("public_endpoint")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.netloc or parts.path.strip("/")):
            raise ValueError(f"{value!r} is not an address. Write https://host or https://host:port, without a path.")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _buckets_differ(self) -> Self:
        if self.archive_bucket == self.staging_bucket:
            raise ValueError(
                "archive and staging are one bucket, whose expiry would delete the videos. Name two buckets."
            )
        return self

    def get_store(self) -> ObjectStore:
        """A client of the store. The only place where the keys are unwrapped."""
        return ObjectStore(
            endpoint=self.endpoint,
            secure=self.secure,
            region=self.region,
            access_key=self.access_key.get_secret_value(),
            secret_key=self.secret_key.get_secret_value(),
            public_endpoint=self.public_endpoint,
            archive_bucket=self.archive_bucket,
            staging_bucket=self.staging_bucket,
            staging_days=self.staging_days,
            retry_seconds=self.retry_seconds,
        )


async def load_store(block_name: str) -> ObjectStore:
    """The client of the storage block of this name; its connections serve all steps of a run.

    Raises:
        StudioUnavailable: Prefect knows no such block, or its server does not answer.
    """
    return await _stores.get(block_name)


async def _make_store(block_name: str) -> ObjectStore:
    return (await load_block(S3Storage, block_name)).get_store()


_stores = Kept(_make_store, seconds=30)
