"""How the run of a show is called on the page of its flow."""

from typing import Any

from prefect.runtime import flow_run

LONGEST_NAME = 80


def name_show() -> str:
    """Name the run after the title of the show, else after its avatar and room, or after its file."""
    show = _fields(flow_run.get_parameters().get("show"))
    rundown = _fields(show.get("rundown"))
    name = rundown.get("title") or str(show.get("file") or "").rpartition("/")[2].rpartition(".")[0]
    if not name and rundown:
        name = f"{rundown.get('avatar')} in {rundown.get('room')}"
    return str(name)[:LONGEST_NAME] or "no rundown"


def _fields(raw: Any) -> dict[str, Any]:
    if isinstance(raw, dict):
        return raw
    return raw.model_dump() if hasattr(raw, "model_dump") else {}
