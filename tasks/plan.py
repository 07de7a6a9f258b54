"""Decide who renders, and compute the render key: the identity of a video, by which it is never paid for twice."""

import hashlib
import json
import logging
from collections.abc import Sequence

from prefect import task
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.errors import Problem, RequestRefused
from tasks.models import RenderRequest
from tasks.providers.base import Estimate, MediaSet, Provider
from tasks.providers.registry import candidates, get_provider

# Raise it when the meaning of a payload changes, to leave old archive entries behind.
RENDER_KEY_VERSION = 1

log = logging.getLogger("studio.plan")


class RenderPlan(BaseModel):
    """Who renders what, under which key, at what expected cost."""

    model_config = ConfigDict(frozen=True)

    render_key: str = Field(description="sha256, 64 hex digits.")
    provider: str
    account: str
    endpoint: str
    payload: dict[str, JsonValue]
    estimate: Estimate
    title: str = ""
    speech_seconds: float | None = Field(None, description="Known before the render only for a recording.")


def render_key(provider: str, account: str, payload: dict[str, JsonValue]) -> str:
    """sha256 over who renders, who pays and the canonical payload: media as digests, no titles, tags or names."""
    identity = {"version": RENDER_KEY_VERSION, "provider": provider, "account": account, "payload": payload}
    canonical = json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def plan_for(provider: Provider, request: RenderRequest, media: MediaSet) -> RenderPlan:
    """The plan that this provider would follow, before its deeper checks."""
    payload = provider.payload(request, media)
    recording = media.get("speech")
    return RenderPlan(
        render_key=render_key(provider.name, provider.account, payload),
        provider=provider.name,
        account=provider.account,
        endpoint=provider.endpoint,
        payload=payload,
        estimate=provider.estimate(request, media),
        title=request.title,
        speech_seconds=recording.seconds if recording else None,
    )


@task(name="plan", task_run_name="plan")
async def plan_renders(request: RenderRequest, media: MediaSet) -> list[RenderPlan]:
    """The plans that could serve this request, best first.

    Raises:
        RequestRefused: no allowed provider can do it; says why for each.
    """
    plans: list[RenderPlan] = []
    problems: list[Problem] = []
    for provider in candidates(request.provider):
        refused = provider.supports(request)
        problems += refused
        if not refused:
            plans.append(plan_for(provider, request, media))
    if not plans:
        raise RequestRefused(problems)
    return plans


@task(name="choose provider", task_run_name="choose provider")
async def choose_plan(plans: Sequence[RenderPlan], request: RenderRequest, media: MediaSet) -> RenderPlan:
    """Take the first plan whose provider accepts the real media.

    Raises:
        RequestRefused: none does; nothing was uploaded or paid.
    """
    problems: list[Problem] = []
    for plan in plans:
        refused = await get_provider(plan.provider).check(request, media)
        if not refused:
            log.info("planned provider=%s key=%s", plan.provider, plan.render_key[:12])
            return plan
        problems += refused
    raise RequestRefused(problems)
