"""The pool of local renderers, which takes jobs from its spool folder."""

import asyncio
import sys

from infra.studio.part import Part
from tasks.errors import StudioUnavailable
from tasks.providers.local.pool import pool_is_alive


class RendererPart(Part):
    """Starts the pool; ready when its heartbeat in the spool is fresh."""

    name = "renderer"
    title = "local renderer"

    def command(self) -> list[str]:
        """The pool reads its settings from the environment."""
        return [sys.executable, "-m", "tasks.providers.local.pool"]

    async def probe(self, since: float) -> None:  # noqa: ARG002 - judged by the pool
        """Ask the spool whether a pool serves it."""
        if not await asyncio.to_thread(pool_is_alive, self.config.spool):
            raise StudioUnavailable(f"no renderer serves {self.config.spool}.")
