"""From the archived original to the video that is handed out: checked, labelled, published."""

from pathlib import Path

from tasks.archive import ArchivedRender
from tasks.delivery import Delivery
from tasks.finished import FinishedVideo
from tasks.inspect import inspect_video
from tasks.label import label_video
from tasks.manifest import speech_seconds_of
from tasks.original import bring_original
from tasks.plan import RenderPlan
from tasks.publish import publish_video


async def hand_out(record: ArchivedRender, plan: RenderPlan, delivery: Delivery, folder: Path) -> FinishedVideo:
    """Check, label and publish an archived original; each step can be repeated without harm."""
    original = await bring_original(record, folder)
    inspection = await inspect_video(original, expected_seconds=speech_seconds_of(record, plan))
    labelled = await label_video(original, delivery.labels, folder / "labelled.mp4", plan.render_key)
    return await publish_video(delivery, plan, record, inspection, video=labelled)
