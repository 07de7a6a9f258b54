"""A show that is on air says so when Prefect takes it for dead.

An automation marks runs as crashed whose heartbeats have been missing for 90 s. After an outage of Prefect they
have been, though the show went on: it would then be offered for a retry, and no command would be sent to it any more.
"""

import asyncio
import logging
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Running

LOOK_SECONDS = 5.0

log = logging.getLogger("studio.show")


async def stay_running(run_id: UUID) -> None:
    """Look at the show's own run again and again, and set it right; never returns."""
    while True:
        try:
            async with get_client() as client:
                run = await client.read_flow_run(run_id)
                if run.state is not None and run.state.is_crashed():
                    log.warning("taken for dead, but on air run=%s message=%s", run_id, run.state.message)
                    await client.set_flow_run_state(run_id, Running(message="It is on air."), force=True)
        except Exception as error:  # noqa: BLE001 - a show outlives Prefect
            log.warning("run not looked at run=%s error=%s", run_id, type(error).__name__)
        await asyncio.sleep(LOOK_SECONDS)
