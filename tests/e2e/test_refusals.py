"""Requests that are refused before any work: each names its field and the way out, and leaves nothing behind."""

import pytest

from tests.bad_requests import FORM, GOOD, MEDIA, Bad
from tests.e2e.api import StudioApi


@pytest.fixture(scope="module")
def refusals(api: StudioApi) -> dict[str, str]:
    """What the last state of the run tells a person, for each bad request by its name."""
    before = (api.jobs(), api.submissions())
    started = {bad.name: api.start(bad.request()) for bad in [*FORM, *MEDIA]}
    told = {}
    for name, run_id in started.items():
        run = api.wait(run_id, 600)
        assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", "Refused"), (name, run["state"])
        assert "Traceback" not in api.logs(run_id), name
        told[name] = run["state"]["message"]
    assert (api.jobs(), api.submissions()) == before
    return told


@pytest.mark.timeout(900)
def test_there_are_enough_ways_to_get_it_wrong(refusals: dict[str, str]) -> None:
    """All of them went through the API of the deployment, and none left a row or a job."""
    assert len(refusals) == len(FORM) + len(MEDIA) >= 25


@pytest.mark.parametrize("bad", [*FORM, *MEDIA], ids=lambda bad: bad.name)
def test_refusal_names_field_and_way_out(bad: Bad, refusals: dict[str, str]) -> None:
    """A person can find what to mend, reads how, and that nothing was spent."""
    message = refusals[bad.name]

    assert f"- {bad.field}: " in message
    assert bad.fix in message
    assert "nothing was spent" in message


def test_a_good_request_is_still_fine(api: StudioApi) -> None:
    """The studio is not worse for all that: the good request that the bad ones were made from is rendered."""
    run = api.wait(api.start(GOOD))

    assert run["state"]["type"] == "COMPLETED", run["state"]


def test_run_without_parameters_is_refused_like_any_other(api: StudioApi) -> None:
    """A run with an empty form ends at once and says what is missing; it does not die and come back for ever."""
    run_id = api.call(f"/deployments/{api.deployment()['id']}/create_flow_run", {"parameters": {}})["id"]

    run = api.wait(run_id)

    assert run["state"]["name"] == "Refused"
    assert "- avatar: is missing" in run["state"]["message"]
