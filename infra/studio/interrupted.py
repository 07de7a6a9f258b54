"""Runs that an earlier stop or crash of the whole studio cut off, and what becomes of them.

Their processes are gone and could not say so: the server still shows them as running, for ever. At the start of the
studio, before its worker takes anything on, every such run of its pool is one of them.

Restartable runs are scheduled again here. Reporting them as crashed and leaving the rest to the automation
`studio-restart-crashed` would not do: Prefect (3.8.8) holds an event back while it waits for the state before it, and a
restarted server has forgotten that it saw that one, so the automation would fire a quarter of an hour later.
"""

from collections.abc import Sequence
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Cancelled, Crashed, Scheduled

RESTARTABLE_TAG = "restartable"
AWAITING_RESTART = "AwaitingRestart"
_PAGE = 200
_MESSAGE = "The studio stopped while this run was going on."
_GOING_ON = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


async def interrupted_runs(client: PrefectClient, pool: str, states: Sequence[StateType] = _GOING_ON) -> list[FlowRun]:
    """All runs of a work pool that the server takes for alive."""
    found: list[FlowRun] = []
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states)))),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
            limit=_PAGE,
            offset=len(found),
        )
        found += page
        if len(page) < _PAGE:
            return found


async def settle_interrupted(client: PrefectClient, runs: Sequence[FlowRun]) -> None:
    """Tell the server the truth: cancelled where that was asked for, to be started again where it may, else crashed."""
    for run in runs:
        await client.set_flow_run_state(run.id, _truth(run), force=True)


async def cancel_runs_of_other_accounts(client: PrefectClient, pool: str, before: str) -> int:
    """Cancel what was begun, or asked for, while the studio used other accounts; the schedules' own runs stay.

    Call it before a worker takes anything on: a render that was tried in the sandbox must not be paid for at a vendor,
    nor the other way round.

    Args:
        client: of the Prefect server.
        pool: the work pool.
        before: what the accounts were, for people.

    Returns:
        How many runs were cancelled.
    """
    runs = await interrupted_runs(client, pool, [*_GOING_ON, StateType.SCHEDULED, StateType.PAUSED])
    asked_for = [run for run in runs if RESTARTABLE_TAG in run.tags and not run.auto_scheduled]
    message = f"It was started with {before}, which this studio does not use now. Run it again if it is still wanted."
    for run in asked_for:
        await client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
    return len(asked_for)


def _truth(run: FlowRun) -> State[Any]:
    if run.state_type == StateType.CANCELLING:
        return Cancelled(message=_MESSAGE)
    if RESTARTABLE_TAG in run.tags:
        return Scheduled(name=AWAITING_RESTART, message=f"{_MESSAGE} It is started again.")
    return Crashed(message=_MESSAGE)
