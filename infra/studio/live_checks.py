"""Checks of a running studio: every part is used for real, and what it must contain is looked up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from infra.studio.board import installed_version
from infra.studio.checks import Check
from infra.studio.config import StudioConfig
from infra.studio.lifecycle import probe_parts
from infra.studio.prefect_api import call
from infra.studio.state import StudioState
from infra.studio.supervisor import titles
from tasks.errors import StudioError, StudioUnavailable
from tasks.ledger.store import Ledger

_AGAIN = "Run `studio down`, then `studio up`."
_LEDGER_SECONDS = 5


async def check_parts(config: StudioConfig, state: StudioState) -> AsyncIterator[Check]:
    """The supervisor's version, and a real call to every part."""
    if state.version == installed_version():
        yield Check("supervisor", "ok", f"pid {state.supervisor.pid}, version {state.version}")
    else:
        found = f"runs version {state.version}, installed is {installed_version()}"
        yield Check("supervisor", "failed", found, _AGAIN)
    reasons = await probe_parts(config, state)
    for name, title in titles(config).items():
        part = state.parts[name]
        if reasons[name]:
            log = config.logs / f"{name}.log"
            yield Check(title, "failed", reasons[name], f"Read {log}. {_AGAIN}")
        else:
            often = f", restarted {part.restarts} times" if part.restarts else ""
            yield Check(title, "ok", f"answers {part.address}{often}".rstrip())


async def check_ledger(config: StudioConfig) -> Check:
    """The ledger's database opens and its tables are current."""
    if not config.ledger_url and not (config.root / "ledger.db").exists():
        return Check("ledger", "skipped", "not made yet", "`studio up` makes it.")
    try:
        async with await Ledger.open(config.ledger_database_url(), patience=_LEDGER_SECONDS) as ledger:
            lines = await ledger.costs()
    except StudioError as error:
        return Check("ledger", "failed", error.message, error.fix)
    return Check("ledger", "ok", f"opens, {len(lines)} cost lines")


async def check_contents(config: StudioConfig) -> AsyncIterator[Check]:
    """Deployments, automations, block types and the storage block on the Prefect server."""
    for kind in ("deployments", "automations"):
        yield await asyncio.to_thread(_registered, config, kind)
    yield await asyncio.to_thread(_block_types, config)
    yield await _storage_block(config)


def _registered(config: StudioConfig, kind: str) -> Check:
    from deployments.register import read_definitions  # noqa: PLC0415 - Prefect reads the environment on import

    try:
        found: list[dict[str, Any]] = call(config, f"/{kind}/filter", {})
    except StudioUnavailable as error:
        return Check(kind, "failed", error.message, _AGAIN)
    names = {entry["name"] for entry in found}
    missing = [declared["name"] for declared in read_definitions()[kind] if declared["name"] not in names]
    if missing:
        return Check(kind, "failed", f"not registered: {', '.join(missing)}", _AGAIN)
    return Check(kind, "ok", f"{len(found)} registered")


def _block_types(config: StudioConfig) -> Check:
    from infra.studio.blocks import BLOCK_TYPES  # noqa: PLC0415 - Prefect reads the environment on import

    try:
        found: list[dict[str, Any]] = call(config, "/block_types/filter", {})
    except StudioUnavailable as error:
        return Check("block types", "failed", error.message, _AGAIN)
    slugs = {entry["slug"] for entry in found}
    missing = [kind.get_block_type_slug() for kind in BLOCK_TYPES if kind.get_block_type_slug() not in slugs]
    if missing:
        return Check("block types", "failed", f"not registered: {', '.join(missing)}", _AGAIN)
    return Check("block types", "ok", f"{len(BLOCK_TYPES)} registered")


async def _storage_block(config: StudioConfig) -> Check:
    from tasks.blocks import load_store  # noqa: PLC0415 - Prefect reads the environment on import

    name = f"storage block {config.storage_block}"
    try:
        store = await load_store(config.storage_block)
        await store.head(store.archive_bucket, ".studio/doctor")
    except (StudioError, ValueError) as error:
        return Check(name, "failed", str(error), _AGAIN)
    return Check(name, "ok", f"loads, and its keys open bucket {store.archive_bucket}")
