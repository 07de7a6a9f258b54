"""Tells Prefect of a notice, so that automations can react; nobody waits for it and nothing depends on it."""

from tasks.ledger import Entry

NOTICE_EVENT = "studio.notice.{provider}"


def tell_prefect(entry: Entry, order_id: str, status: str) -> None:
    """Queue the event for Prefect's own sender, which retries in a thread of its own.

    Args:
        entry: the attempt concerned.
        order_id: as the notice's address has it.
        status: the notice's word; empty when it said none.
    """
    # Prefect takes more than a second to load, which a studio without webhooks need not spend.
    from prefect.events import emit_event  # noqa: PLC0415 - see above
    from prefect.settings import get_current_settings  # noqa: PLC0415 - see above

    if not get_current_settings().api.url:
        # Prefect would start a server of its own to tell.
        return
    emit_event(
        NOTICE_EVENT.format(provider=entry.provider),
        resource={
            "prefect.resource.id": f"studio.render.{entry.render_key}",
            "prefect.resource.name": entry.title or order_id,
        },
        payload={"order_id": order_id, "status": status},
    )
