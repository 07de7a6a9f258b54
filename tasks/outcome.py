"""How a run begins and ends for the person who looks at it: its name and its last state."""

import logging
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from tasks.errors import (
    AmbiguousSubmit,
    ProviderBusy,
    RequestRefused,
    RoomTaken,
    StillRunning,
    StreamInDoubt,
    StudioError,
)
from tasks.finished import FinishedVideo
from tasks.ledger import BudgetExceeded

# State names a person can filter by in the UI, the more special errors first; any other studio error is plain "Failed".
STATE_NAMES: dict[type[StudioError], str] = {
    RequestRefused: "Refused",
    StillRunning: "Still running",
    StreamInDoubt: "In doubt",
    AmbiguousSubmit: "Needs a person",
    ProviderBusy: "Not accepted now",
    BudgetExceeded: "Over budget",
    RoomTaken: "Room taken",
}

log = logging.getLogger("studio.run")


def name_run() -> str:
    """Name the run after its title, or after who speaks what."""
    request: Any = flow_run.get_parameters().get("request")
    if not isinstance(request, dict):
        request = request.model_dump() if hasattr(request, "model_dump") else {}
    title = request.get("title")
    if isinstance(title, str) and title.strip():
        return title.strip()[:80]
    speech = request.get("speech")
    words = speech.get("text") if isinstance(speech, dict) else None
    return f"“{str(words)[:40].strip()}…”" if words else "video from a recording"


def finished_state(video: FinishedVideo) -> State[FinishedVideo]:
    """Completed, or failed when the checks found the video unusable; it is in the archive either way."""
    failures = video.manifest.inspection.failures
    if failures:
        told = "; ".join(f"{finding.what}: {finding.detail}" for finding in failures)
        return Failed(name="Failed check", message=f"archived at {video.manifest.video.uri}, but {told}", data=video)
    how = "was archived before, nothing was rendered" if video.again else "archived"
    return Completed(message=f"{how}: {video.manifest.video.uri}", data=video)


def failed_state(error: StudioError) -> State[Any]:
    """A failed state that says what happened and what to do, without a traceback."""
    log.error("%s", error)
    name = next((name for kind, name in STATE_NAMES.items() if isinstance(error, kind)), "Failed")
    return Failed(name=name, message=str(error))
