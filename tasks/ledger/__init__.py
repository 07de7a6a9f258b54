"""The durable table of intents, submissions and costs: why a render is paid for at most once.

Here are its words, which are cheap to import; `tasks.ledger.store` has the table itself and loads SQLAlchemy.
"""

from tasks.ledger.models import (
    Breaker,
    BudgetExceeded,
    Charge,
    Committed,
    CostLine,
    Entry,
    Event,
    Intent,
    Limits,
    StateConflict,
)
from tasks.ledger.states import OPEN, TRANSITIONS, State

__all__ = [
    "OPEN",
    "TRANSITIONS",
    "Breaker",
    "BudgetExceeded",
    "Charge",
    "Committed",
    "CostLine",
    "Entry",
    "Event",
    "Intent",
    "Limits",
    "State",
    "StateConflict",
]
