"""What a started studio needs inside: the ledger's tables, the blocks, the work pool, the deployments.

Runs as a process of its own, so that Prefect's client does not stay in the supervisor's memory, and while the servers
start, so that its imports cost no time. It prints one JSON line per finished step.
"""

import asyncio
import contextlib
import json
import sys
from datetime import timedelta

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from deployments.register import register_all
from infra.studio.blocks import register_block_types, save_sandbox_blocks, save_storage_block
from infra.studio.config import WORK_POOL, StudioConfig, load_config
from infra.studio.interrupted import cancel_runs_of_other_accounts, interrupted_runs, settle_interrupted
from infra.studio.parts.object_store import (
    ARCHIVE_BUCKET,
    STAGING_BUCKET,
    ObjectStorePart,
)
from infra.studio.parts.prefect_server import PrefectServerPart
from tasks.errors import StudioError, StudioUnavailable
from tasks.ledger.store import Ledger

LOOK_EVERY_SECONDS = 0.1


async def provision(config: StudioConfig) -> None:
    """Bring the studio's contents up to date; may be run again and again.

    Raises:
        StudioError: something could not be set up.
    """
    async with asyncio.timeout(config.start_seconds):
        await _ledger(config)
        _tell("ledger")
        await _wait_for_server(config)
        await save_storage_block(config)
        _tell("storage-block")
        await _sweep_uploads(config)
        if config.sandbox:
            await save_sandbox_blocks(config)
            _tell("sandbox-blocks")
        async with get_client() as client:
            await make_work_pool(client)
            await _keep_accounts_apart(config, client)
            cut_off = await interrupted_runs(client, WORK_POOL)
            # From here on the worker may start; runs that it takes are not among those.
            _tell("work-pool")
            await register_block_types(client)
            _tell("block-types")
            names = await register_all()
            _tell("deployments", names=names)
            await settle_interrupted(client, cut_off)
            _tell("interrupted-runs", count=len(cut_off))


async def _ledger(config: StudioConfig) -> None:
    """Opening brings the tables up to date."""
    async with await Ledger.open(config.ledger_database_url()):
        pass


async def _sweep_uploads(config: StudioConfig) -> None:
    """Uploads that a crash cut off keep their parts until somebody throws them away."""
    store = ObjectStorePart(config).store()
    for bucket in (ARCHIVE_BUCKET, STAGING_BUCKET):
        await store.abort_stale_uploads(bucket, timedelta(days=1))


async def _wait_for_server(config: StudioConfig) -> None:
    server = PrefectServerPart(config)
    while True:
        try:
            await server.probe(since=0)
        except StudioUnavailable:
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        else:
            return


async def _keep_accounts_apart(config: StudioConfig, client: PrefectClient) -> None:
    """What was begun in the sandbox is not continued at the vendors, nor the other way round."""
    now = "the sandbox" if config.sandbox else "your own accounts"
    note = config.root / "accounts.txt"
    before = note.read_text(encoding="utf-8").strip() if note.exists() else now
    if before != now:
        count = await cancel_runs_of_other_accounts(client, WORK_POOL, before)
        _tell("runs-of-other-accounts", count=count)
    note.write_text(f"{now}\n", encoding="utf-8")


async def make_work_pool(client: PrefectClient) -> None:
    """Make the work pool, unless it is there."""
    template = ProcessWorker.get_default_base_job_template()
    # A pool that is there keeps what a person changed in it, such as its concurrency limit.
    with contextlib.suppress(ObjectAlreadyExists):
        await client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process", base_job_template=template))


def _tell(step: str, **facts: object) -> None:
    _print(step=step, **facts)


def _print(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Provision the studio of this environment; an error is the last line printed."""
    config = load_config()
    try:
        asyncio.run(provision(config))
    except StudioError as error:
        _print(error=error.message, fix=error.fix)
        return 1
    except TimeoutError:
        _print(
            error=f"setting up took more than {config.start_seconds:g} s.",
            fix="Raise STUDIO_START_SECONDS on a slow machine.",
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
