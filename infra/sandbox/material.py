"""What a video is made of, and what makes a job fail."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class JobFailed(Exception):
    """A job ends without a video; the message is what the customer is told."""


@dataclass(frozen=True)
class Material:
    """The inputs of one video: a face, and either a recording or a script.

    Without picture and footage the face is one of the vendor's own, told from others by ``look``.
    """

    look: str
    picture: Path | None = None
    footage: Path | None = None
    recording: Path | None = None
    script: str = ""
    language: str = "en"
    speed: float = 1.0


class Renderer(Protocol):
    """Makes videos without blocking the event loop."""

    async def render(self, material: Material, target: Path, job_id: str) -> float:
        """Write an MP4 and return the seconds of its speech; asked again for the same job, it may go on.

        Raises:
            JobFailed: the material cannot become a video.
        """
        ...
