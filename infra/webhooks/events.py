"""Tells Prefect of a notice, so that automations can react; nobody waits for it and nothing depends on it."""

from typing import Any

from infra.webhooks.callback import STREAM_WORDS
from tasks.ledger import Entry
from tasks.ledger.stream_models import StreamEvent

NOTICE_EVENT = "studio.notice.{provider}"
STREAM_EVENT = "studio.stream.{status}"


def tell_prefect(entry: Entry, order_id: str, status: str) -> None:
    """Queue the event for Prefect's own sender, which retries in a thread of its own.

    Args:
        entry: the attempt concerned.
        order_id: as the notice's address has it.
        status: the notice's word; empty when it said none.
    """
    _emit(
        NOTICE_EVENT.format(provider=entry.provider),
        {
            "prefect.resource.id": f"studio.render.{entry.render_key}",
            "prefect.resource.name": entry.title or order_id,
        },
        {"order_id": order_id, "status": status},
    )


def tell_prefect_of_stream(event: StreamEvent) -> None:
    """The same for the state of a live stream; what is spoken in it is not worth an event of Prefect's."""
    if event.kind == "task":
        _emit(
            STREAM_EVENT.format(status=STREAM_WORDS[event.status]),
            {"prefect.resource.id": f"studio.stream.{event.task_id}", "prefect.resource.name": event.task_id},
            {"happened_at": event.happened_at.isoformat()},
        )


def _emit(name: str, resource: dict[str, str], payload: dict[str, Any]) -> None:
    # Prefect takes more than a second to load, which a studio without webhooks need not spend.
    from prefect.events import emit_event  # noqa: PLC0415 - see above
    from prefect.settings import get_current_settings  # noqa: PLC0415 - see above

    if not get_current_settings().api.url:
        # Prefect would start a server of its own to tell.
        return
    emit_event(name, resource=resource, payload=payload)
