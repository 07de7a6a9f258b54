"""The renderer's plain function, called in a child process that loads nothing else."""

from pathlib import Path
from typing import Any, Literal

from tasks.providers.local.models import RenderJob
from tasks.providers.local.render import render


def render_job(
    *, kind: Literal["portrait", "clip"], avatar: str, speech: str, short_side: int, output: str
) -> dict[str, Any]:
    """Render one video and return the renderer's report."""
    job = RenderJob(
        avatar_kind=kind, avatar_path=Path(avatar), recording_path=Path(speech), fps=25, short_side=short_side
    )
    return render(job, Path(output), lambda _done: None).model_dump()
