"""One request in, one finished, checked, labelled video in the archive out.

The run form is `RenderRequest`. Every step is a task run, so that the run's page shows where a video is. Asking for
the same video again returns the archived one: the render key is its address. A run that crashed is started again by
an automation and finds its submission in the ledger; nothing is ever submitted twice.

Needs the storage block named by ``STUDIO_STORAGE_BLOCK`` (``studio-archive`` unless set) and the ledger.
"""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from tasks.accept import submit_to_first
from tasks.delivery import delivery_of
from tasks.errors import StudioError
from tasks.finished import FinishedVideo
from tasks.handout import hand_out
from tasks.media import fetch_media
from tasks.models import RenderRequest
from tasks.original import archive_original, find_original
from tasks.outcome import failed_state, finished_state, name_run
from tasks.plan import plan_of, plan_renders
from tasks.poll import wait_for_render
from tasks.publish import await_finished, find_finished, show_again
from tasks.request import read_request
from tasks.runlog import show_plain_log
from tasks.scratch import scratch_folder

# A run without parameters must reach the first line and be refused there, not die on the way to it.
NOTHING: Any = {}


# The request is read by the first line of the recipe instead of Prefect, so that a refusal names field and fix.
@flow(name="render-video", flow_run_name=name_run, validate_parameters=False)
async def render_video(request: RenderRequest = NOTHING) -> State[FinishedVideo]:
    """Turn one presenter and one speech into one finished video in the archive.

    Args:
        request: who speaks, what is said, and how the result should be.
    """
    show_plain_log()
    try:
        with scratch_folder() as folder:
            return finished_state(await produce(read_request(request), folder, owner=str(flow_run.get_id())))
    except StudioError as error:
        return failed_state(error)


async def produce(request: RenderRequest, folder: Path, owner: str) -> FinishedVideo:
    """The life of a render, step by step; each step can be repeated without harm."""
    media = await fetch_media(request, folder)
    delivery = delivery_of(request, media)
    plans = await plan_renders(request, media)
    if finished := await find_finished(plans, delivery):
        return await show_again(finished)

    record = await find_original(plans)
    if record is None:
        entry = await submit_to_first(plans, request, media, delivery, owner)
        result = await wait_for_render(entry, owner)
        if result is None and (finished := await await_finished(plans, delivery)):
            return await show_again(finished)
        record = await archive_original(entry, result, folder)
    return await hand_out(record, plan_of(plans, record.render_key), delivery, folder)
