"""The receiver of providers' notices."""

import asyncio
import sys

from infra.studio.config import HOST
from infra.studio.loopback import ask
from infra.studio.part import Part
from infra.studio.secret_files import make_sandbox_keys


class WebhooksPart(Part):
    """Starts the receiver; ready when it reaches the ledger."""

    name = "webhooks"
    title = "webhooks"

    @property
    def address(self) -> str:
        """Where notices are taken; the address for providers is whatever the operator's proxy makes of it."""
        return self.config.webhook_address

    def command(self) -> list[str]:
        """Secret and ledger come from the environment."""
        return [
            *(sys.executable, "-m", "infra.webhooks"),
            *("--host", HOST, "--port", str(self.config.webhook_port)),
        ]

    def environment(self) -> dict[str, str]:
        """Beside a sandbox callbacks are the sandbox's; else the operator's secret is inherited."""
        if not self.config.sandbox:
            return {}
        keys = make_sandbox_keys(self.config.sandbox_keys_file)
        return {"STUDIO_ZEGO_CALLBACK_SECRET": keys.zego_callback_secret}

    async def probe(self, since: float) -> None:  # noqa: ARG002 - answers are fresh
        """Ask for health, which includes the ledger."""
        await asyncio.to_thread(ask, self.config.webhook_port, "/health")
