"""Register everything in prefect.yaml: deployments by Prefect's own `deploy`, automations by name, both idempotent."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import yaml
from prefect.automations import AutomationCore
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from tasks.errors import StudioError, StudioUnavailable

PREFECT_FILE = Path(__file__).with_name("prefect.yaml")
SOURCE = PREFECT_FILE.parent.parent
DEPLOY_DEADLINE_SECONDS = 120


def read_definitions() -> dict[str, Any]:
    """The content of prefect.yaml."""
    content: dict[str, Any] = yaml.safe_load(PREFECT_FILE.read_text(encoding="utf-8"))
    return content


async def register_all() -> list[str]:
    """Register all deployments and automations on the server of ``PREFECT_API_URL`` and return their names.

    What a person did to schedules in the UI stays: the file decides only for a schedule that is new.

    Raises:
        StudioError: a schedule in the file is not complete.
        StudioUnavailable: Prefect refused something.
    """
    definitions = read_definitions()
    check_schedules(definitions)
    async with get_client() as client:
        before = {
            deployment_name(declared): await _schedules(client, declared) for declared in definitions["deployments"]
        }
        await _deploy()
        for name, schedules in before.items():
            await _keep_schedules(client, name, schedules)
        names = [await _register_automation(client, declared) for declared in definitions["automations"]]
    return [*before, *names]


def check_schedules(definitions: dict[str, Any]) -> None:
    """Every schedule has a name, says whether it is on, and when it runs.

    Raises:
        StudioError: naming the schedule and what it lacks.
    """
    for declared in definitions["deployments"]:
        for number, schedule in enumerate(declared.get("schedules", []), start=1):
            where = f"{PREFECT_FILE.name}, deployment {declared['name']}, schedule {schedule.get('slug') or number}"
            for key, example in (("slug", "morning-news"), ("active", "false")):
                if schedule.get(key) is None:
                    raise StudioError(f"{where}: {key} is missing.", fix=f"Add a line such as `{key}: {example}`.")
            try:
                CronSchedule(cron=schedule["cron"], timezone=schedule.get("timezone"))
            except (KeyError, ValueError):
                fix = 'Write five fields and a time zone, such as cron: "0 6 * * 1-5" and timezone: UTC.'
                raise StudioError(f"{where}: {schedule.get('cron')!r} is not a schedule.", fix=fix) from None


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


async def _schedules(client: PrefectClient, declared: dict[str, Any]) -> list[DeploymentSchedule]:
    """The schedules on the server now."""
    try:
        deployment = await client.read_deployment_by_name(deployment_name(declared))
    except ObjectNotFound:
        return []
    return list(deployment.schedules)


async def _keep_schedules(client: PrefectClient, name: str, before: list[DeploymentSchedule]) -> None:
    """Put back what a person did in the UI: switches of declared schedules, and schedules of their own."""
    deployment = await client.read_deployment_by_name(name)
    now = {schedule.slug or str(schedule.schedule): schedule for schedule in deployment.schedules}
    for schedule in before:
        found = now.get(schedule.slug or str(schedule.schedule))
        if found is None:
            kept = DeploymentScheduleCreate(
                schedule=schedule.schedule,
                active=schedule.active,
                parameters=schedule.parameters,
                slug=schedule.slug,
            )
            await client.create_deployment_schedules(deployment.id, [kept])
        elif found.active != schedule.active:
            await client.update_deployment_schedule(deployment.id, found.id, active=schedule.active)


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
