"""The Prefect blocks that the embedded studio registers and saves by itself."""

from prefect.client.orchestration import PrefectClient
from pydantic import SecretStr

from infra.studio.config import (
    MINGYAN_SANDBOX_BLOCK,
    SANDBOX_ZEGO_APP_ID,
    TOPVIEW_SANDBOX_BLOCK,
    ZEGO_SANDBOX_BLOCK,
    StudioConfig,
)
from infra.studio.parts.object_store import ARCHIVE_BUCKET, REGION, STAGING_BUCKET, STAGING_DAYS, ObjectStorePart
from infra.studio.parts.sandbox import SandboxPart
from tasks.blocks import MingyanCredentials, S3Storage, TopViewCredentials, ZegoCredentials

BLOCK_TYPES = (S3Storage, TopViewCredentials, MingyanCredentials, ZegoCredentials)
SANDBOX_ACCOUNT = "sandbox"
"""Part of every render key: a video of the sandbox is never taken for one of a real account."""


async def save_storage_block(config: StudioConfig) -> None:
    """The endpoint changes with the port, so the block is written at every start."""
    keys = ObjectStorePart(config).credentials()
    block = S3Storage(
        endpoint=config.s3_endpoint,
        secure=False,
        region=REGION,
        access_key=SecretStr(keys.access_key),
        secret_key=SecretStr(keys.secret_key),
        archive_bucket=ARCHIVE_BUCKET,
        staging_bucket=STAGING_BUCKET,
        staging_days=STAGING_DAYS,
    )
    await block.asave(config.storage_block, overwrite=True)


async def save_sandbox_blocks(config: StudioConfig) -> None:
    """Address and credentials belong to this home folder, so the blocks are written at every start."""
    sandbox = SandboxPart(config)
    keys = sandbox.credentials()
    topview = TopViewCredentials(
        uid=SecretStr(keys.topview_uid),
        api_key=SecretStr(keys.topview_key),
        account=SANDBOX_ACCOUNT,
        base_url=sandbox.topview_url,
    )
    mingyan = MingyanCredentials(
        api_key=SecretStr(keys.mingyan_key), account=SANDBOX_ACCOUNT, base_url=sandbox.mingyan_url
    )
    zego = sandbox_zego(sandbox.zego_url, SecretStr(keys.zego_server_secret), SecretStr(keys.zego_callback_secret))
    await topview.asave(TOPVIEW_SANDBOX_BLOCK, overwrite=True)
    await mingyan.asave(MINGYAN_SANDBOX_BLOCK, overwrite=True)
    await zego.asave(ZEGO_SANDBOX_BLOCK, overwrite=True)


def sandbox_zego(base_url: str, server_secret: SecretStr, callback_secret: SecretStr) -> ZegoCredentials:
    """The sandbox's ZEGO project. The sandbox makes up the certificate of its drive socket, as the vendor seems to."""
    return ZegoCredentials(
        app_id=SANDBOX_ZEGO_APP_ID,
        server_secret=server_secret,
        callback_secret=callback_secret,
        account=SANDBOX_ACCOUNT,
        base_url=base_url,
        unverified_socket=True,
    )


async def register_block_types(client: PrefectClient) -> None:
    """A person finds them in the UI under Blocks."""
    for kind in BLOCK_TYPES:
        await kind.aregister_type_and_schema(client=client)
