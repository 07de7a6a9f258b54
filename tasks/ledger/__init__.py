"""The durable table of intents, submissions and costs: why a render is paid for at most once.

Here are its words, which are cheap to import; `tasks.ledger.store` has the table itself and loads SQLAlchemy.
"""

from tasks.ledger.batch_models import (
    HAS_VIDEO,
    Batch,
    BatchRow,
    CallSlots,
    Claim,
    Duration,
    PollPlan,
    RowState,
    Tick,
)
from tasks.ledger.models import (
    AtCapacity,
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
from tasks.ledger.stream_models import LIVE_PROVIDERS, StreamEvent

__all__ = [
    "HAS_VIDEO",
    "LIVE_PROVIDERS",
    "OPEN",
    "TRANSITIONS",
    "AtCapacity",
    "Batch",
    "BatchRow",
    "Breaker",
    "BudgetExceeded",
    "CallSlots",
    "Charge",
    "Claim",
    "Committed",
    "CostLine",
    "Duration",
    "Entry",
    "Event",
    "Intent",
    "Limits",
    "PollPlan",
    "RowState",
    "State",
    "StateConflict",
    "StreamEvent",
    "Tick",
]
