"""A video that can be handed out."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from tasks.manifest import Manifest


class FinishedVideo(BaseModel):
    """A video in the archive with links that work for a while."""

    model_config = ConfigDict(frozen=True)

    manifest: Manifest
    manifest_uri: str
    link: str = Field(description="Download link; whoever has it can fetch the video until it expires.", repr=False)
    poster_link: str = Field(repr=False)
    links_expire_at: datetime
    again: bool = Field(description="It was archived before; nothing was rendered.")
