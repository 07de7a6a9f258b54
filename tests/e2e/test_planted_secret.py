"""Secrets stay in the few files that exist to hold them, whatever goes right or wrong in a paid render or live show."""

import asyncio
import base64
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import pytest

from infra.studio.config import SANDBOX_ZEGO_APP_ID
from infra.studio.parts.object_store import ObjectStorePart
from infra.studio.secret_files import make_sandbox_keys, read_webhook_secret
from tests.e2e.api import StudioApi
from tests.e2e.planted_shows import SIGNATURE, SOCKET_ADDRESS, Shows, socket_tokens
from tests.media_files import write_clip, write_wav
from tests.secret_search import SecretSearch, files_below, objects_in, prefect_answers
from tests.servers.sandbox import PROJECT
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in
from tests.talking_video import voice_like

pytestmark = pytest.mark.timeout(1800)

VENDORS = ("topview", "mingyan")
HOLDERS = {
    "sandbox.json": "the sandbox and the credentials blocks are set up from it",
    "objects/s3.json": "SeaweedFS reads its identities from it",
    "webhook.secret": "makes webhook addresses, read when the studio starts",
}
"""Files that exist to hold a secret, and why; each is readable by its owner only."""
VENDORS_SIDE = "sandbox/"
"""The sandbox's books stand for those of the vendors: there the keys were quoted from, and the account is named."""

# Saves a credentials block, whose secrets come over standard input.
_SAVE_BLOCK = """
import asyncio, json, sys
from pydantic import SecretStr
from tasks import blocks
given = json.load(sys.stdin)
hidden = {name: SecretStr(value) for name, value in given["secrets"].items()}
block = getattr(blocks, given["kind"])(account="sandbox", base_url=given["base_url"], **hidden, **given["plain"])
asyncio.run(block.asave(given["name"], overwrite=True))
"""


@dataclass
class Lab:
    """A studio with the sandbox, and the secrets that were planted in it."""

    api: StudioApi
    secrets: dict[str, str]
    folder: Path

    @cached_property
    def sandbox(self) -> SandboxControl:
        """The control side of its sandbox."""
        return SandboxControl(self.api.studio.config.sandbox_address)

    def save_block(self, vendor: str, key: str) -> None:
        """Save the vendor's credentials block with this key."""
        kind, path, key_name = {
            "topview": ("TopViewCredentials", "topview", "api_key"),
            "mingyan": ("MingyanCredentials", "mingyan/kyyReactApiServer", "api_key"),
            "zego": ("ZegoCredentials", "zego", "server_secret"),
        }[vendor]
        hidden = {key_name: key}
        if vendor == "topview":
            hidden["uid"] = self.secrets["TopView user id"]
        given = {
            "kind": kind,
            "name": f"{vendor}-sandbox",
            "base_url": f"{self.api.studio.config.sandbox_address}/{path}",
            "secrets": hidden,
            "plain": {"app_id": SANDBOX_ZEGO_APP_ID, "unverified_socket": True} if vendor == "zego" else {},
        }
        subprocess.run(
            [sys.executable, "-c", _SAVE_BLOCK],
            input=json.dumps(given),
            env=self.api.studio.environment,
            cwd=PROJECT,
            text=True,
            check=True,
            timeout=120,
        )

    def request(self, vendor: str, title: str) -> dict[str, Any]:
        """A request that nobody has made before."""
        level = 0.3 + 0.6 * np.random.default_rng(uuid4().int).random()
        name = uuid4().hex[:12]
        speech = write_wav(self.folder / f"{name}.wav", voice_like(1.0, 16_000) * level)
        asyncio.run(self.api.store().put_bytes("staging", f"secret/{name}.wav", speech.read_bytes()))
        return {
            "title": title,
            "provider": vendor,
            "avatar": {"video": "s3://staging/secret/clip.mp4"},
            "speech": {"audio": f"s3://staging/secret/{name}.wav"},
        }

    def ends(self, request: dict[str, Any], state: str) -> None:
        """Run a request, which must end in a state."""
        run = self.api.wait(self.api.start(request))
        assert run["state"]["name"] == state, (request["title"], run["state"])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A studio whose secrets are random; renders of every kind have gone through it."""
    folder = tmp_path_factory.mktemp("planted")
    with studio_in(folder / "home", sandbox=True) as studio:
        config = studio.config
        keys = make_sandbox_keys(config.sandbox_keys_file)
        planted = {
            "TopView user id": keys.topview_uid,
            "TopView key": keys.topview_key,
            "mingyan key": keys.mingyan_key,
            "ZEGO ServerSecret": keys.zego_server_secret,
            "ZEGO CallbackSecret": keys.zego_callback_secret,
            "wrong ZEGO ServerSecret": f"wrong-{secrets.token_hex(16)}",
            "wrong TopView key": f"wrong-{secrets.token_hex(16)}",
            "wrong mingyan key": f"wrong-{secrets.token_urlsafe(16)}",
            "S3 secret key": ObjectStorePart(config).credentials().secret_key,
            "webhook secret": read_webhook_secret(config.webhook_secret_file),
        }
        found = Lab(StudioApi(studio), planted, folder)
        clip = write_clip(folder / "clip.mp4")
        asyncio.run(found.api.store().put_bytes("staging", "secret/clip.mp4", clip.read_bytes()))
        with ThreadPoolExecutor(len(VENDORS) + 1) as pool:
            shows = pool.submit(_broadcast_all_kinds, found)
            list(pool.map(lambda vendor: _render_all_kinds(found, vendor), VENDORS))
            shows.result()
        _reconcile(found.api)
        planted |= socket_tokens(studio.home / VENDORS_SIDE)
        yield found


def _broadcast_all_kinds(lab: Lab) -> None:
    shows = Shows(
        lab.api,
        SandboxControl(lab.sandbox.address),
        secret=lab.secrets["ZEGO ServerSecret"],
        callback_secret=lab.secrets["ZEGO CallbackSecret"],
        save_block=lambda secret: lab.save_block("zego", secret),
    )
    shows.broadcast_all_kinds(lab.secrets["wrong ZEGO ServerSecret"])


def _render_all_kinds(lab: Lab, vendor: str) -> None:
    """One good render, and one of each kind that fails, at a vendor that repeats the key wherever it can."""
    right = lab.secrets["TopView key" if vendor == "topview" else "mingyan key"]
    wrong = lab.secrets["wrong TopView key" if vendor == "topview" else "wrong mingyan key"]
    lab.ends(lab.request(vendor, "good"), "Completed")

    lab.save_block(vendor, wrong)
    lab.ends(lab.request(vendor, "wrong key"), "Failed")
    lab.save_block(vendor, right)

    lab.sandbox.arm(vendor, "submit", "lost_answer")
    lost = lab.request(vendor, "lost answer")
    lab.ends(lost, "Needs a person")
    # TopView is asked for its credit log, which holds the key in clear; mingyan has nothing to ask for.
    lab.ends(lost, "Completed" if vendor == "topview" else "Needs a person")

    quoting = f"not with Authorization: Bearer {right}"
    # A message shows the beginning of an answer: 130 signs later the key would be cut in two.
    for status, said in ((400, quoting), (400, "." * 130 + quoting), (500, quoting)):
        lab.sandbox.arm(vendor, "submit", "status", status=status, body={"error": said})
        lab.ends(lab.request(vendor, f"quoted with {status}"), "Failed" if status == 400 else "Needs a person")
    lab.sandbox.arm(vendor, "submit", "business", code="4006" if vendor == "topview" else 403, message=quoting)
    lab.ends(lab.request(vendor, "quoted by code"), "Failed")
    lab.sandbox.arm(vendor, "submit", "fail", reason=quoting)
    lab.ends(lab.request(vendor, "quoted by the job"), "Failed")
    lab.sandbox.arm(vendor, "query", "unknown_word", word=f"odd-{right}")
    lab.ends(lab.request(vendor, "quoted as a status"), "Completed")

    lab.ends(lab.request(vendor, "bad") | {"output": {"fps": 7}}, "Refused")
    _kill_in_the_middle(lab, vendor)


def _kill_in_the_middle(lab: Lab, vendor: str) -> None:
    lab.sandbox.arm(vendor, "query", "hold_before")
    run_id = lab.api.start(lab.request(vendor, "crash"))
    lab.api.wait_for_step(run_id, "wait for the render")
    processes = lab.api.flow_processes(run_id)
    assert processes
    for process in processes:
        process.kill()
    run = lab.api.wait(run_id)
    assert (run["state"]["name"], run["run_count"]) == ("Completed", 2), run["state"]


def _reconcile(api: StudioApi) -> None:
    """One pass over what was left; it reads the vendors' books too."""
    deployment = api.call("/deployments/name/reconcile/studio")["id"]
    run = api.call(f"/deployments/{deployment}/create_flow_run", {"parameters": {"unattended_minutes": 0}})
    assert api.wait(run["id"])["state"]["type"] in {"COMPLETED", "FAILED"}


@pytest.fixture(scope="module")
def search(lab: Lab) -> SecretSearch:
    """For the planted secrets."""
    return SecretSearch(lab.secrets)


def _found_in_files(search: SecretSearch, home: Path) -> set[str]:
    return {
        found
        for where, content in files_below(home)
        if where not in HOLDERS and not where.startswith(VENDORS_SIDE)
        for found in search.found_in(where, content)
    }


def _found_in_prefect(search: SecretSearch, api: StudioApi) -> set[str]:
    api.wait_for_all_events()
    return {found for place in prefect_answers(api.studio.api_url) for found in search.found_in(*place)}


def _found_in_buckets(search: SecretSearch, api: StudioApi) -> set[str]:
    async def look() -> set[str]:
        return {
            found async for place in objects_in(api.store(), "staging", "archive") for found in search.found_in(*place)
        }

    return asyncio.run(look())


def test_files_hold_no_secret(lab: Lab, search: SecretSearch) -> None:
    """Logs, databases, spools and results: no secret in any form outside of the files that exist to hold one."""
    found = _found_in_files(search, lab.api.studio.home)

    assert set() == found, "\n".join(sorted(found))


@pytest.mark.parametrize("name", HOLDERS)
def test_files_that_hold_a_secret_are_private(name: str, lab: Lab, search: SecretSearch) -> None:
    """The exceptions are real ones, they hold a secret, and nobody but the owner reads them."""
    path = lab.api.studio.home / name

    assert search.found_in(name, path.read_bytes())
    assert path.stat().st_mode & 0o077 == 0


def test_prefect_tells_no_secret(lab: Lab, search: SecretSearch) -> None:
    """Runs, states, parameters, logs, artifacts, events, deployments with job variables, variables, blocks: nothing."""
    found = _found_in_prefect(search, lab.api)

    assert set() == found, "\n".join(sorted(found))


def test_buckets_hold_no_secret(lab: Lab, search: SecretSearch) -> None:
    """No object, name or metadata in archive and staging: records, manifests, videos."""
    assert set() == _found_in_buckets(search, lab.api)


def test_credit_log_was_read_and_its_key_is_nowhere(lab: Lab, search: SecretSearch) -> None:
    """TopView's credit log holds the key in clear; it was read, and the ledger has the charges without the key."""
    calls = lab.sandbox.truth()["topview"]["calls"]

    assert calls["credit_logs"] >= 1
    ledger = [place for place in files_below(lab.api.studio.home) if place[0].startswith("ledger.db")]
    assert any(b"credits" in content for _, content in ledger)
    assert set() == {found for place in ledger for found in search.found_in(*place)}


def test_shows_were_on_air_and_left_no_signature_or_address(lab: Lab) -> None:
    """Drive sockets were opened, and neither their addresses nor a signature of a call or callback are anywhere."""
    assert len([name for name in lab.secrets if name.startswith("drive socket token")]) >= 3
    places = [place for place in files_below(lab.api.studio.home) if not place[0].startswith(VENDORS_SIDE)]
    places += prefect_answers(lab.api.studio.api_url)

    found = {where for where, content in places if SIGNATURE.search(content) or SOCKET_ADDRESS.search(content)}

    assert set() == found


@pytest.mark.parametrize(
    "written",
    [
        "POST /zego/?Action=Stop&AppId=1&SignatureNonce=00&Signature=43e5cfcca828314675f91b001390566a&Timestamp=1",
        "params={'Signature': '43e5cfcca828314675f91b001390566a'}",
        '"{\\"Nonce\\": \\"1\\", \\"Signature\\": \\"5bd59fd62953a8059fb7eaba95720f66d19e4517\\"}"',
    ],
)
def test_search_finds_a_signature(written: str) -> None:
    """The pattern finds what it is for, in an address, in Python and in JSON within JSON; no link of the store."""
    assert SIGNATURE.search(written.encode())
    assert SOCKET_ADDRESS.search(b"cannot open wss://127.0.0.1:9/ws?Token=abcdefgh12")
    assert not SIGNATURE.search(f"http://s3/x?X-Amz-Signature={'0' * 64}&X-Amz-Date=1".encode())


@pytest.mark.parametrize("form", ["plain", "first half", "hex", "URL-quoted", "base64+0", "base64+1", "base64+2"])
def test_search_finds_a_canary_in_a_file(form: str, tmp_path: Path) -> None:
    """The search can fail: what is written into a file is found there, in each of the forms."""
    canary = f"canary/{secrets.token_hex(8)}"
    search = SecretSearch({"canary": canary})
    before = {"base64+1": b"x", "base64+2": b"xy"}.get(form, b"")
    written = {
        "plain": canary.encode(),
        "first half": canary[:14].encode(),
        "hex": canary.encode().hex().encode(),
        "URL-quoted": quote(canary, safe="").encode(),
    }
    content = written.get(form) or base64.b64encode(before + canary.encode() + b"and more")
    (tmp_path / "a.log").write_bytes(b"some line " + content + b"\n")

    found = _found_in_files(search, tmp_path)

    assert any(told.startswith(f"canary ({form}) in a.log") for told in found)


def test_search_finds_a_canary_in_databases_prefect_and_buckets(lab: Lab) -> None:
    """The same in a database, in a run's parameters and in an object: all that is searched is really looked at."""
    canary = f"canary-{secrets.token_hex(12)}"
    search, api = SecretSearch({"canary": canary}), lab.api
    api.wait(api.start({"title": canary, "provider": "nobody"}))
    asyncio.run(api.store().put_bytes("archive", "secret/canary.txt", f"so: {canary}".encode()))

    files = " ".join(_found_in_files(search, api.studio.home))
    assert "prefect.db, table flow_run" in files
    places = ("Prefect's flow_runs", "Prefect's logs", "Prefect's events")
    end = time.monotonic() + 60
    # A run's process sends its last lines after the run has ended.
    while missing := [place for place in places if place not in " ".join(_found_in_prefect(search, api))]:
        assert time.monotonic() < end, f"not found in {missing}"
    assert "archive/secret/canary.txt" in " ".join(_found_in_buckets(search, api))
