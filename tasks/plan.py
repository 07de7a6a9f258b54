"""Decide who renders, and compute the render key: the identity of a video, by which it is never paid for twice."""

import hashlib
import json
import logging
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from tasks.errors import Problem, RequestRefused
from tasks.models import RenderRequest
from tasks.providers.base import Estimate, MediaSet, Provider
from tasks.registry import candidates, get_provider
from tasks.step import step
from tasks.work import expected_speech_seconds

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
    mode: str = Field("", description="The provider's quality or speed class.")
    payload: dict[str, JsonValue]
    estimate: Estimate
    title: str = ""
    speech_seconds: float | None = Field(None, description="Known before the render only for a recording.")
    work: float | None = Field(None, description="Seconds of speech as far as known or guessed; paces the questions.")


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
        mode=provider.mode(request),
        payload=payload,
        estimate=provider.estimate(request, media),
        title=request.title,
        speech_seconds=recording.seconds if recording else None,
        work=expected_speech_seconds(request, media),
    )


@step("plan")
async def plan_renders(request: RenderRequest, media: MediaSet) -> list[RenderPlan]:
    """The plans that could serve this request: cheapest first where the prices can be compared, else as listed.

    Raises:
        RequestRefused: no allowed provider can do it; says why for each.
    """
    providers, problems = await candidates(request.provider)
    plans: list[RenderPlan] = []
    for provider in providers:
        refused = provider.supports(request)
        problems += _named(refused, provider, request)
        if not refused:
            plans.append(plan_for(provider, request, media))
    if not plans:
        raise RequestRefused(problems)
    plans = cheapest_first(plans)
    for plan in plans:
        log.info("planned provider=%s key=%s estimate=%s", plan.provider, plan.render_key, plan.estimate)
    return plans


def plan_of(plans: Sequence[RenderPlan], render_key: str) -> RenderPlan:
    """The plan with this key."""
    return next(plan for plan in plans if plan.render_key == render_key)


def cheapest_first(plans: Sequence[RenderPlan]) -> list[RenderPlan]:
    """Free ones first; then by price, if all have one in the same unit; else in their own order."""
    priced = [plan for plan in plans if plan.estimate.amount != 0]
    comparable = len({plan.estimate.unit for plan in priced if plan.estimate.amount is not None}) == 1
    if comparable and all(plan.estimate.amount is not None for plan in priced):
        priced.sort(key=lambda plan: plan.estimate.amount or 0)
    return [plan for plan in plans if plan.estimate.amount == 0] + priced


@step("check the media")
async def check_media(plan: RenderPlan, request: RenderRequest, media: MediaSet) -> list[Problem]:
    """What the plan's provider would refuse about the real media; empty means: go on."""
    provider = await get_provider(plan.provider)
    return _named(await provider.check(request, media), provider, request)


def _named(problems: Sequence[Problem], provider: Provider, request: RenderRequest) -> list[Problem]:
    """With several providers in question, say who refuses."""
    if request.provider != "auto":
        return list(problems)
    return [Problem(problem.field, f"{provider.name}: {problem.wrong}", problem.fix) for problem in problems]
