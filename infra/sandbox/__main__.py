"""Starts the sandbox: ``python -m infra.sandbox --port 4280 --folder .studio/sandbox``."""

import argparse
import logging
import sys
from pathlib import Path

import uvicorn

from infra.sandbox.app import build_app
from infra.sandbox.clips import QuickRenderer
from infra.sandbox.connection import CuttableProtocol
from infra.sandbox.knobs import Credentials
from infra.sandbox.material import Renderer
from infra.sandbox.prerendered import ClipRenderer

_KEEP_ALIVE_SECONDS = 5
_STOP_SECONDS = 2


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m infra.sandbox", description="Vendors on loopback, for tests.")
    parser.add_argument("--host", default="127.0.0.1", help="IP address to listen on")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--folder", type=Path, required=True, help="where the state is kept")
    parser.add_argument("--renderer", choices=("quick", "local", "clip"), default="quick", help="who makes the videos")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(message)s")
    # Its lines carry whole addresses, and with them the signatures of links.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    folder = arguments.folder.resolve()
    app = build_app(folder, _renderer(arguments.renderer, folder), Credentials.from_environment(), arguments.host)
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        http=CuttableProtocol,
        ws="none",
        access_log=False,
        date_header=False,
        log_config=None,
        log_level="warning",
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_STOP_SECONDS,
    )


def _renderer(name: str, folder: Path) -> Renderer:
    if name == "quick":
        return QuickRenderer()
    if name == "clip":
        return ClipRenderer(folder / "clips")
    # Loads the inference libraries, which the quick renderer never needs.
    from infra.sandbox.studio_renderer import StudioRenderer  # noqa: PLC0415 - loads too slowly
    from tasks.settings import get_settings  # noqa: PLC0415 - only needed here

    return StudioRenderer(get_settings().spool)


if __name__ == "__main__":
    main()
