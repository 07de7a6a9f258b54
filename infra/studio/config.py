"""Where the embedded studio listens and keeps its files, and the environment that all of its processes share.

A port is taken from the command line, else from ``STUDIO_PREFECT_PORT`` and ``STUDIO_S3_PORT``, else from the last
start of this home folder, else from the defaults.
"""

import os
import sys
from pathlib import Path

from pydantic import Field, ValidationError

from infra.studio.state import read_state
from tasks.errors import StudioError
from tasks.settings import StudioSettings

HOST = "127.0.0.1"
WORK_POOL = "studio"

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
    def prefect_home(self) -> Path:
        """Prefect's own folder: database, profiles. A person's ``~/.prefect`` is never touched."""
        return self.root / "prefect"


def load_config(*, prefect_port: int | None = None, s3_port: int | None = None) -> StudioConfig:
    """Read the configuration of the studio in this home folder.

    Args:
        prefect_port: overrides environment and memory.
        s3_port: overrides environment and memory.

    Raises:
        StudioError: a setting is out of bounds.
    """
    flags = {name: port for name, port in (("prefect_port", prefect_port), ("s3_port", s3_port)) if port is not None}
    try:
        config = StudioConfig.model_validate(flags)
    except ValidationError as error:
        raise StudioError(_explain(error), fix="Correct the option or the STUDIO_ environment variable.") from error
    state = read_state(config.state_file)
    remembered = state.ports if state else {}
    return config.model_copy(
        update={name: port for name, port in remembered.items() if name not in config.model_fields_set}
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
    return inherited | _home(config) | _prefect(config) | _python(config) | _loopback_without_proxy()


def _home(config: StudioConfig) -> dict[str, str]:
    return {
        "STUDIO_HOME": str(config.root),
        # The deployments name flow files relative to this folder.
        "STUDIO_SOURCE": str(_SOURCE),
        "STUDIO_PREFECT_PORT": str(config.prefect_port),
        "STUDIO_S3_PORT": str(config.s3_port),
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
