"""Register everything in prefect.yaml: deployments by Prefect's own `deploy`, automations by name, both idempotent."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.automations import AutomationCore
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.responses import DeploymentResponse

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

    Raises:
        StudioUnavailable: Prefect refused something, or a schedule is not in the state that the file declares.
    """
    definitions = read_definitions()
    await _deploy()
    async with get_client() as client:
        names = [await _read_back(client, declared) for declared in definitions["deployments"]]
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


async def _read_back(client: PrefectClient, declared: dict[str, Any]) -> str:
    """Check the schedules on the server against the file, since Prefect keeps old ones silently."""
    flow_name = declared["entrypoint"].rpartition(":")[2].replace("_", "-")
    deployment = await client.read_deployment_by_name(f"{flow_name}/{declared['name']}")
    wanted = {schedule["slug"]: schedule["active"] for schedule in declared.get("schedules", [])}
    for schedule in deployment.schedules:
        if schedule.slug not in wanted:
            await client.delete_deployment_schedule(deployment.id, schedule.id)
    differing = _differing_schedules(deployment, wanted)
    if differing:
        raise StudioUnavailable(
            f"schedules of {flow_name}/{declared['name']} are not as declared: {', '.join(differing)}.",
            fix="Run `studio register` again; if it stays so, switch them by hand in the UI.",
        )
    return f"{flow_name}/{declared['name']}"


def _differing_schedules(deployment: DeploymentResponse, wanted: dict[str, bool]) -> list[str]:
    found = {schedule.slug: schedule.active for schedule in deployment.schedules}
    return [slug for slug, active in wanted.items() if found.get(slug) != active]


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
