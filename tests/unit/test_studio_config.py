"""Configuration and environment of the embedded studio."""

import json
import stat
import sys
from pathlib import Path

import pytest

from infra.studio.board import installed_version
from infra.studio.config import load_config, studio_environment
from infra.studio.lifecycle import require_sandbox
from infra.studio.parts.sandbox import SandboxPart
from infra.studio.parts.webhooks import WebhooksPart
from infra.studio.restarts import HOPELESS_PAUSE_SECONDS, MOST_RESTARTS, WINDOW_SECONDS, RestartBudget
from infra.studio.secret_files import make_sandbox_keys, make_webhook_secret
from infra.studio.state import StudioState, held_lock, write_state
from tasks.errors import StudioError
from tasks.settings import StudioSettings
from tests.unit.test_state import make_state


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    return tmp_path


def remember(home: Path, **changes: object) -> StudioState:
    state = make_state(version=installed_version(), **changes)
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


def test_all_ports_are_remembered_and_handed_on(home: Path) -> None:
    """Every part, and every command to the running studio, sees the same four ports."""
    ports = {"prefect_port": 5000, "s3_port": 6000, "webhook_port": 7000, "sandbox_port": 8000}
    remember(home, ports=ports)

    config = load_config()
    environment = studio_environment(config)

    assert config.ports == ports
    assert {name: environment[f"STUDIO_{name.upper()}"] for name in ports} == {
        name: str(port) for name, port in ports.items()
    }


def test_a_running_sandbox_is_found_and_a_stopped_one_forgotten(home: Path) -> None:
    """Commands to a studio with the sandbox use the sandbox's accounts; the next start is a new decision."""
    state = remember(home, sandbox=True)

    with held_lock(home / "studio.lock"):
        assert load_config().sandbox
    assert not load_config().sandbox
    assert load_config(sandbox=True).sandbox
    assert state.sandbox


def test_the_sandbox_keeps_real_accounts_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a sandbox no real block is named, even if the operator names one, and costs are visible."""
    monkeypatch.setenv("STUDIO_TOPVIEW_BLOCK", "the-real-account")

    environment = studio_environment(load_config(sandbox=True))

    assert environment["STUDIO_TOPVIEW_BLOCK"] == "topview-sandbox"
    assert environment["STUDIO_MINGYAN_BLOCK"] == "mingyan-sandbox"
    assert environment["STUDIO_ZEGO_BLOCK"] == "zego-sandbox"
    assert environment["STUDIO_WEBHOOK_URL"] == "http://127.0.0.1:8350"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert {"topview/avatar1", "topview/avatar2", "mingyan", "zego"} == StudioSettings().prices.keys()


def test_without_the_sandbox_no_provider_is_called_back_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notices need an address that providers can reach, which only the operator knows; prices too."""
    monkeypatch.setenv("STUDIO_TOPVIEW_BLOCK", "the-real-account")

    environment = studio_environment(load_config())

    assert environment["STUDIO_TOPVIEW_BLOCK"] == "the-real-account"
    assert {"STUDIO_WEBHOOK_URL", "STUDIO_PRICES", "STUDIO_MINGYAN_BLOCK"}.isdisjoint(environment)


def test_the_operators_webhook_settings_win(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody set for a proxy in front is not replaced by what the studio makes up."""
    make_webhook_secret(home / "webhook.secret")
    own = {"STUDIO_WEBHOOK_URL": "https://x.example", "STUDIO_WEBHOOK_SECRET": "s", "STUDIO_PRICES": "{}"}
    for name, value in own.items():
        monkeypatch.setenv(name, value)

    environment = studio_environment(load_config(sandbox=True))

    assert own == {name: environment[name] for name in own}


def test_the_webhook_secret_is_private_and_stays(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses given to a provider stay valid over restarts; a variable that is set to nothing is not a secret."""
    path = home / "webhook.secret"
    monkeypatch.setenv("STUDIO_WEBHOOK_SECRET", "")
    make_webhook_secret(path)
    first = studio_environment(load_config())["STUDIO_WEBHOOK_SECRET"]
    make_webhook_secret(path)

    assert studio_environment(load_config())["STUDIO_WEBHOOK_SECRET"] == first
    assert len(first) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_sandbox_has_credentials_of_its_own(tmp_path: Path) -> None:
    """They are made up once, kept private, and a damaged file is explained."""
    path = tmp_path / "sandbox.json"
    keys = make_sandbox_keys(path)

    assert make_sandbox_keys(path) == keys
    assert keys.topview_key not in repr(keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("{}")
    with pytest.raises(StudioError, match=r"sandbox\.json"):
        make_sandbox_keys(path)


def test_an_older_sandbox_keeps_its_credentials(tmp_path: Path) -> None:
    """Blocks and jobs of a home from before the third vendor stay valid; what it lacks is added once, and privately."""
    path = tmp_path / "sandbox.json"
    old = {"topview_uid": "u-1", "topview_key": "k-1", "mingyan_key": "k-2"}
    path.write_text(json.dumps(old))

    keys = make_sandbox_keys(path)

    assert {name: getattr(keys, name) for name in old} == old
    assert len({keys.zego_server_secret, keys.zego_callback_secret, ""}) == 3
    assert make_sandbox_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_callbacks_of_the_sandbox_are_believed_by_its_own_studio_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver checks with what the sandbox signs with, whatever the operator set; without a sandbox, with that."""
    monkeypatch.setenv("STUDIO_ZEGO_CALLBACK_SECRET", "the-real-projects")
    beside, alone = load_config(sandbox=True), load_config()
    beside.root.mkdir(parents=True, exist_ok=True)
    sandbox = SandboxPart(beside).environment()

    assert WebhooksPart(beside).environment() == {
        "STUDIO_ZEGO_CALLBACK_SECRET": sandbox["SANDBOX_ZEGO_CALLBACK_SECRET"]
    }
    assert sandbox["SANDBOX_ZEGO_CALLBACK_URL"] == "http://127.0.0.1:8350/zego"
    assert WebhooksPart(alone).environment() == {}
    assert studio_environment(alone)["STUDIO_ZEGO_CALLBACK_SECRET"] == "the-real-projects"


def test_a_studio_with_real_accounts_does_not_pass_for_a_sandbox() -> None:
    """`--sandbox` at a studio that runs without is refused, since its renders would be paid for."""
    with pytest.raises(StudioError, match="real accounts"):
        require_sandbox(load_config(sandbox=True), make_state())

    require_sandbox(load_config(sandbox=True), make_state(sandbox=True))
    require_sandbox(load_config(), make_state())


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
