"""Configuration and environment of the embedded studio."""

import sys
from pathlib import Path

import pytest

from infra.studio.board import installed_version
from infra.studio.config import load_config, studio_environment
from infra.studio.restarts import HOPELESS_PAUSE_SECONDS, MOST_RESTARTS, WINDOW_SECONDS, RestartBudget
from infra.studio.state import StudioState, write_state
from tasks.errors import StudioError
from tests.unit.test_state import make_state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    monkeypatch.delenv("STUDIO_PREFECT_PORT", raising=False)
    monkeypatch.delenv("STUDIO_S3_PORT", raising=False)
    return tmp_path


def remember(home: Path) -> StudioState:
    state = make_state(version=installed_version())
    write_state(home / "studio.json", state)
    return state


def test_ports_are_remembered(home: Path) -> None:
    """A later command finds the studio on the ports of its last start, without repeating them."""
    remember(home)

    config = load_config()

    assert (config.prefect_port, config.s3_port) == (5000, 6000)


def test_environment_and_flags_win_over_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command line first, then environment, then memory."""
    remember(home)
    monkeypatch.setenv("STUDIO_PREFECT_PORT", "5001")
    monkeypatch.setenv("STUDIO_S3_PORT", "6001")

    config = load_config(s3_port=6002)

    assert (config.prefect_port, config.s3_port) == (5001, 6002)


def test_a_port_out_of_bounds_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """An S3 port so high that its gRPC ports would not exist is refused by name, not by a traceback."""
    monkeypatch.setenv("STUDIO_S3_PORT", "60000")

    with pytest.raises(StudioError, match="s3_port"):
        load_config()


def test_settings_for_another_server_do_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's own Prefect account and database never reach the embedded studio; log levels do."""
    monkeypatch.setenv("PREFECT_API_KEY", "secret")
    monkeypatch.setenv("PREFECT_API_URL", "https://elsewhere.example/api")
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    config = load_config()

    environment = studio_environment(config)

    assert "PREFECT_API_KEY" not in environment
    assert config.api_url == environment["PREFECT_API_URL"]
    assert environment["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert environment["PREFECT_HOME"].startswith(str(config.root))


def test_loopback_bypasses_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a company proxy, calls to the studio's own servers stay on this machine."""
    monkeypatch.setenv("NO_PROXY", "intranet.example")

    hosts = studio_environment(load_config())["NO_PROXY"].split(",")

    assert hosts == ["intranet.example", "127.0.0.1", "localhost"]


def test_bytecode_is_kept_where_the_environment_forbids_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bytecode is switched off, it goes into the home folder, so that a flow run does not compile Prefect."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "pycache_prefix", None)

    environment = studio_environment(load_config())

    assert environment["PYTHONDONTWRITEBYTECODE"] == ""
    assert environment["PYTHONPYCACHEPREFIX"].startswith(str(home))


def test_restarts_slow_down_and_never_end() -> None:
    """A part that keeps dying is restarted ever more slowly, once a minute at last; calm times refill the budget."""
    now = 0.0
    budget = RestartBudget(clock=lambda: now)

    pauses = [budget.next_pause() for _ in range(MOST_RESTARTS)]

    assert sorted(pauses) == pauses
    assert pauses[0] < pauses[-1]
    assert budget.next_pause() == HOPELESS_PAUSE_SECONDS
    now += WINDOW_SECONDS + 1
    assert budget.next_pause() == pauses[0]
