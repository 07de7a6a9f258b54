"""The parts of a large batch as runs of their own: started once, followed through outages, asked to end for certain."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.states import Completed, Crashed, Running
from prefect.testing.utilities import prefect_test_harness

from tasks.batch import shards
from tasks.batch.request import ShardRequest
from tasks.batch.stopping import Stopping


@flow(name=shards.SHARD_FLOW, validate_parameters=False)
async def part(shard: Any) -> None:
    """Stands in for the flow; no worker runs it."""


@flow
async def whole() -> None:
    """Stands in for the run that answers for the batch."""


@pytest.fixture(scope="module", autouse=True)
def prefect_server() -> Iterator[None]:
    """A Prefect server of this module, with the deployment of the parts."""
    with prefect_test_harness(server_startup_timeout=120):

        async def deploy() -> None:
            async with get_client() as client:
                await client.create_deployment(await client.create_flow(part), "studio")

        asyncio.run(deploy())
        yield


@pytest.fixture
async def client() -> AsyncIterator[PrefectClient]:
    """Of that server."""
    async with get_client() as client:
        yield client


async def begin(client: PrefectClient, *, times: int = 1) -> str:
    """A run of a batch that was started so many times."""
    run = await client.create_flow_run(whole)
    for _ in range(times):
        await client.set_flow_run_state(run.id, Running(), force=True)
    return str(run.id)


def orders(run_id: str, count: int, **facts: Any) -> list[ShardRequest]:
    return [
        ShardRequest(batch_id="ab" * 16, run_id=run_id, shard=number, of=count, **facts)
        for number in range(1, count + 1)
    ]


async def state_of(client: PrefectClient, run_id: UUID) -> StateType | None:
    return (await client.read_flow_run(run_id)).state_type


async def test_a_run_that_is_asked_to_end_starts_no_more_parts(client: PrefectClient) -> None:
    """Neither at the beginning nor in the middle; what was started is returned, to be asked to end."""
    run_id, stopping = await begin(client), Stopping()

    def one_by_one() -> Iterator[ShardRequest]:
        for order in orders(run_id, 3):
            if order.shard == 3:
                stopping.asked.set()
            yield order

    assert len(await shards._start_all(client, run_id, one_by_one(), stopping)) == 2
    assert await shards._start_all(client, run_id, orders(run_id, 3), stopping) == []


async def test_a_retry_works_again_on_parts_that_have_ended_and_joins_the_others(client: PrefectClient) -> None:
    """A retry in the UI keeps the id of the run, so the ended parts would be found again and nothing would happen."""
    run_id = await begin(client)
    first = await shards._start_all(client, run_id, orders(run_id, 3), Stopping())
    assert await shards._start_all(client, run_id, orders(run_id, 3), Stopping()) == first
    await client.set_flow_run_state(first[0], Completed(), force=True)
    # One that has just crashed is started again by an automation.
    await client.set_flow_run_state(first[1], Crashed(), force=True)

    await client.set_flow_run_state(UUID(run_id), Running(), force=True)
    second = await shards._start_all(client, run_id, orders(run_id, 3), Stopping())
    assert second[0] not in first
    assert second[1:] == first[1:]

    await client.set_flow_run_state(UUID(run_id), Running(), force=True)
    assert await shards._start_all(client, run_id, orders(run_id, 3), Stopping()) == second


async def test_parts_end_when_this_run_is_asked_to_or_its_time_is_over(client: PrefectClient) -> None:
    """All that have not ended are asked, whatever the state they are in."""
    for stopped in (True, False):
        run_id, stopping = await begin(client), Stopping()
        ids = await shards._start_all(client, run_id, orders(run_id, 3), stopping)
        await client.set_flow_run_state(ids[0], Running(), force=True)
        await client.set_flow_run_state(ids[1], Completed(), force=True)
        if stopped:
            stopping.asked.set()
        await asyncio.wait_for(
            shards._until_ended(client, ids, stopping, time.monotonic() + (60 if stopped else 0)), 50
        )

        assert await state_of(client, ids[0]) in {StateType.CANCELLING, StateType.CANCELLED}
        assert await state_of(client, ids[1]) is StateType.COMPLETED
        assert await state_of(client, ids[2]) is StateType.CANCELLED


async def test_an_outage_of_prefect_is_outlasted(client: PrefectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts go on meanwhile, so the run that waits for them must not fail, nor ask them in vain to end."""
    monkeypatch.setattr(shards, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(shards, "CANCEL_AGAIN_SECONDS", 0.05)
    run_id = await begin(client)
    ids = await shards._start_all(client, run_id, orders(run_id, 2), Stopping())
    real, broken = client._client.send, [0]

    async def send(*arguments: Any, **named: Any) -> Any:
        if broken[0] > 0:
            broken[0] -= 1
            raise ConnectionError("Prefect is away")
        return await real(*arguments, **named)

    monkeypatch.setattr(client._client, "send", send)
    broken[0] = 3
    await client_completes(ids[0])
    await asyncio.wait_for(shards._until_ended(client, ids[:1], Stopping(), time.monotonic() + 30), 40)
    assert broken[0] == 0

    broken[0] = 3
    await asyncio.wait_for(shards._cancel(client, ids[1:]), 40)
    assert await state_of(client, ids[1]) is StateType.CANCELLED


async def client_completes(run_id: UUID) -> None:
    async with get_client() as other:
        await other.set_flow_run_state(run_id, Completed(), force=True)


async def test_a_run_that_the_server_does_not_tell_of_has_not_ended(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is not the end: the batch would be reported while its parts are at work. Nor does it hang cancelling."""
    monkeypatch.setattr(shards, "LOOK_SECONDS", 0.05)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(shards._until_ended(client, [uuid4()], Stopping(), time.monotonic() + 60), 0.5)
    await asyncio.wait_for(shards._cancel(client, [uuid4()]), 40)


async def test_more_runs_than_the_server_tells_of_at_once_are_read(
    client: PrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch may have more parts than fit an answer."""
    monkeypatch.setattr(shards, "MOST_IN_ANSWER", 2)
    run_id = await begin(client)
    ids = await shards._start_all(client, run_id, orders(run_id, 5), Stopping())

    assert set(await shards._read(client, ids)) == set(ids)
    assert await shards.cancel_shards_of(run_id) == 5


async def test_cancelling_a_batch_asks_its_own_parts_only(client: PrefectClient) -> None:
    """Other batches go on, and so does the run that archives what was accepted for the cancelled one."""
    mine, other = await begin(client), await begin(client)
    ids = await shards._start_all(client, mine, orders(mine, 3), Stopping())
    await client.set_flow_run_state(ids[0], Completed(), force=True)
    others = await shards._start_all(client, other, orders(other, 1), Stopping())
    finishing = await shards.start_shard(orders(mine, 1, mode="finish")[0], once=f"{mine}-finish")

    assert await shards.cancel_shards_of(mine) == 2
    assert {await state_of(client, each) for each in ids[1:]} == {StateType.CANCELLED}
    assert {await state_of(client, each) for each in (*others, finishing)} == {StateType.SCHEDULED}
    assert await shards.cancel_shards_of(mine) == 0
