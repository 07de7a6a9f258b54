"""What `studio smoke` does once it knows the studio's address: plan the cheapest render, and read what came of it."""

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import Log
from prefect.client.schemas.sorting import LogSort

from deployments.samples import SECONDS, cut_recording, film_picture, latest_start
from infra.presenter import PRESENTER
from tasks.blocks import TopViewCredentials, load_block
from tasks.errors import RequestRefused, StudioError
from tasks.http import own_network
from tasks.models import ProviderName
from tasks.probe import probe_media
from tasks.providers.base import Estimate, MediaRole, ProbedMedia
from tasks.registry import get_provider
from tasks.request import read_request
from tasks.settings import get_settings

DIFFERENCE = "contract difference"
LOG_SECONDS = 15.0
_LAST_LINE = "Finished in state"
_PAGE = 200


@dataclass(frozen=True)
class SmokePlan:
    """The one render that will be made, as far as it is known before.

    Args:
        provider: who renders.
        account: label of the account that pays.
        endpoint: where it is called.
        is_sandbox: the endpoint is on our own network, so it is not the vendor's.
        what: what will be rendered, for people.
        request: the fields of the form; media are local files.
        estimate: expected cost.
        balance: what the account has left, for people; empty where nobody can tell.
    """

    provider: ProviderName
    account: str
    endpoint: str
    is_sandbox: bool
    what: str
    request: dict[str, Any]
    estimate: Estimate
    balance: str = ""

    @property
    def is_free(self) -> bool:
        """Whether it surely costs nothing."""
        return self.estimate.amount == 0


@dataclass(frozen=True)
class RunLog:
    """What a run's log says about the contract."""

    differences: list[str] = field(default_factory=list)
    is_complete: bool = True


async def make_plan(name: ProviderName, folder: Path, *, avatar_id: str = "", again: bool = False) -> SmokePlan:
    """Put the cheapest request together and check it as the run will, before anything is spent.

    Args:
        name: whose render is tried.
        folder: room for the media, needed until the run has started.
        avatar_id: TopView's stock avatar; empty takes the first of the catalogue.
        again: make a request that was never rendered before.

    Raises:
        RequestRefused: the provider is not set up, or refuses the request.
        ProviderError: the account cannot be asked, for example for its key.
    """
    provider = await get_provider(name)
    start = secrets.randbelow(round(latest_start() * 1000)) / 1000 if again else 0.0
    recording = await asyncio.to_thread(cut_recording, folder / "speech.wav", start=start)
    balance = ""
    if name == "topview":
        avatar_id, balance = await _look_at_topview(avatar_id)
    avatar, shown = await asyncio.to_thread(_avatar, name, folder, avatar_id)
    request = {
        "title": f"Smoke test of {name}",
        "avatar": avatar,
        "speech": {"kind": "recording", "audio": str(recording)},
        "provider": name,
        "output": {"resolution": "512p"},
        "topview": {"mode": "avatar1"},
        "tags": ["smoke"],
    }
    stand_in = read_request(_with_addresses(request))
    media = await _probed(request)
    if problems := await provider.check(stand_in, media):
        raise RequestRefused(problems)
    return SmokePlan(
        provider=name,
        account=provider.account,
        endpoint=provider.endpoint,
        is_sandbox=bool(own_network(provider.endpoint)),
        what=f"{shown}, saying {SECONDS:g} s of the bundled recording",
        request=request,
        estimate=provider.estimate(stand_in, media),
        balance=balance,
    )


def _avatar(name: ProviderName, folder: Path, avatar_id: str) -> tuple[dict[str, Any], str]:
    """The part of the request that says who speaks, and the same for people."""
    if name == "topview":
        return {"kind": "stock", "avatar_id": avatar_id}, f"TopView's stock avatar {avatar_id} in its cheapest mode"
    if name == "mingyan":
        clip = film_picture(folder / "presenter.mp4")
        return {"kind": "clip", "video": str(clip)}, f"a clip of {SECONDS:g} s of the bundled presenter"
    return {"kind": "portrait", "image": str(PRESENTER)}, "the bundled presenter's picture"


async def _look_at_topview(avatar_id: str) -> tuple[str, str]:
    """The avatar to take, and what the account has left; free calls that also try the key."""
    client = (await load_block(TopViewCredentials, get_settings().topview_block)).get_client()
    left = (await client.credit_balance()).remain_credit
    if not avatar_id:
        async for avatar in client.catalogs.avatars():
            if avatar.aiavatar_id:
                avatar_id = avatar.aiavatar_id
                break
    if not avatar_id:
        raise StudioError("TopView's catalogue has no avatar.", fix="Name one with --avatar-id.")
    return avatar_id, "unknown" if left is None else f"{left} credits"


def _with_addresses(request: dict[str, Any]) -> dict[str, Any]:
    """The request as it will be once its files are staged."""
    staged = dict(request)
    for group, name in (("avatar", "image"), ("avatar", "video"), ("speech", "audio")):
        if name in request[group]:
            staged[group] = {**request[group], name: f"s3://staging/{Path(request[group][name]).name}"}
    return staged


async def _probed(request: dict[str, Any]) -> dict[MediaRole, ProbedMedia]:
    roles: dict[MediaRole, str | None] = {
        "avatar": request["avatar"].get("video") or request["avatar"].get("image"),
        "speech": request["speech"]["audio"],
    }
    settings = get_settings()
    return {role: await probe_media(Path(path), role, path, settings) for role, path in roles.items() if path}


async def read_run_log(client: PrefectClient, run_id: UUID, *, deadline_seconds: float = LOG_SECONDS) -> RunLog:
    """The differences that a run's log tells of.

    A run sends its log behind itself, so an ended one is waited for until its last line is there.
    """
    end = time.monotonic() + deadline_seconds
    while True:
        lines = [entry.message for entry in await _all_lines(client, run_id)]
        is_complete = any(line.startswith(_LAST_LINE) for line in lines)
        if is_complete or time.monotonic() > end:
            return RunLog(differences_in(lines), is_complete)
        await asyncio.sleep(0.5)


def differences_in(lines: list[str]) -> list[str]:
    """The lines about differences, each once, in their order."""
    return list(dict.fromkeys(line for line in lines if line.startswith(DIFFERENCE)))


async def _all_lines(client: PrefectClient, run_id: UUID) -> list[Log]:
    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
    found: list[Log] = []
    while True:
        page = await client.read_logs(of_run, limit=_PAGE, offset=len(found), sort=LogSort.TIMESTAMP_ASC)
        found += page
        if len(page) < _PAGE:
            return found


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect the differences that this process itself meets, such as in the catalogue and the balance."""
    listener, source = _Listener(), logging.getLogger("studio.contract")
    source.addHandler(listener)
    try:
        yield listener.lines
    finally:
        source.removeHandler(listener)
