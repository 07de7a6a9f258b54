"""The durable table of intents, submissions and costs: why a render is paid for at most once."""

from tasks.ledger.models import Charge, CostLine, Entry, Event, Intent, StateConflict
from tasks.ledger.states import OPEN, TRANSITIONS, State
from tasks.ledger.store import Ledger

__all__ = [
    "OPEN",
    "TRANSITIONS",
    "Charge",
    "CostLine",
    "Entry",
    "Event",
    "Intent",
    "Ledger",
    "State",
    "StateConflict",
]
