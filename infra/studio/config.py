"""Where the embedded studio listens and keeps its files, and the environment that all of its processes share.

A port is taken from the command line, else from its variable such as ``STUDIO_PREFECT_PORT``, else from the last start
of this home folder, else from the defaults. Whether the sandbox runs is asked anew at every start; commands that are
given to a running studio find it in its state.
"""

import json
import os
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from infra.studio.secret_files import read_webhook_secret
from infra.studio.state import is_running, read_state
from tasks.errors import StudioError
from tasks.settings import StudioSettings

HOST = "127.0.0.1"
WORK_POOL = "studio"

PORT_NAMES = ("prefect_port", "s3_port", "webhook_port", "sandbox_port")
TOPVIEW_SANDBOX_BLOCK = "topview-sandbox"
MINGYAN_SANDBOX_BLOCK = "mingyan-sandbox"
ZEGO_SANDBOX_BLOCK = "zego-sandbox"
SANDBOX_BLOCKS = {
    "STUDIO_TOPVIEW_BLOCK": TOPVIEW_SANDBOX_BLOCK,
    "STUDIO_MINGYAN_BLOCK": MINGYAN_SANDBOX_BLOCK,
    "STUDIO_ZEGO_BLOCK": ZEGO_SANDBOX_BLOCK,
}
SANDBOX_ZEGO_APP_ID = 1_234_567_890
"""Number of the sandbox's ZEGO project; every sandbox has the same, as it is no secret."""
SANDBOX_PRICES = {
    "topview/avatar1": {"per_second": "0.1", "per_100_characters": "0.5", "unit": "credits"},
    "topview/avatar2": {"per_second": "0.4", "per_100_characters": "2", "unit": "credits"},
    "mingyan": {"per_second": "0.05", "unit": "CNY"},
    "zego": {"per_second": "0.01", "unit": "CNY"},
}
"""Made up, so that the sandbox shows what costs look like."""

_HIGHEST_S3_PORT = 65535 - 10000 - 1003
_SOURCE = Path(__file__).resolve().parents[2]


class StudioConfig(StudioSettings):
    """The runtime settings, and what only the embedded studio needs: ports and deadlines."""

    prefect_port: int = Field(default=4200, ge=1024, le=65535, description="Port of the Prefect server and its UI.")
    s3_port: int = Field(
        default=8333,
        ge=1024,
        le=_HIGHEST_S3_PORT,
        description="S3 port of the object store; nine internal ports are counted up from it, the last is +11003.",
    )
    webhook_port: int = Field(
        default=8350, ge=1024, le=65535, description="Port of the receiver of providers' notices."
    )
    sandbox_port: int = Field(default=8340, ge=1024, le=65535, description="Port of the sandbox, where one runs.")
    sandbox: bool = Field(
        default=False,
        description="Run the sandbox and let it stand in for the paid providers, whose blocks are not read.",
    )
    sandbox_renderer: Literal["quick", "local", "clip"] = Field(
        default="local",
        description="How the sandbox renders: a drawn face at once, the local renderer's video, or one of a few ready "
        "clips, for thousands of renders.",
    )
    start_seconds: float = Field(default=120, ge=5, description="Deadline of each part for becoming ready.")
    stop_seconds: float = Field(default=15, ge=1, description="Time a part has to stop by itself before it is killed.")

    @property
    def api_url(self) -> str:
        """Base URL of the Prefect API."""
        return f"http://{HOST}:{self.prefect_port}/api"

    @property
    def ui_url(self) -> str:
        """Address of the Prefect UI, for a browser."""
        return f"http://{HOST}:{self.prefect_port}"

    @property
    def s3_endpoint(self) -> str:
        """``host:port`` of the object store."""
        return f"{HOST}:{self.s3_port}"

    @property
    def webhook_address(self) -> str:
        """Where the receiver of notices listens."""
        return f"http://{HOST}:{self.webhook_port}"

    @property
    def sandbox_address(self) -> str:
        """Where the sandbox listens, when it runs."""
        return f"http://{HOST}:{self.sandbox_port}"

    @property
    def ports(self) -> dict[str, int]:
        """The ports that a person chooses, by the names of their settings."""
        return {name: getattr(self, name) for name in PORT_NAMES}

    @property
    def state_file(self) -> Path:
        """What runs, as JSON."""
        return self.root / "studio.json"

    @property
    def lock_file(self) -> Path:
        """Held locked by the supervisor for as long as it lives."""
        return self.root / "studio.lock"

    @property
    def logs(self) -> Path:
        """Folder with one log file per part."""
        return self.root / "logs"

    @property
    def objects(self) -> Path:
        """Folder of the object store: data, credentials, keys, sockets."""
        return self.root / "objects"

    @property
    def webhook_secret_file(self) -> Path:
        """What makes webhook addresses unguessable, unless the operator sets a secret."""
        return self.root / "webhook.secret"

    @property
    def sandbox_folder(self) -> Path:
        """Folder of the sandbox: jobs, files, charges."""
        return self.root / "sandbox"

    @property
    def sandbox_keys_file(self) -> Path:
        """Who may call the sandbox."""
        return self.root / "sandbox.json"

    @property
    def prefect_home(self) -> Path:
        """Prefect's own folder: database, profiles. A person's ``~/.prefect`` is never touched."""
        return self.root / "prefect"


def load_config(*, sandbox: bool | None = None, **ports: int | None) -> StudioConfig:
    """Read the configuration of the studio in this home folder.

    Args:
        sandbox: overrides environment and what runs.
        ports: ``prefect_port``, ``s3_port``, ``webhook_port``, ``sandbox_port``; override environment and memory.

    Raises:
        StudioError: a setting is out of bounds.
    """
    flags = {name: value for name, value in {**ports, "sandbox": sandbox}.items() if value is not None}
    try:
        config = StudioConfig.model_validate(flags)
    except ValidationError as error:
        raise StudioError(_explain(error), fix="Correct the option or the STUDIO_ environment variable.") from error
    state = read_state(config.state_file)
    if state is None:
        return config
    remembered: dict[str, int | bool] = dict(state.ports)
    if is_running(config.lock_file):
        remembered["sandbox"] = state.sandbox
    return config.model_copy(
        update={name: value for name, value in remembered.items() if name not in config.model_fields_set}
    )


def _explain(error: ValidationError) -> str:
    found = (
        f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']} (given: {item['input']!r})"
        for item in error.errors(include_url=False)
    )
    return "the configuration is not valid: " + "; ".join(found)


def studio_environment(config: StudioConfig) -> dict[str, str]:
    """Environment variables for whoever works with this studio: its parts, the command line, tests.

    Starts from the caller's environment. Prefect settings meant for another server are left out, logging settings
    are kept.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PREFECT_") or name.startswith("PREFECT_LOGGING_")
    }
    return (
        inherited
        | {name: value for name, value in _unless_set(config).items() if not inherited.get(name)}
        | _home(config)
        | _prefect(config)
        | _python(config)
        | _loopback_without_proxy()
    )


def _unless_set(config: StudioConfig) -> dict[str, str]:
    """What the operator may set otherwise. Without a proxy in front, only a sandbox can reach the receiver."""
    found = {"STUDIO_WEBHOOK_SECRET": read_webhook_secret(config.webhook_secret_file)}
    if config.sandbox:
        found |= {"STUDIO_WEBHOOK_URL": config.webhook_address, "STUDIO_PRICES": json.dumps(SANDBOX_PRICES)}
    return found


def _home(config: StudioConfig) -> dict[str, str]:
    return {
        "STUDIO_HOME": str(config.root),
        # The deployments name flow files relative to this folder.
        "STUDIO_SOURCE": str(_SOURCE),
        **{f"STUDIO_{name.upper()}": str(port) for name, port in config.ports.items()},
        "STUDIO_SANDBOX": str(config.sandbox).lower(),
        "STUDIO_SANDBOX_RENDERER": config.sandbox_renderer,
        # Beside a sandbox nothing names the real accounts, whatever the operator set.
        **(SANDBOX_BLOCKS if config.sandbox else {}),
    }


def _prefect(config: StudioConfig) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(config.prefect_home),
        "PREFECT_PROFILES_PATH": str(config.prefect_home / "profiles.toml"),
        "PREFECT_API_URL": config.api_url,
        # The UI's script in the browser would call port 4200 otherwise.
        "PREFECT_UI_API_URL": config.api_url,
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": str(config.prefect_port),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{config.prefect_home / 'prefect.db'}",
        # Without this a client that misses the server starts a second one by itself.
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "DO_NOT_TRACK": "1",
        # The steps log plainly; Prefect shows their lines on the run's page.
        "PREFECT_LOGGING_EXTRA_LOGGERS": "studio",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        # A run whose process vanished is noticed after two and a half of these; 30 s is Prefect's minimum.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # With the default of 10 s a started run waits 8 s for a worker to look; a look costs a few milliseconds.
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_HEARTBEAT_SECONDS": "10",
    }


def _python(config: StudioConfig) -> dict[str, str]:
    tools = str(Path(sys.executable).parent)
    # A flow run is started as `python`, which must be the interpreter that has the studio's packages.
    search = os.pathsep.join([tools, os.environ.get("PATH", os.defpath)])
    settings = {"PYTHONUNBUFFERED": "1", "PATH": search}
    if sys.dont_write_bytecode:
        # Compiling Prefect anew doubles the start of every process, flow runs too. The wish to keep source folders
        # clean is respected: the bytecode goes into the studio's own folder.
        settings |= {
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": sys.pycache_prefix or str(config.root / "cache" / "bytecode"),
        }
    return settings


def _loopback_without_proxy() -> dict[str, str]:
    hosts = [host for host in os.environ.get("NO_PROXY", os.environ.get("no_proxy", "")).split(",") if host]
    value = ",".join(dict.fromkeys([*hosts, HOST, "localhost"]))
    return {"NO_PROXY": value, "no_proxy": value}
