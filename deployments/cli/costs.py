"""`studio costs`: what renders cost, by month and account, and what the caps leave."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import typer
from rich.markup import escape

from deployments.cli.console import Output, run_async, run_command
from infra.studio.config import load_config
from tasks.ledger import Committed, CostLine
from tasks.ledger.opening import open_existing_ledger
from tasks.settings import Budget

Caps = list[tuple[Committed, Budget]]


def costs(
    *,
    months: Annotated[int, typer.Option(min=1, max=1200, help="How many months, this one included.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what renders cost, by month (UTC) and account, and what the caps leave. Needs no running studio."""
    run_command(lambda output: _costs(output, months), as_json=as_json)


def _costs(output: Output, months: int) -> int:
    since = first_of_months(datetime.now(UTC), months)
    lines, caps = run_async(_read(since, load_config().budgets))
    output.result(
        since=since.isoformat(),
        costs=[_line_facts(line) for line in lines],
        caps=[_cap_facts(committed, budget) for committed, budget in caps],
    )
    _show_lines(output, lines, since)
    if caps:
        output.say("")
        columns = ["cap", "account", "unit", "this month at most", "committed", "left", "a run at most"]
        output.rows(columns, [_cap_row(committed, budget) for committed, budget in caps])
    return 0


def first_of_months(now: datetime, months: int) -> datetime:
    """When the earliest of so many calendar months began, this one included; UTC."""
    count = max(12, now.year * 12 + now.month - months)
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


async def _read(since: datetime, budgets: dict[str, Budget]) -> tuple[list[CostLine], Caps]:
    async with open_existing_ledger() as ledger:
        lines = await ledger.costs(since=since) if ledger else []
        caps: Caps = []
        for provider, budget in sorted(budgets.items()):
            committed = await ledger.committed(provider) if ledger else []
            nothing = Committed(provider=provider, account="", unit="", amount=Decimal(0))
            caps += [(line, budget) for line in committed or [nothing]]
        return lines, caps


def _show_lines(output: Output, lines: list[CostLine], since: datetime) -> None:
    if not lines:
        output.say(f"nothing was rendered since {since:%Y-%m}.")
        return
    columns = ["month", "provider", "account", "unit", "renders", "charged", "expected", "unpriced", "unassigned"]
    output.rows(columns, [_row(line) for line in lines])
    unpriced = sum(line.unpriced for line in lines)
    if unpriced:
        output.say(
            f"\n{unpriced} of these renders have no price: the provider did not say it, and STUDIO_PRICES had none "
            "when they were reserved."
        )
    if any(line.unassigned for line in lines):
        output.say("\nunassigned is money that a provider took and no render explains; it counts against the cap.")


def _row(line: CostLine) -> list[str]:
    amounts = [_amount(line.charged), _amount(line.expected), str(line.unpriced), _amount(line.unassigned)]
    names = [line.month, line.provider, line.account, line.unit or "unknown"]
    return [*map(escape, names), str(line.renders), *amounts]


def _line_facts(line: CostLine) -> dict[str, Any]:
    return {name: _amount(value) if isinstance(value, Decimal) else value for name, value in line}


def _cap_facts(committed: Committed, budget: Budget) -> dict[str, Any]:
    left = None if budget.month is None else budget.month - committed.amount
    facts = {"month": budget.month, "committed": committed.amount, "left": left, "run": budget.run}
    shown = {name: None if value is None else _amount(value) for name, value in facts.items()}
    return {"provider": committed.provider, "account": committed.account, "unit": committed.unit} | shown


def _cap_row(committed: Committed, budget: Budget) -> list[str]:
    return [escape(str(value)) if value is not None else "no cap" for value in _cap_facts(committed, budget).values()]


def _amount(value: Decimal) -> str:
    return f"{value.normalize():f}"
