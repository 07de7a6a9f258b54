"""The set of deployments, schedules and automations, readable at a glance: nothing in it changes unseen."""

from pathlib import Path
from typing import Any

from deployments.register import PREFECT_FILE, deployment_name, read_definitions
from flows.close_streams import close_streams
from flows.pick_up_inbox import pick_up_inbox
from flows.reconcile import reconcile
from tasks.batch.naming import read_batch
from tasks.request import read_form, read_request
from tasks.show.rundown import ShowRequest

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "deployments.txt"


def describe(definitions: dict[str, Any]) -> str:
    """One line per deployment, schedule, automation and action."""
    lines = []
    for deployment in definitions["deployments"]:
        limit = deployment["concurrency_limit"]
        lines.append(
            f"deployment {deployment_name(deployment)}: {deployment['entrypoint']}, "
            f"pool {deployment['work_pool']['name']}, "
            f"at most {limit['limit']} at once ({limit['collision_strategy']}), tags {', '.join(deployment['tags'])}"
        )
        lines += [
            f"  schedule {schedule['slug']}: {schedule['cron']} {schedule['timezone']}, "
            f"{'ACTIVE' if schedule['active'] else 'off'}"
            for schedule in deployment["schedules"]
        ]
    for automation in definitions["automations"]:
        trigger = automation["trigger"]
        lines.append(
            f"automation {automation['name']}: {'on' if automation['enabled'] else 'off'}, {trigger['posture']}, "
            f"expects {', '.join(trigger['expect'])} within {trigger['within']} s"
        )
        lines += [f"  action {action['type']} to {action['state']}" for action in automation["actions"]]
    return "\n".join(lines) + "\n"


def test_deployments_are_as_reviewed() -> None:
    """A changed schedule or automation shows as a changed line here, and nowhere else by accident."""
    assert describe(read_definitions()) == SNAPSHOT.read_text(encoding="utf-8")


def test_every_schedule_says_whether_it_is_on_and_what_for() -> None:
    """A schedule without `active`, a name or a comment is an accident waiting to happen."""
    text = PREFECT_FILE.read_text(encoding="utf-8").splitlines()
    for deployment in read_definitions()["deployments"]:
        for schedule in deployment["schedules"]:
            assert isinstance(schedule["active"], bool)
            assert schedule["slug"]
            line = next(number for number, found in enumerate(text) if schedule["cron"] in found)
            assert text[line - 1].strip().startswith("#")


def test_scheduled_requests_are_good() -> None:
    """What a schedule would send is what the form of its deployment accepts."""
    checks = {
        "render-video/studio": lambda parameters: read_request(parameters["request"]),
        "render-batch/studio": lambda parameters: read_batch(parameters["batch"]),
        "reconcile/studio": reconcile.validate_parameters,
        "pick-up-inbox/studio": pick_up_inbox.validate_parameters,
        "broadcast-show/studio": lambda parameters: read_form(ShowRequest, parameters["show"]),
        "close-streams/studio": close_streams.validate_parameters,
    }
    for deployment in read_definitions()["deployments"]:
        for schedule in deployment["schedules"]:
            checks[deployment_name(deployment)](schedule["parameters"])


def test_restartable_is_what_the_automation_restarts() -> None:
    """The restart automation acts on a tag that renders have: other passes are followed by the next, shows are over."""
    definitions = read_definitions()
    crashed = next(found for found in definitions["automations"] if found["name"] == "studio-restart-crashed")
    tag = crashed["trigger"]["match_related"]["prefect.resource.id"].removeprefix("prefect.tag.")

    restarted = {deployment_name(found) for found in definitions["deployments"] if tag in found["tags"]}
    assert restarted == {"render-video/studio", "render-batch/studio", "render-shard/studio"}
