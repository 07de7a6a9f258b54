"""Bring a render to the first provider that accepts it; to the next one only while nothing was accepted."""

import logging
from collections.abc import Sequence

from tasks.delivery import Delivery
from tasks.errors import (
    Problem,
    ProviderBusy,
    ProviderRejected,
    ProviderUnavailable,
    RequestRefused,
    StudioError,
)
from tasks.ledger import BudgetExceeded, Entry, State, StateConflict
from tasks.ledger.opening import open_ledger
from tasks.models import RenderRequest
from tasks.plan import RenderPlan, check_media
from tasks.providers.base import MediaSet
from tasks.step import step
from tasks.submit import reserve_intent, submit_once, upload_inputs

FALLBACK_PATIENCE_SECONDS = 15
"""How long a provider that does not accept is offered a render that another one could take."""

# After these nothing was accepted, so another provider may be asked.
_NOT_ACCEPTED = (ProviderBusy, ProviderRejected, ProviderUnavailable, BudgetExceeded)

log = logging.getLogger("studio.accept")


async def submit_to_first(
    plans: Sequence[RenderPlan],
    request: RenderRequest,
    media: MediaSet,
    delivery: Delivery,
    owner: str,
    *,
    patience_seconds: float | None = None,
) -> Entry:
    """Have the render accepted by the first plan's provider that takes it.

    Args:
        plans: best first.
        request: what is asked for.
        media: the media, here on this machine.
        delivery: how the video will be handed out.
        owner: id of the flow run.
        patience_seconds: how long the last one is offered it while it does not accept; None takes the setting.

    Returns:
        The ledger entry of the accepted submission.

    Raises:
        RequestRefused: every provider refuses the media; nothing was uploaded or paid.
        AmbiguousSubmit: one provider may have accepted; no other is asked.
        StudioError: the last provider's reason for not accepting.
    """
    refused: list[Problem] = []
    last: StudioError | None = None
    under_way = await find_under_way(plans)
    ordered = sorted(plans, key=lambda plan: plan.render_key not in under_way)
    for number, plan in enumerate(ordered, start=1):
        # What is on its way is followed, even if this studio would refuse it by now.
        problems = [] if plan.render_key in under_way else await check_media(plan, request, media)
        if problems:
            refused += problems
            continue
        has_next = number < len(ordered)
        try:
            patience = FALLBACK_PATIENCE_SECONDS if has_next else patience_seconds
            return await _accept(plan, media, delivery, owner, patience)
        except _NOT_ACCEPTED as error:
            last = error
            if not has_next:
                raise
            held = await give_up_intent(plan, str(error), owner)
            if held is not None and held.state is State.RESERVED:
                # Another run still means to submit there.
                raise
            if held is not None:
                return await submit_once(held, {}, owner)
            log.warning("not accepted, trying the next provider provider=%s error=%s", plan.provider, error)
    raise last or RequestRefused(refused)


async def _accept(
    plan: RenderPlan, media: MediaSet, delivery: Delivery, owner: str, patience_seconds: float | None
) -> Entry:
    entry = await reserve_intent(plan, delivery, owner)
    if entry.state is not State.RESERVED:
        return await submit_once(entry, {}, owner, patience_seconds)
    inputs = await upload_inputs(plan, media)
    return await submit_once(entry, inputs, owner, patience_seconds)


@step("under way already?")
async def find_under_way(plans: Sequence[RenderPlan]) -> set[str]:
    """Render keys of plans that have a submission on its way: they go first, whatever another would cost now."""
    if len(plans) == 1:
        return set()
    async with open_ledger() as ledger:
        entries = [await ledger.find(plan.render_key) for plan in plans]
    return {entry.render_key for entry in entries if entry and entry.is_open and entry.state is not State.RESERVED}


@step("give up the intent")
async def give_up_intent(plan: RenderPlan, reason: str, owner: str) -> Entry | None:
    """Give up what nobody will follow, so that it holds no budget; what others follow is theirs.

    Returns:
        The row if it is still open, None when no submission of this plan is on its way or meant any more.
    """
    async with open_ledger() as ledger:
        entry = await ledger.find(plan.render_key)
        if entry is None or not entry.is_open:
            return None
        if entry.state is not State.RESERVED or entry.reserved_by != owner:
            return entry
        try:
            await ledger.mark_cancelled(
                entry.id, reason, charged=False, expected=State.RESERVED, owner=owner, since=entry.updated_at
            )
        except StateConflict as conflict:
            return conflict.entry if conflict.entry.is_open else None
        return None
