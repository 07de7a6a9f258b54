"""What a mingyan job needs while it runs."""

import asyncio
import math
from decimal import Decimal
from pathlib import Path

from infra.sandbox.guesses import MINGYAN_PRICE_PER_SECOND
from infra.sandbox.material import Material
from infra.sandbox.mingyan.inputs import fetch_input
from infra.sandbox.records import Job
from infra.sandbox.speech import recorded_seconds
from infra.sandbox.timing import lasting
from infra.sandbox.truth import Truth


class MingyanJobs:
    """Fetches the inputs when the job's turn comes.

    Args:
        truth: the settings.
        folder: room for inputs.
    """

    def __init__(self, truth: Truth, folder: Path) -> None:
        self._truth, self._folder = truth, folder

    async def gather(self, job: Job) -> Material:
        """Fetch both inputs; raises ``JobFailed``."""
        audio, video = self._folder / f"{job.id}.audio", self._folder / f"{job.id}.video"
        job.files["audioUrl"] = await fetch_input(job.body["audioUrl"], audio, "audio", self._truth.knobs)
        job.files["videoUrl"] = await fetch_input(job.body["videoUrl"], video, "video", self._truth.knobs)
        if self._truth.knobs.render_seconds_per_speech_second:
            seconds = await asyncio.to_thread(recorded_seconds, audio)
            job.due = job.at + lasting(self._truth.knobs, job.id, seconds)
        return Material(look=job.files["videoUrl"]["sha256"], footage=video, recording=audio)

    def price(self, job: Job, seconds: float) -> Decimal:  # noqa: ARG002 - one price for all
        """Every started second costs."""
        return MINGYAN_PRICE_PER_SECOND * math.ceil(seconds)

    def complete(self, job: Job) -> None:
        """Nothing else follows."""

    async def report(self, job: Job) -> None:
        """No notices exist; the customer asks."""
