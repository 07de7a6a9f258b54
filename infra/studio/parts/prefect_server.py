"""The Prefect server with its UI and its own SQLite database."""

import asyncio
import sys
from importlib.metadata import version

from infra.studio.config import HOST
from infra.studio.part import Part
from infra.studio.prefect_api import call
from tasks.errors import StudioUnavailable


class PrefectServerPart(Part):
    """Starts the server; ready when the API is healthy and of the installed version."""

    name = "prefect-server"
    title = "Prefect server"

    @property
    def address(self) -> str:
        """The UI."""
        return self.config.ui_url

    def command(self) -> list[str]:
        """One process, API and services together."""
        return [
            *(sys.executable, "-m", "infra.prefect_server"),
            *("--host", HOST, "--port", str(self.config.prefect_port)),
        ]

    def prepare(self) -> None:
        """Make the private folder of the database."""
        super().prepare()
        self.config.prefect_home.mkdir(mode=0o700, exist_ok=True)

    async def probe(self, since: float) -> None:  # noqa: ARG002 - answers are fresh
        """Ask for health, which includes the database, and for the version."""
        healthy = await asyncio.to_thread(call, self.config, "/health")
        found = await asyncio.to_thread(call, self.config, "/admin/version")
        if healthy is not True or found != version("prefect"):
            raise StudioUnavailable(
                f"the server at {self.config.api_url} is Prefect {found}, healthy={healthy}; "
                f"installed is {version('prefect')}.",
                fix="Run `studio down`, then `studio up`.",
            )
