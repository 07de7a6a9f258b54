"""One real studio per test session, on free ports and in a folder of its own.

Use it with ``from tests.studio_fixture import running_studio`` in a conftest. It stops with the test process, however
that ends.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.studio.config import StudioConfig, studio_environment
from infra.studio.lifecycle import launch, stop, wait_until_ready
from infra.studio.ports import free_ports

PASSES_SECONDS = 180.0


@dataclass(frozen=True)
class RunningStudio:
    """A studio whose parts are all ready and whose deployments are registered."""

    config: StudioConfig
    environment: dict[str, str]
    """For subprocesses, and for ``os.environ`` before Prefect is imported."""

    @property
    def home(self) -> Path:
        """Folder of all its state."""
        return self.config.root

    @property
    def api_url(self) -> str:
        """Prefect API."""
        return self.config.api_url

    @property
    def s3_endpoint(self) -> str:
        """``host:port`` of the object store."""
        return self.config.s3_endpoint


def make_config(home: Path, *, sandbox: bool = False, sandbox_renderer: str = "quick") -> StudioConfig:
    """Configuration of a studio in a folder, on ports that are free now; a sandbox draws its faces at once."""
    facts = {"home": home, "sandbox": sandbox, "sandbox_renderer": sandbox_renderer}
    return StudioConfig.model_validate({**facts, **free_ports()})


@contextmanager
def studio_in(
    home: Path, *, sandbox: bool = False, sandbox_renderer: str = "quick", on_schedule: bool = False
) -> Iterator[RunningStudio]:
    """A studio that runs as long as the block.

    Args:
        home: its folder.
        sandbox: whether it plays the paid providers.
        sandbox_renderer: how the sandbox renders.
        on_schedule: let its schedules start runs; several studios that do so every minute keep two cores busy.
    """
    config = make_config(home, sandbox=sandbox, sandbox_renderer=sandbox_renderer)
    supervisor = launch(config, leash=True)
    try:
        wait_until_ready(config, supervisor, lambda _state: None)
        if not on_schedule:
            with httpx.Client(base_url=config.api_url, timeout=60) as client:
                _switch_schedules_off(client)
                _end_scheduled_runs(client)
        yield RunningStudio(config, studio_environment(config))
    finally:
        stop(config)
        supervisor.wait(timeout=config.stop_seconds)


def _switch_schedules_off(client: httpx.Client) -> None:
    for deployment in client.post("/deployments/filter", json={}).raise_for_status().json():
        for schedule in deployment["schedules"]:
            address = f"/deployments/{deployment['id']}/schedules/{schedule['id']}"
            client.patch(address, json={"active": False}).raise_for_status()


def _end_scheduled_runs(client: httpx.Client) -> None:
    """Wait for what the schedules had begun before they were off, such as a pass that calls the vendors."""
    end = time.monotonic() + PASSES_SECONDS
    while found := _scheduled_runs(client):
        if time.monotonic() > end:
            raise TimeoutError(f"runs of schedules are still under way: {[run['name'] for run in found]}")
        for run in found:
            if run["state"]["type"] == "SCHEDULED":
                # Where the worker was faster, it is under way now and waited for.
                client.delete(f"/flow_runs/{run['id']}")
        time.sleep(0.5)


def _scheduled_runs(client: httpx.Client) -> list[dict[str, Any]]:
    unfinished = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}}
    found = client.post("/flow_runs/filter", json=unfinished).raise_for_status().json()
    return [run for run in found if run["auto_scheduled"]]


@pytest.fixture(scope="session")
def running_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStudio]:
    """A studio that runs for the whole session."""
    with studio_in(tmp_path_factory.mktemp("studio") / "home") as studio:
        yield studio
