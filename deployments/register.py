"""Register everything in prefect.yaml: deployments by Prefect's own `deploy`, automations by name, both idempotent."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.automations import AutomationCore
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound

from tasks.errors import StudioUnavailable

PREFECT_FILE = Path(__file__).with_name("prefect.yaml")
SOURCE = PREFECT_FILE.parent.parent
DEPLOY_DEADLINE_SECONDS = 120


def read_definitions() -> dict[str, Any]:
    """The content of prefect.yaml."""
    content: dict[str, Any] = yaml.safe_load(PREFECT_FILE.read_text(encoding="utf-8"))
    return content


async def register_all() -> list[str]:
    """Register all deployments and automations on the server of ``PREFECT_API_URL`` and return their names.

    A schedule that a person switched on or off stays as it is; the file decides only for a new one.

    Raises:
        StudioUnavailable: Prefect refused something.
    """
    definitions = read_definitions()
    async with get_client() as client:
        switches = {
            deployment_name(declared): await _switches(client, declared) for declared in definitions["deployments"]
        }
        await _deploy()
        names = [
            await _settle_schedules(client, declared, switches[deployment_name(declared)])
            for declared in definitions["deployments"]
        ]
        names += [await _register_automation(client, declared) for declared in definitions["automations"]]
    return names


async def _deploy() -> None:
    command = ["-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(PREFECT_FILE)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
        cwd=SOURCE,
        env={**os.environ, "STUDIO_SOURCE": str(SOURCE)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), DEPLOY_DEADLINE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise StudioUnavailable(
            f"registering the deployments took more than {DEPLOY_DEADLINE_SECONDS} s.", fix="Run `studio doctor`."
        ) from None
    if process.returncode:
        told = "\n".join(output.decode(errors="replace").splitlines()[-15:])
        raise StudioUnavailable(f"Prefect refused the deployments:\n{told}", fix="Run `studio doctor`.")


def deployment_name(declared: dict[str, Any]) -> str:
    """``flow/deployment`` of an entry of the file."""
    flow_name = declared["entrypoint"].rpartition(":")[2].replace("_", "-")
    return f"{flow_name}/{declared['name']}"


async def _switches(client: PrefectClient, declared: dict[str, Any]) -> dict[str, bool]:
    """Which schedules are on now, by slug."""
    try:
        deployment = await client.read_deployment_by_name(deployment_name(declared))
    except ObjectNotFound:
        return {}
    return {schedule.slug: schedule.active for schedule in deployment.schedules if schedule.slug}


async def _settle_schedules(client: PrefectClient, declared: dict[str, Any], switches: dict[str, bool]) -> str:
    """Put back what a person switched, and remove schedules that the file no longer has: Prefect keeps them."""
    name = deployment_name(declared)
    wanted = {slot["slug"]: switches.get(slot["slug"], slot["active"]) for slot in declared.get("schedules", [])}
    deployment = await client.read_deployment_by_name(name)
    for schedule in deployment.schedules:
        active = wanted.get(schedule.slug or "")
        if active is None:
            await client.delete_deployment_schedule(deployment.id, schedule.id)
        elif active != schedule.active:
            await client.update_deployment_schedule(deployment.id, schedule.id, active=active)
    return name


async def _register_automation(client: PrefectClient, declared: dict[str, Any]) -> str:
    """Create the automation, or bring the one of this name in step; duplicates of the name are removed."""
    core = AutomationCore.model_validate(declared)
    existing = [found.id for found in await client.read_automations_by_name(core.name) if found.id]
    if not existing:
        await client.create_automation(core)
        return core.name
    first, *duplicates = existing
    await client.update_automation(first, core)
    for duplicate in duplicates:
        await client.delete_automation(duplicate)
    return core.name


if __name__ == "__main__":
    asyncio.run(register_all())
