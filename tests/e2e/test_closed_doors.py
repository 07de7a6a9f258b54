"""What a web page or another program on this machine must not be able to do."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.bad_requests import GOOD
from tests.e2e.api import StudioApi


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example:80"}],
    ids=str,
)
def test_foreign_pages_get_nothing_from_prefect(api: StudioApi, headers: dict[str, str]) -> None:
    """A page from elsewhere can neither read the blocks nor start a command, whatever name it came by."""
    body = {"include_secrets": True}

    answer = httpx.post(f"{api.studio.api_url}/block_documents/filter", json=body, headers=headers, timeout=30)

    assert answer.status_code == 403
    assert "secret" not in answer.text


def test_own_pages_are_served(api: StudioApi) -> None:
    """The UI's own origin is let in, by both names of this machine."""
    for name in ("127.0.0.1", "localhost"):
        origin = f"http://{name}:{api.studio.config.prefect_port}"
        answer = httpx.get(f"{api.studio.api_url}/health", headers={"Origin": origin}, timeout=30)
        assert answer.status_code == 200


@pytest.fixture(scope="module")
def archived(api: StudioApi) -> dict[str, Any]:
    """An ended run of a good request."""
    run = api.wait(api.start(GOOD))
    assert run["state"]["type"] == "COMPLETED", run["state"]
    return run


def test_store_cannot_be_emptied_without_a_key(api: StudioApi, archived: dict[str, Any]) -> None:
    """The object store's internal pages are shut: nobody deletes a bucket's data by opening an address."""
    for offset in (1000, 1001, 1002):
        url = f"http://127.0.0.1:{api.studio.config.s3_port + offset}/col/delete?collection=archive"
        try:
            assert httpx.get(url, timeout=30).status_code in {401, 403, 404}
        except httpx.TransportError:
            continue  # not even listening

    assert httpx.get(api.facts(archived["id"])["link"], timeout=30).status_code == 200


def _object(api: StudioApi, run: dict[str, Any], fact: str) -> tuple[str, str]:
    bucket, _, key = api.facts(run["id"])[fact].removeprefix("s3://").partition("/")
    return bucket, key


@pytest.mark.parametrize("fact", ["manifest", "poster", "video"])
def test_damaged_delivery_is_made_anew_from_the_original(api: StudioApi, archived: dict[str, Any], fact: str) -> None:
    """A broken or missing part is no 'archived already' and no dead end: it is delivered again, without a render."""
    jobs = api.jobs()
    asyncio.run(api.store().put_bytes(*_object(api, archived, fact), b"{ broken"))
    if fact == "poster":
        asyncio.run(api.store().delete(*_object(api, archived, fact)))

    run = api.wait(api.start(GOOD))

    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert api.facts(run["id"])["archived before"] == "no"
    assert httpx.get(api.facts(run["id"])["link"], timeout=30).content[4:8] == b"ftyp"
    assert api.jobs() == jobs
