"""The one-shot service ``setup``: buckets, blocks, work pool, deployments and automations, at every start.

What a person changed in the UI stays, as in the embedded studio: schedules that were switched, the pool's limit, and
the credentials blocks of the real providers, which a person makes once under *Blocks*.
"""

import asyncio
import logging
from datetime import timedelta

from prefect.client.orchestration import PrefectClient, get_client
from prefect.variables import Variable

from deployments.register import register_all
from infra.cluster.settings import SetupSettings
from infra.studio.blocks import SANDBOX_ACCOUNT, register_block_types, sandbox_zego
from infra.studio.config import MINGYAN_SANDBOX_BLOCK, TOPVIEW_SANDBOX_BLOCK, WORK_POOL, ZEGO_SANDBOX_BLOCK
from infra.studio.interrupted import cancel_runs_of_other_accounts
from infra.studio.parts.object_store import round_trip
from infra.studio.provision import make_work_pool
from tasks.blocks import MingyanCredentials, S3Storage, TopViewCredentials
from tasks.errors import StudioError
from tasks.settings import StudioSettings, get_settings

ACCOUNTS_VARIABLE = "studio_accounts"
_SANDBOX, _OWN = "the sandbox", "your own accounts"

log = logging.getLogger("studio.cluster.setup")


async def set_up(setup: SetupSettings, settings: StudioSettings) -> None:
    """Bring what is in the store and in Prefect up to date.

    Raises:
        StudioError: the settings contradict each other, or the store or Prefect refused something.
    """
    check_accounts(setup, settings)
    storage = storage_block(setup)
    await _prepare_store(storage)
    async with get_client() as client:
        await register_block_types(client)
        await storage.asave(settings.storage_block, overwrite=True)
        if setup.sandbox_url:
            await _save_sandbox_blocks(setup)
        await make_work_pool(client)
        # No worker runs yet: Docker starts them after this.
        await _keep_accounts_apart(client, _SANDBOX if setup.sandbox_url else _OWN)
    names = await register_all()
    log.info("set up names=%s", ",".join(names))


def check_accounts(setup: SetupSettings, settings: StudioSettings) -> None:
    """Refuse a sandbox beside real accounts: a block that is named otherwise would be paid for.

    Raises:
        StudioError: the sandbox runs and a block is not the sandbox's, or the other way round.
    """
    names = {settings.topview_block, settings.mingyan_block, settings.zego_block}
    sandbox_names = {TOPVIEW_SANDBOX_BLOCK, MINGYAN_SANDBOX_BLOCK, ZEGO_SANDBOX_BLOCK}
    if (setup.sandbox_url and names != sandbox_names) or (not setup.sandbox_url and names & sandbox_names):
        raise StudioError(
            f"CLUSTER_SANDBOX_URL is {setup.sandbox_url!r} and the providers' blocks are {', '.join(sorted(names))}.",
            fix="Use all of infra/image/sandbox.env, or nothing of it.",
        )


def storage_block(setup: SetupSettings) -> S3Storage:
    """The block through which workers find the store."""
    return S3Storage(
        endpoint=setup.s3_endpoint,
        secure=setup.s3_secure,
        region=setup.s3_region,
        access_key=setup.s3_access_key,
        secret_key=setup.s3_secret_key,
        public_endpoint=setup.s3_public_endpoint,
    )


async def _prepare_store(block: S3Storage) -> None:
    store = block.get_store()
    await store.ensure_bucket(block.archive_bucket, versioned=True)
    await store.ensure_bucket(block.staging_bucket, expire_days=block.staging_days)
    # Buckets may be there while nothing can be written.
    await round_trip(store)
    for bucket in (block.archive_bucket, block.staging_bucket):
        await store.abort_stale_uploads(bucket, timedelta(days=1))


async def _save_sandbox_blocks(setup: SetupSettings) -> None:
    topview = TopViewCredentials(
        uid=setup.topview_uid,
        api_key=setup.topview_key,
        account=SANDBOX_ACCOUNT,
        base_url=f"{setup.sandbox_url}/topview",
    )
    mingyan = MingyanCredentials(
        api_key=setup.mingyan_key,
        account=SANDBOX_ACCOUNT,
        base_url=f"{setup.sandbox_url}/mingyan/kyyReactApiServer",
    )
    zego = sandbox_zego(f"{setup.sandbox_url}/zego", setup.zego_server_secret, setup.zego_callback_secret)
    await topview.asave(TOPVIEW_SANDBOX_BLOCK, overwrite=True)
    await mingyan.asave(MINGYAN_SANDBOX_BLOCK, overwrite=True)
    await zego.asave(ZEGO_SANDBOX_BLOCK, overwrite=True)


async def _keep_accounts_apart(client: PrefectClient, now: str) -> None:
    """What was begun in the sandbox is not continued at the vendors, nor the other way round."""
    before = str(await Variable.aget(ACCOUNTS_VARIABLE, default=now))
    if before != now:
        count = await cancel_runs_of_other_accounts(client, WORK_POOL, before)
        log.info("cancelled runs of other accounts count=%d before=%s", count, before)
    await Variable.aset(ACCOUNTS_VARIABLE, now, overwrite=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(set_up(SetupSettings.model_validate({}), get_settings()))
