"""The progress bar on a run's page."""

import logging
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.context import FlowRunContext

from tasks.providers.base import JobStatus

PROGRESS_KEY = "render-progress"

log = logging.getLogger("studio.poll")


class ProgressBar:
    """The progress artifact of this run; a run that is called without Prefect has none.

    Args:
        description: what is waited for.
    """

    def __init__(self, description: str) -> None:
        self._description = description
        self._artifact_id: UUID | None = None
        self._shown = -1.0

    async def show(self, status: JobStatus) -> None:
        """Show how far the job is, where its provider says that."""
        percent = 100.0 if status.phase == "succeeded" else round((status.progress or 0) * 100, 1)
        if FlowRunContext.get() is None or percent == self._shown:
            return
        self._shown = percent
        try:
            await self._draw(percent)
        except Exception as error:  # noqa: BLE001 - only a picture
            # A page that cannot be drawn must not end the wait for a paid render.
            log.warning("progress not shown percent=%s error=%r", percent, error)

    async def _draw(self, percent: float) -> None:
        if self._artifact_id is None:
            self._artifact_id = await acreate_progress_artifact(
                progress=percent, key=PROGRESS_KEY, description=self._description
            )
        else:
            await aupdate_progress_artifact(self._artifact_id, progress=percent)
