"""The steps of a pass over the inbox: look, pick up, report."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.deployments import arun_deployment
from prefect.events import emit_event
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed
from prefect.utilities.urls import url_for

from tasks.batch.inbox.checking import Checked
from tasks.batch.inbox.drop import INBOX, Drop, is_manifest_drop
from tasks.batch.inbox.pickup import Picked, Pickup, StartedRun, Verdict
from tasks.blocks import load_store
from tasks.errors import StudioError, StudioUnavailable
from tasks.ledger.opening import open_ledger
from tasks.settings import get_settings
from tasks.step import step
from tasks.storage import ObjectFacts, ObjectStore

BATCH_DEPLOYMENT = "render-batch/studio"
SETTLED_SECONDS = 10
"""Programs that write through a mounted bucket replace an object a few times until it is whole."""

INBOX_KEY = "inbox"
REJECTED_EVENT = "studio.inbox.rejected"
SHOWN_FILES = 500
TOLD_PROBLEMS = 5

log = logging.getLogger("studio.inbox")


@step("look into the inbox")
async def look_into_inbox() -> list[Drop]:
    """The files that have not changed for a few seconds, the oldest first.

    Raises:
        StorageError: the object store does not answer.
    """
    store = await load_store(get_settings().storage_block)
    return await settled_drops(store, SETTLED_SECONDS)


async def settled_drops(store: ObjectStore, seconds: float) -> list[Drop]:
    """Files that are older than this, or are still the same when so much time has passed.

    The second look does not trust this machine's clock, which may be ahead of the store's or behind it.
    """
    found = await _listed(store)
    border = datetime.now(UTC) - timedelta(seconds=seconds)
    young = {facts.key for facts in found if facts.modified is None or facts.modified > border}
    if young:
        await asyncio.sleep(seconds)
        before = {(facts.key, facts.etag, facts.size, facts.modified) for facts in found}
        again = [facts for facts in await _listed(store) if facts.key in young]
        settled = [facts for facts in again if (facts.key, facts.etag, facts.size, facts.modified) in before]
        found = [facts for facts in found if facts.key not in young] + settled
    return sorted(map(Drop, found), key=lambda drop: (f"{drop.facts.modified}", drop.facts.key))


async def _listed(store: ObjectStore) -> list[ObjectFacts]:
    return [facts async for facts in store.list_objects(store.archive_bucket, INBOX) if is_manifest_drop(facts)]


@step("pick up")
async def pick_up(drops: Sequence[Drop], owner: str, until: float) -> list[Picked]:
    """Bring each file to its end; one that cannot be does not keep the others.

    Args:
        drops: what was found in the inbox.
        owner: id of this flow run.
        until: ``time.monotonic()`` after which no further file is begun.
    """
    store = await load_store(get_settings().storage_block)
    async with open_ledger() as ledger:
        pickup = Pickup(store, ledger, owner, start_batch, tell_rejected)
        return [picked for drop in drops if (picked := await _attempt(pickup, drop, until))]


async def _attempt(pickup: Pickup, drop: Drop, until: float) -> Picked | None:
    if time.monotonic() > until:
        return Picked(drop, Verdict.WAITS, "no time was left in this pass")
    try:
        picked = await pickup.pick(drop)
    except StudioError as error:
        picked = Picked(drop, Verdict.WAITS, str(error))
    except Exception as error:
        log.exception("dropped file not picked up file=%s", drop.path)
        picked = Picked(drop, Verdict.BROKEN, f"{type(error).__name__}: {error}")
    if picked:
        log.info("%s file=%s told=%s", picked.verdict, drop.path, picked.told)
    return picked


async def start_batch(manifest: str, name: str, once: str) -> StartedRun:
    """Start a run of the batch deployment; the same ``once`` always answers with the same run.

    Raises:
        StudioUnavailable: there is no such deployment.
    """
    parameters = {"batch": {"manifest": manifest, "name": name[:200]}}
    try:
        run: FlowRun = await arun_deployment(
            BATCH_DEPLOYMENT, parameters=parameters, timeout=0, as_subflow=False, idempotency_key=once
        )
    except ObjectNotFound as error:
        raise StudioUnavailable(
            f"the deployment {BATCH_DEPLOYMENT} is not registered.", fix="Run `python -m deployments.register`."
        ) from error
    page = url_for("flow-run", obj_id=run.id) or f"flow run {run.id}"
    return StartedRun(run.name, page)


def tell_rejected(picked: Picked, checked: Checked) -> None:
    """Emit `studio.inbox.rejected`; for one drop always under the same id, of which Prefect keeps one."""
    if FlowRunContext.get() is None:
        return
    emit_event(
        REJECTED_EVENT,
        resource={"prefect.resource.id": f"studio.inbox.{picked.drop.id}", "prefect.resource.name": picked.drop.name},
        payload={
            "file": picked.place,
            "reason": picked.note,
            "problems": checked.problem_count,
            "first_problems": checked.problems[:TOLD_PROBLEMS],
        },
        id=picked.drop.id,
    )


@step("report")
async def report_pickups(picked: Sequence[Picked]) -> Sequence[Picked]:
    """Show on the run's page what was picked up."""
    if picked and FlowRunContext.get() is not None:
        lines = [_cells(one) for one in picked[:SHOWN_FILES]]
        await acreate_table_artifact(table=lines, key=INBOX_KEY, description=f"**{_summary(picked)}**")
    return picked


def last_state(picked: Sequence[Picked]) -> State[Any]:
    """Failed after unexpected errors, else Completed, which is called "Needs a person" when something was rejected."""
    summary, verdicts = _summary(picked), {one.verdict for one in picked}
    if Verdict.BROKEN in verdicts:
        return Failed(message=f"{summary}; everything else was done")
    if Verdict.REJECTED in verdicts:
        return Completed(name="Needs a person", message=summary)
    return Completed(message=summary)


def _summary(picked: Sequence[Picked]) -> str:
    counts = Counter(one.verdict for one in picked)
    told = [f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]]
    return ", ".join(told) or "nothing to pick up"


def _cells(picked: Picked) -> dict[str, str]:
    return {
        "file": picked.drop.path,
        "verdict": picked.verdict,
        "rows": f"{picked.rows:,}" if picked.rows else "",
        "what was done": picked.told,
        "file now": picked.place or f"s3://{picked.drop.facts.bucket}/{picked.drop.facts.key}",
        "more": picked.note,
    }
