"""The recipe of `render-video` with every step replaced by its plain function: the same work without Prefect's runs."""

from typing import Any

from prefect import Task

from flows import render_video as recipe
from tasks import accept, handout
from tasks.request import read_request
from tasks.scratch import scratch_folder

for _module in (recipe, accept, handout):
    for _name, _step in list(vars(_module).items()):
        if isinstance(_step, Task):
            setattr(_module, _name, _step.fn)


async def produce(*, request: dict[str, Any], owner: str) -> bool:
    """Produce one video; returns whether it was archived before."""
    with scratch_folder() as folder:
        return (await recipe.produce(read_request(request), folder, owner)).again
