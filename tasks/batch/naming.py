"""How the runs of a batch begin and end for the person who looks at them: read, named, and told apart."""

from collections import Counter
from typing import Any, TypeVar

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import BaseModel

from tasks.batch.request import BatchRequest, ShardRequest
from tasks.ledger.batch_models import RowState
from tasks.request import read_form

Model = TypeVar("Model", bound=BaseModel)


def read_batch(raw: object) -> BatchRequest:
    """Read the form of a batch; ``RequestRefused`` names every field that is wrong."""
    return read_form(BatchRequest, raw)


def read_shard_order(raw: object) -> ShardRequest:
    """Read the order for a part of a batch; ``RequestRefused`` names every field that is wrong."""
    return read_form(ShardRequest, raw)


def name_batch() -> str:
    """Name the run after the batch, or after its file."""
    batch = _given("batch")
    name = batch.get("name") or str(batch.get("manifest") or "").rpartition("/")[2]
    return str(name)[:80] or "rows of the form"


def name_shard() -> str:
    """Name the run after what it does to which part of the batch."""
    shard = _given("shard")
    return str(shard.get("name") or shard.get("batch_id") or "no batch")[:120]


def _given(parameter: str) -> dict[str, Any]:
    raw: Any = flow_run.get_parameters().get(parameter)
    if isinstance(raw, dict):
        return raw
    return raw.model_dump() if hasattr(raw, "model_dump") else {}


def shard_state(order: ShardRequest, counts: Counter[RowState]) -> State[Any]:
    """A part that has been worked on is complete, whatever became of its rows: the batch's own run says that."""
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing was left to do"
    return Completed(message=f"{order.mode}: {told}")
