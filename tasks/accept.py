"""Bring a render to the first provider that accepts it; to the next one only while nothing was accepted."""

import logging
from collections.abc import Sequence

from prefect import task

from tasks.delivery import Delivery
from tasks.errors import (
    Problem,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RequestRefused,
    StudioError,
)
from tasks.ledger import BudgetExceeded, Entry, State
from tasks.ledger.opening import open_ledger
from tasks.models import RenderRequest
from tasks.plan import RenderPlan, check_media
from tasks.providers.base import MediaSet
from tasks.submit import reserve_intent, submit_once, upload_inputs

FALLBACK_PATIENCE_SECONDS = 15
"""How long a provider that does not accept is offered a render that another one could take."""

# After these nothing was accepted, so another provider may be asked.
_NOT_ACCEPTED = (ProviderBusy, ProviderRejected, ProviderUnavailable, BudgetExceeded)

log = logging.getLogger("studio.accept")


async def submit_to_first(
    plans: Sequence[RenderPlan], request: RenderRequest, media: MediaSet, delivery: Delivery, owner: str
) -> Entry:
    """Have the render accepted by the first plan's provider that takes it.

    Args:
        plans: best first.
        request: what is asked for.
        media: the media, here on this machine.
        delivery: how the video will be handed out.
        owner: id of the flow run.

    Returns:
        The ledger entry of the accepted submission.

    Raises:
        RequestRefused: every provider refuses the media; nothing was uploaded or paid.
        AmbiguousSubmit: one provider may have accepted; no other is asked.
        StudioError: the last provider's reason for not accepting.
    """
    refused: list[Problem] = []
    last: StudioError | None = None
    for number, plan in enumerate(await put_open_first(plans), start=1):
        problems = await check_media(plan, request, media)
        if problems:
            refused += problems
            continue
        has_next = number < len(plans)
        try:
            return await _accept(plan, media, delivery, owner, FALLBACK_PATIENCE_SECONDS if has_next else None)
        except _NOT_ACCEPTED as error:
            last = error
            if not has_next:
                raise
            log.warning("not accepted, trying the next provider provider=%s error=%s", plan.provider, error)
            await give_up_intent(plan, str(error), owner)
    raise last or RequestRefused(refused)


async def _accept(
    plan: RenderPlan, media: MediaSet, delivery: Delivery, owner: str, patience_seconds: float | None
) -> Entry:
    entry = await reserve_intent(plan, delivery, owner)
    if entry.state is not State.RESERVED:
        return await submit_once(entry, {}, owner, patience_seconds)
    inputs = await upload_inputs(plan, media)
    return await submit_once(entry, inputs, owner, patience_seconds)


@task(name="open already?", task_run_name="open already?")
async def put_open_first(plans: Sequence[RenderPlan]) -> list[RenderPlan]:
    """The same plans; one that has a submission on its way goes first, whatever another would cost now."""
    if len(plans) == 1:
        return list(plans)
    async with open_ledger() as ledger:
        entries = {plan.render_key: await ledger.find(plan.render_key) for plan in plans}

    def is_idle(plan: RenderPlan) -> bool:
        entry = entries[plan.render_key]
        return entry is None or not entry.is_open or entry.state is State.RESERVED

    return sorted(plans, key=is_idle)


@task(name="give up the intent", task_run_name="give up the intent")
async def give_up_intent(plan: RenderPlan, reason: str, owner: str) -> None:
    """An intent that nobody will follow must not hold a part of the budget."""
    async with open_ledger() as ledger:
        entry = await ledger.find(plan.render_key)
        if entry is not None and entry.state is State.RESERVED and entry.reserved_by == owner:
            await ledger.mark_cancelled(entry.id, reason, charged=False, expected=State.RESERVED, owner=owner)
