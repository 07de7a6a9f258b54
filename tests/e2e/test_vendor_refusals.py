"""What a paid vendor would refuse ends as Refused, before an upload, a ledger row or a submission."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.api import StudioApi
from tests.e2e.staged import stage_media
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in
from tests.vendor_bad_requests import GOOD, MINGYAN, TOPVIEW, VendorBad, stage_vendor_media

ALL = [*TOPVIEW, *MINGYAN]


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio whose paid vendors are the sandbox."""
    folder = tmp_path_factory.mktemp("vendors")
    with studio_in(folder / "home", sandbox=True) as studio:
        api = StudioApi(studio)
        # A pass of a schedule that was due as the studio started may have asked the vendors for something.
        SandboxControl(studio.config.sandbox_address).reset()
        asyncio.run(stage_media(api.store(), folder))
        asyncio.run(stage_vendor_media(api.store(), folder))
        yield api


def _truth(api: StudioApi) -> dict[str, Any]:
    """The vendors' own word on what reached them."""
    return SandboxControl(api.studio.config.sandbox_address).truth()


@pytest.fixture(scope="module")
def refusals(vendors: StudioApi) -> dict[str, str]:
    """What the last state of the run tells a person, for each bad request."""
    started = {str(bad): vendors.start(bad.request()) for bad in ALL}
    told = {}
    for bad in ALL:
        run = vendors.wait(started[str(bad)], 600)
        assert (run["state"]["type"], run["state"]["name"]) == ("FAILED", "Refused"), (str(bad), run["state"])
        assert "Traceback" not in vendors.logs(started[str(bad)]), str(bad)
        told[str(bad)] = run["state"]["message"]
    return told


@pytest.mark.timeout(1200)
def test_nothing_reached_a_vendor(vendors: StudioApi, refusals: dict[str, str]) -> None:
    """Of all the bad requests, 25 or more for each vendor, no call went out and no intent was written down."""
    assert min(len(TOPVIEW), len(MINGYAN)) >= 25
    assert len(refusals) == len(ALL)
    assert vendors.submissions() == []
    for vendor, truth in _truth(vendors).items():
        orders = truth["streams"] if vendor == "zego" else truth["submissions"]
        assert (orders, truth["refusals"], truth["calls"]) == ([], [], {}), vendor


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("bad", ALL, ids=str)
def test_refusal_names_field_and_way_out(bad: VendorBad, refusals: dict[str, str]) -> None:
    """A person can find what to mend, reads how, and that nothing was spent."""
    message = refusals[str(bad)]

    assert f"- {bad.field}: " in message
    assert bad.fix in message
    assert "nothing was spent" in message


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("vendor", ["topview", "mingyan"])
def test_a_good_request_is_taken(vendor: str, vendors: StudioApi, refusals: dict[str, str]) -> None:
    """The good request that the bad ones were made from is rendered, from one submission."""
    run = vendors.wait(vendors.start(GOOD | {"provider": vendor}))

    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert len(_truth(vendors)[vendor]["submissions"]) == 1
