"""An embedded studio with a sandbox for thousands of renders."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from infra.studio.parts.object_store import Credentials, ObjectStorePart
from infra.studio.secret_files import SandboxKeys, make_sandbox_keys
from tests.bench.batch_house import BatchHouse, BatchRun
from tests.bench.batch_watch import FlowWatch, Watched
from tests.e2e.api import StudioApi
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in


class BatchStudio(StudioApi, BatchHouse):
    """A running embedded studio whose paid providers are the sandbox."""

    @cached_property
    def control(self) -> SandboxControl:
        """The control side of its sandbox."""
        return SandboxControl(self.studio.config.sandbox_address)

    @property
    def ledger_url(self) -> str:
        """Where its ledger is."""
        return self.studio.environment.get("STUDIO_LEDGER_URL") or self.studio.config.ledger_database_url()

    @property
    def logs_folder(self) -> Path:
        """What its parts printed."""
        return self.studio.config.logs

    @property
    def sandbox_keys(self) -> SandboxKeys:
        """Who may call its sandbox."""
        return make_sandbox_keys(self.studio.config.sandbox_keys_file)

    @property
    def object_keys(self) -> Credentials:
        """The keys of its object store."""
        return ObjectStorePart(self.studio.config).credentials()

    def run_watched(
        self, batch: dict[str, Any], *, expect: str, rows: int, within_seconds: float
    ) -> tuple[BatchRun, Watched]:
        """Run a batch and watch its process."""
        watches: list[FlowWatch] = []

        def watch(run_id: str) -> FlowWatch:
            watches.append(FlowWatch("PREFECT__FLOW_RUN_ID", [run_id]))
            return watches[0]

        done = self.run_batch(batch, expect=expect, rows=rows, within_seconds=within_seconds, while_it_runs=watch)
        return done, watches[0].watched


@contextmanager
def batch_studio(home: Path) -> Iterator[BatchStudio]:
    """A studio with a sandbox of ready clips, furnished, as long as the block."""
    with studio_in(home, sandbox=True, sandbox_renderer="clip", on_schedule=True) as running:
        studio = BatchStudio(running)
        studio.furnish()
        yield studio
