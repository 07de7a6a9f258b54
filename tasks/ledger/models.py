"""What the ledger takes and gives: frozen records of rows, events, sums and caps, and its refusals."""

from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from tasks.errors import LedgerConflict, StudioError
from tasks.ledger.states import OPEN, State

MOST_MONEY = Decimal(10) ** 9
"""No charge is larger, and the ledger's columns hold no more."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Intent(_Record):
    """A render that somebody means to submit."""

    render_key: str = Field(pattern=r"^[0-9a-f]{64}$")
    provider: str = Field(min_length=1, max_length=40)
    account: str = Field(min_length=1, max_length=200, description="Label of the account that pays.")
    endpoint: str = Field(min_length=1, max_length=500, description="Where the account lives.")
    mode: str = Field("", max_length=40, description="The provider's quality or speed class, where it has some.")
    payload: dict[str, JsonValue] = Field(default_factory=dict, description="The provider's canonical payload.")
    inputs: dict[str, str] = Field(default_factory=dict, description="References to the uploaded media, by role.")
    context: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="What is needed to finish the video without asking anybody: the request and the media records.",
    )
    estimate: Decimal | None = Field(None, ge=0, description="Probable cost; None means that the price is unknown.")
    unit: str | None = Field(None, max_length=20, description="Currency or credit of estimate and charge.")
    title: str = Field("", max_length=200)
    speech_seconds: float | None = Field(None, ge=0)
    work: float | None = Field(
        None,
        ge=0,
        description="Seconds of speech, as far as they are known or can be told from the script; "
        "the expected finish is learnt from it.",
    )

    @property
    def short_key(self) -> str:
        """The first digits of the render key, enough for people to name the render by."""
        return self.render_key[:12]


class Entry(Intent):
    """One submission as the ledger holds it: one attempt at one render."""

    id: UUID
    attempt: int = Field(ge=1)
    state: State
    job_id: str | None
    charged: bool | None = Field(description="Whether it cost money; None means unknown.")
    charge: Decimal | None = Field(description="What it cost, where the provider said so.")
    reason: str = Field(description="Why it failed, was cancelled, or is ambiguous.")
    result: dict[str, JsonValue] | None
    location: str | None = Field(description="Where the video is in the archive.")
    owner: str = Field(description="Flow run that made the last change.")
    reserved_by: str = Field(description="Flow run or batch that made the reservation.")
    created_at: AwareDatetime
    updated_at: AwareDatetime
    submitted_at: AwareDatetime | None
    succeeded_at: AwareDatetime | None
    archived_at: AwareDatetime | None
    next_poll_at: AwareDatetime | None
    unfinished_at: AwareDatetime | None = Field(description="When the accepted job was last found unfinished.")

    @property
    def is_open(self) -> bool:
        """Whether it still holds its render key."""
        return self.state in OPEN


class Event(_Record):
    """One change of state, as it happened."""

    submission_id: UUID
    attempt: int
    at: AwareDatetime
    before: State | None = Field(description="None for the reservation itself.")
    after: State
    who: str
    note: dict[str, JsonValue]


class Charge(_Record):
    """Money a provider says it took, under the provider's own reference."""

    provider: str
    account: str
    reference: str = Field(min_length=1, max_length=200, description="The provider's id of this charge.")
    at: AwareDatetime
    amount: Decimal = Field(gt=-MOST_MONEY, lt=MOST_MONEY, description="Negative for a refund.")
    unit: str = Field(min_length=1, max_length=20)
    submission_id: UUID | None = Field(None, description="The submission it paid for; None while unassigned.")
    note: dict[str, JsonValue] = Field(default_factory=dict)


class CostLine(_Record):
    """Costs of one provider, account, unit and month."""

    month: str = Field(description="UTC, as YYYY-MM.")
    provider: str
    account: str
    unit: str = Field(description="Empty when no price is known.")
    renders: int = Field(description="Submissions that cost money, or may have.")
    charged: Decimal = Field(description="Said by the provider and assigned to a submission.")
    expected: Decimal = Field(description="Estimates of submissions whose charge is not known yet.")
    unpriced: int = Field(description="Submissions with neither charge nor estimate.")
    unassigned: Decimal = Field(description="Said by the provider and not assigned to any submission.")


class Limits(_Record):
    """The most that a reservation may bring one account to, in the unit of the intent; None means no cap."""

    month: Decimal | None = Field(None, ge=0, description="For everybody together, in this UTC calendar month.")
    run: Decimal | None = Field(None, ge=0, description="For the flow run or batch that reserves.")


class Committed(_Record):
    """What one account has spent this UTC calendar month or may still have to pay for what is under way."""

    provider: str
    account: str
    unit: str = Field(description="Empty when the rows name none.")
    amount: Decimal


class Breaker(_Record):
    """The record of a provider's endpoint that is in trouble; there is none while all is well."""

    provider: str
    endpoint: str
    failures: int = Field(ge=1, description="Troubles without a success between them.")
    opened_at: AwareDatetime | None = Field(description="When it opened first since it was last healthy.")
    open_until: AwareDatetime | None = Field(description="From then on the next call is a trial.")
    reason: str = Field(description="The latest trouble, for people.")

    def is_open(self, now: datetime) -> bool:
        """Whether calls are to be left out at this moment."""
        return self.open_until is not None and now < self.open_until


class BudgetExceeded(StudioError):
    """The reservation would break a cap, or nobody can tell whether it would; nothing was reserved.

    Args:
        intent: what was to be reserved.
        cap: which cap.
        limit: its amount, in the unit of the intent.
        committed: what it has to cover already.
    """

    def __init__(self, intent: Intent, cap: Literal["month", "run"], limit: Decimal, committed: Decimal) -> None:
        unit = intent.unit or "(no unit)"
        span = "this month" if cap == "month" else "in this run"
        wait = "wait for the next month" if cap == "month" else "divide the work into more runs"
        unknown = intent.estimate is None
        price = "nobody knows what this would cost" if unknown else f"this would cost {_plain(intent)}"
        super().__init__(
            f"{intent.provider} (account {intent.account}) may cost at most {limit.normalize():f} {unit} {span}: "
            f"{committed.normalize():f} {unit} are committed, and {price}.",
            fix="Set its price in STUDIO_PRICES, choose another provider, or take the cap out of STUDIO_BUDGETS."
            if unknown
            else f"Raise STUDIO_BUDGETS, {wait}, or choose another provider.",
        )
        self.provider = intent.provider
        self.account = intent.account
        self.cap = cap
        self.limit = limit
        self.unit = intent.unit
        self.committed = committed
        self.estimate = intent.estimate


class AtCapacity(StudioError):
    """As many renders as the account may have at once are under way; nothing was changed.

    Args:
        provider: who renders.
        account: label of the account.
        limit: how many may be under way at once.
    """

    def __init__(self, provider: str, account: str, limit: int) -> None:
        super().__init__(
            f"{provider} (account {account}) renders at most {limit} at once, and so many are under way.",
            fix="Wait until one of them has ended, or raise STUDIO_CONCURRENCY if the account may have more.",
        )
        self.provider = provider
        self.account = account
        self.limit = limit


class StateConflict(LedgerConflict):
    """The row is in another state than the change expected; nothing was changed."""

    def __init__(self, entry: Entry, expected: State, wanted: State) -> None:
        super().__init__(
            f"ledger row {entry.id} is {entry.state}, not {expected}, so it cannot become {wanted}.",
            fix="Read the row again: another run has moved it on.",
        )
        self.entry = entry

    @property
    def actual(self) -> State:
        """The state that the row really has."""
        return self.entry.state


def _plain(intent: Intent) -> str:
    return f"{(intent.estimate or Decimal(0)).normalize():f} {intent.unit or ''}".rstrip()
