"""What the local renderer is asked for and what it answers."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PROVIDER = "local"


class RenderJob(BaseModel):
    """One render: an avatar, and either a recording or a script."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    avatar_kind: Literal["portrait", "clip"]
    avatar_path: Path
    recording_path: Path | None = None
    script: str | None = None
    voice: str | None = None
    speed: float = Field(1.0, ge=0.5, le=2.0)
    fps: Literal[24, 25, 30] = 25
    short_side: int | None = Field(720, description="Most pixels of the short side; None keeps the source up to 1080.")


class RenderReport(BaseModel):
    """Facts about a finished local render."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    seconds: float = Field(description="Length of the video.")
    speech_seconds: float = Field(description="Length of the speech as heard, before any padding to whole frames.")
    width: int
    height: int
    fps: int
    notes: list[str] = Field(default_factory=list, description="Remarks for people, such as which face was taken.")
