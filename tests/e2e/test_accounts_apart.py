"""What was begun in the sandbox is not continued at the vendors: money is spent only on what was asked to cost some."""

from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import PrefectClient

from infra.studio.config import WORK_POOL
from infra.studio.interrupted import cancel_runs_of_other_accounts
from tests.e2e.api import StudioApi


async def test_runs_of_other_accounts_are_cancelled(api: StudioApi) -> None:
    """A render that waits for its turn is cancelled, with the reason; a pass of `reconcile` stays."""
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    body = {"parameters": {}, "state": {"type": "SCHEDULED", "state_details": {"scheduled_time": later}}}
    reconcile = api.call("/deployments/name/reconcile/studio")
    render, look = (
        api.call(f"/deployments/{deployment['id']}/create_flow_run", body)["id"]
        for deployment in (api.deployment(), reconcile)
    )

    async with PrefectClient(api.studio.api_url) as client:
        assert await cancel_runs_of_other_accounts(client, WORK_POOL, "the sandbox") == 1

    cancelled = api.run(render)
    assert cancelled["state"]["type"] == "CANCELLED"
    assert "started with the sandbox" in cancelled["state"]["message"]
    assert api.run(look)["state"]["type"] == "SCHEDULED"
