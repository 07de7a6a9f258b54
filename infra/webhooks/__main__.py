"""Serves the receiver in this process until it is told to stop."""

import argparse
import asyncio
import logging
import os

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from infra.webhooks.app import Bounds, create_app
from tasks.settings import get_settings

CONNECTION_SECONDS = 30
"""Life of a connection; uvicorn sets no time for a request's headers."""
MOST_CONNECTIONS = 256
LARGEST_HEADERS = 16 * 1024
MOST_EVENTS_WAITING = 1000


class ShortConnection(H11Protocol):
    """A connection that is cut off when its time is over, whatever is still missing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock."""
        super().connection_made(transport)
        self._end = self.loop.call_later(CONNECTION_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._end.cancel()
        super().connection_lost(exc)


def main() -> None:
    """Read the command line and serve."""
    normal = Bounds()
    parser = argparse.ArgumentParser(prog="python -m infra.webhooks", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8350)
    parser.add_argument("--body-seconds", type=float, default=normal.body_seconds, help="time for sending a body")
    parser.add_argument("--client-rate", type=float, default=normal.client_rate, help="calls per second of an address")
    parser.add_argument("--total-rate", type=float, default=normal.total_rate, help="calls per second of everybody")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Its lines carry addresses; those of Prefect's sender are no news.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # While Prefect is away its sender keeps events in memory, without end unless told otherwise.
    os.environ.setdefault("PREFECT_EVENTS_WORKER_MAX_QUEUE_SIZE", str(MOST_EVENTS_WAITING))
    bounds = Bounds(arguments.body_seconds, arguments.client_rate, arguments.total_rate)
    uvicorn.run(
        create_app(get_settings().ledger_database_url(), bounds),
        host=arguments.host,
        port=arguments.port,
        http=ShortConnection,
        ws="none",
        # Addresses carry tokens: no access log. What strangers garble is no news either.
        access_log=False,
        log_level="error",
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LARGEST_HEADERS,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
