"""`close-streams` runs every minute while there are streams to look after, and rests in a studio without shows.

Each pass is a process of its own, which costs seconds of CPU. So a pass that finds nothing, an hour after the last
show, pauses its deployment, and a show wakes it before its stream exists. Registering the deployments wakes it, too, so
that the first pass sees what was left while no studio ran; `reconcile` looks every ten minutes in any case.
"""

import asyncio
import logging
from datetime import timedelta
from itertools import chain, repeat

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from tasks.errors import StudioError
from tasks.ledger.opening import open_ledger
from tasks.show.contract import PROVIDER
from tasks.show.rooms import NOT_ENDED

DEPLOYMENT = "close-streams/studio"
QUIET = timedelta(hours=1)
"""A stream whose Create was lost on the way may still appear for a while after its show was given up."""
WAKE_SECONDS = 5.0
"""A show is not held up for longer by a Prefect server that does not answer; the next look wakes the passes."""
FIRST_LOOK_SECONDS = 3.0
LOOK_SECONDS = 30.0
REST_SECONDS = 20.0

log = logging.getLogger("studio.show")


async def wake_reaper() -> None:
    """See to it that `close-streams` runs every minute.

    Where that fails, this is logged and the show goes on: `reconcile`, the idle end and the TTL bound its costs.
    """
    try:
        async with asyncio.timeout(WAKE_SECONDS), get_client() as client:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
            if deployment.paused:
                await client.resume_deployment(deployment.id)
                log.info("passes woken deployment=%s", DEPLOYMENT)
    except Exception as error:  # noqa: BLE001 - a show outlives Prefect
        log.warning("passes not woken deployment=%s error=%s", DEPLOYMENT, type(error).__name__)


async def keep_awake() -> None:
    """Wake the passes again, whoever has laid them to rest since; never returns."""
    # A pass may have missed this show's row and gone to sleep just as it was written.
    for pause in chain([FIRST_LOOK_SECONDS], repeat(LOOK_SECONDS)):
        await asyncio.sleep(pause)
        await wake_reaper()


async def rest_if_idle() -> bool:
    """Pause the passes where nothing is left to look after; whether they rest now.

    Raises:
        StudioError: the ledger cannot be opened.
    """
    if await _is_needed():
        return False
    rests = await _lay_to_rest()
    # A show that reserved its stream between the look and the pause may have found the passes awake. And a pause that
    # nobody has confirmed may have been made.
    if await _is_needed_for_sure():
        await wake_reaper()
        return False
    if rests:
        log.info("passes rest until the next show deployment=%s", DEPLOYMENT)
    return rests


async def _lay_to_rest() -> bool:
    try:
        async with asyncio.timeout(REST_SECONDS), get_client() as client:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
            await client.pause_deployment(deployment.id)
    except ObjectNotFound:
        # A pass that somebody runs without the studio's deployments.
        return False
    except Exception as error:  # noqa: BLE001 - the next pass tries again
        log.warning("passes not laid to rest deployment=%s error=%s", DEPLOYMENT, type(error).__name__)
        return False
    return True


async def _is_needed_for_sure() -> bool:
    try:
        return await _is_needed()
    except StudioError as error:
        log.warning("not known whether passes are needed cause=%r", error)
        return True


async def _is_needed() -> bool:
    async with open_ledger() as ledger:
        left = await ledger.in_states(NOT_ENDED, provider=PROVIDER, limit=1)
        return bool(left) or await ledger.has_changed(PROVIDER, within=QUIET)
