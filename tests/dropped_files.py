"""An inbox for tests: files to drop, and what became of them."""

from dataclasses import dataclass
from typing import Any

from tasks.batch.inbox.pickup import Picked
from tasks.ledger.store import Ledger
from tasks.storage import ObjectStore
from tests.integration.inbox_worker import Runs, run_pass

GOOD = b"title,avatar.image,speech.text\nOne,s3://staging/a.png,Hello\nTwo,s3://staging/a.png,Hello again\n"
BAD = b"title,avatar.image,speech.text\nOne,s3://staging/a.png,Hello\nTwo,nonsense,Hello again\n"


@dataclass
class Inbox:
    """An inbox with all around it."""

    store: ObjectStore
    ledger: Ledger
    runs: Runs

    async def put(self, name: str, body: bytes = GOOD) -> None:
        """Drop a file."""
        await self.store.put_bytes("archive", f"inbox/{name}", body, content_type="text/csv")

    async def run_pass(self, owner: str, **facts: Any) -> list[Picked]:
        """Pick up all that is there now, in this process."""
        return await run_pass(self.store, self.ledger, self.runs, owner=owner, **facts)

    async def contents(self) -> dict[str, str]:
        """What is in the bucket, by key without the day."""
        found = {}
        async for entry in self.store.list_objects("archive"):
            folder, _, rest = entry.key.partition("/")
            key = entry.key if folder == "inbox" else f"{folder}/{rest.partition('/')[2]}"
            body = await self.store.get_bytes("archive", entry.key, limit=1 << 20)
            found[key] = body.decode(errors="replace")
        return found
