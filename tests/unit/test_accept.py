"""Which provider gets a render: the next one is asked only while nothing was accepted, and never beside another run."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from prefect import Task

from tasks import accept, plan, registry, submit
from tasks.accept import submit_to_first
from tasks.delivery import Delivery
from tasks.errors import AmbiguousSubmit, Problem, ProviderBusy, ProviderRejected, ProviderUnavailable, RequestRefused
from tasks.ledger import State
from tasks.ledger.opening import open_ledger
from tasks.plan import RenderPlan
from tasks.providers.base import Estimate, Sighting
from tasks.request import read_request
from tasks.settings import Budget, get_settings
from tasks.submit import reserve_intent
from tests.bad_requests import GOOD
from tests.scripted_provider import ScriptedProvider

REQUEST = read_request({**GOOD, "provider": "auto"})


def _plan(name: str, digit: str) -> RenderPlan:
    return RenderPlan(
        render_key=digit * 64,
        provider=name,
        account="local",
        endpoint=f"file:{name}",
        payload={},
        estimate=Estimate(amount=Decimal(2), unit="credits"),
    )


FIRST, SECOND = _plan("topview", "a"), _plan("mingyan", "b")


@pytest.fixture
def providers(studio_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ScriptedProvider]]:
    """Two providers at the studio's border; neither is offered anything twice."""
    table = {name: ScriptedProvider(name=name, endpoint=f"file:{name}") for name in ("topview", "mingyan")}

    async def get(name: str) -> ScriptedProvider:
        return table[name]

    for module in (registry, submit, plan):
        monkeypatch.setattr(module, "get_provider", get)
    for name, step in list(vars(accept).items()):
        if isinstance(step, Task):
            monkeypatch.setattr(accept, name, step.fn)
    monkeypatch.setattr(accept, "FALLBACK_PATIENCE_SECONDS", 0)
    monkeypatch.setattr(get_settings(), "busy_patience_seconds", 0)
    monkeypatch.setattr(get_settings(), "submit_timeout_seconds", 4)
    return table


async def _submit(owner: str = "run-1") -> str:
    entry = await submit_to_first([FIRST, SECOND], REQUEST, {}, Delivery(), owner)
    return f"{entry.provider}:{entry.state}"


async def _state(of: RenderPlan) -> State | None:
    async with open_ledger() as ledger:
        entry = await ledger.find(of.render_key)
    return entry.state if entry else None


NOT_ACCEPTED = [
    ProviderBusy("queue full", provider="topview"),
    ProviderRejected("bad face", provider="topview"),
    ProviderUnavailable("refused", provider="topview", sent=False),
]


@pytest.mark.parametrize("error", NOT_ACCEPTED, ids=lambda error: type(error).__name__)
async def test_next_provider_is_asked_when_nothing_was_accepted(
    providers: dict[str, ScriptedProvider], error: Exception
) -> None:
    """Busy, refused and out of reach are no acceptance; the intent there is given up and holds no budget."""
    providers["topview"].submit_errors = [error]

    assert await _submit() == "mingyan:submitted"
    assert await _state(FIRST) in {State.CANCELLED, State.FAILED}
    assert providers["topview"].orders == []


async def test_no_other_provider_while_one_may_have_accepted(providers: dict[str, ScriptedProvider]) -> None:
    """A lost answer ends in doubt, today and whenever it is asked again; even if nobody answers the look-up."""
    providers["topview"].submit_errors = [ProviderUnavailable("lost", provider="topview", sent=True)]
    providers["topview"].sighting = Sighting(seen="unknown")
    for _ in range(2):
        with pytest.raises(AmbiguousSubmit):
            await _submit()

    async def away(*_: object) -> Sighting:
        raise ProviderRejected("wrong key", provider="topview")

    providers["topview"].look_up = away  # type: ignore[method-assign]
    with pytest.raises(AmbiguousSubmit):
        await _submit()
    assert providers["mingyan"].orders == []


async def test_no_other_provider_while_another_run_means_to_submit(providers: dict[str, ScriptedProvider]) -> None:
    """A run that finds the provider busy leaves the intent to the run that made it, and pays nobody else."""
    await reserve_intent.fn(FIRST, Delivery(), "run-0")
    providers["topview"].submit_errors = [ProviderBusy("queue full", provider="topview")]

    with pytest.raises(ProviderBusy):
        await _submit("run-1")

    assert await _state(FIRST) is State.RESERVED
    assert providers["mingyan"].orders == []


async def test_submission_under_way_is_followed_before_anything_else(
    providers: dict[str, ScriptedProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was accepted at the second provider is not paid again at the first, even if it would be refused today."""
    assert await submit_to_first([SECOND], REQUEST, {}, Delivery(), "run-0")

    async def refuse(*_: object) -> list[Problem]:
        return [Problem("avatar", "not any more.", "Choose another.")]

    monkeypatch.setattr(providers["mingyan"], "check", refuse)

    assert await _submit() == "mingyan:submitted"
    assert (providers["topview"].orders, len(providers["mingyan"].orders)) == ([], 1)


async def test_full_budget_moves_on(providers: dict[str, ScriptedProvider], monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider whose cap would be broken is passed over; the other one takes it."""
    monkeypatch.setattr(get_settings(), "budgets", {"topview": Budget(month=Decimal(1))})

    assert await _submit() == "mingyan:submitted"
    assert await _state(FIRST) is None


async def test_refused_everywhere_names_every_reason(
    providers: dict[str, ScriptedProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no provider takes the media, each one's reason is told and nothing was reserved."""

    async def refuse(*_: object) -> list[Problem]:
        return [Problem("avatar.image", "no face.", "Bring one.")]

    for provider in providers.values():
        monkeypatch.setattr(provider, "check", refuse)

    with pytest.raises(RequestRefused, match=r"2 problems[\s\S]*topview: no face[\s\S]*mingyan: no face"):
        await _submit()
    assert (await _state(FIRST), await _state(SECOND)) == (None, None)
