"""The sandbox, which stands in for the paid providers on this machine."""

import asyncio
import sys

from infra.studio.config import HOST, SANDBOX_ZEGO_APP_ID
from infra.studio.loopback import ask
from infra.studio.part import Part
from infra.studio.secret_files import SandboxKeys, make_sandbox_keys


class SandboxPart(Part):
    """Starts the sandbox with generated credentials; ready when it answers."""

    name = "sandbox"
    title = "sandbox"

    @property
    def address(self) -> str:
        """Below it are the paths of the providers."""
        return self.config.sandbox_address

    @property
    def topview_url(self) -> str:
        """Base URL that stands for TopView's."""
        return f"{self.address}/topview"

    @property
    def mingyan_url(self) -> str:
        """Base URL that stands for mingyan's."""
        return f"{self.address}/mingyan/kyyReactApiServer"

    @property
    def zego_url(self) -> str:
        """Base URL that stands for ZEGO's."""
        return f"{self.address}/zego"

    def command(self) -> list[str]:
        """Its jobs and charges outlive it in their folder."""
        return [
            *(sys.executable, "-m", "infra.sandbox"),
            *("--host", HOST, "--port", str(self.config.sandbox_port)),
            *("--folder", str(self.config.sandbox_folder), "--renderer", self.config.sandbox_renderer),
        ]

    def environment(self) -> dict[str, str]:
        """Who may call, and where ZEGO's callbacks go: the vendor is told by mail, not by a call."""
        keys = self.credentials()
        return {
            "SANDBOX_TOPVIEW_UID": keys.topview_uid,
            "SANDBOX_TOPVIEW_KEY": keys.topview_key,
            "SANDBOX_MINGYAN_KEY": keys.mingyan_key,
            "SANDBOX_ZEGO_APP_ID": str(SANDBOX_ZEGO_APP_ID),
            "SANDBOX_ZEGO_SERVER_SECRET": keys.zego_server_secret,
            "SANDBOX_ZEGO_CALLBACK_SECRET": keys.zego_callback_secret,
            "SANDBOX_ZEGO_CALLBACK_URL": f"{self.config.webhook_address}/zego",
        }

    def prepare(self) -> None:
        """Make the private folder."""
        super().prepare()
        self.config.sandbox_folder.mkdir(mode=0o700, exist_ok=True)

    def credentials(self) -> SandboxKeys:
        """The generated credentials."""
        return make_sandbox_keys(self.config.sandbox_keys_file)

    async def probe(self, since: float) -> None:  # noqa: ARG002 - answers are fresh
        """Ask whether it is up."""
        await asyncio.to_thread(ask, self.config.sandbox_port, "/control/health")
