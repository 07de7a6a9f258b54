"""What all tests share: a home folder of their own, and no setting of a person's shell."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tasks.settings import get_settings
from tests.reported import SECTIONS

# These machines are slow and shared: time is no test result.
settings.register_profile("studio", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None)
settings.load_profile("studio")

for name in [name for name in os.environ if name.startswith(("STUDIO_", "PREFECT_"))]:
    del os.environ[name]

# A shell that starts the tests in the background has them ignore Ctrl-C, and all commands that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def studio_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder for one test, which the settings name."""
    home = tmp_path / "home"
    monkeypatch.setenv("STUDIO_HOME", str(home))
    get_settings.cache_clear()
    yield home
    get_settings.cache_clear()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand tables to the process that prints, where this one is a worker of it."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["sections"] = SECTIONS


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the tables of a worker; one that crashed has none."""
    SECTIONS.update(getattr(node, "workeroutput", {}).get("sections", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print all tables."""
    for title, lines in SECTIONS.items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


from tests.studio_fixture import running_studio  # noqa: E402, F401 - a fixture, after the environment is clean
