"""Prefect's server for the embedded studio, whose SQLite transactions take the write lock when they begin.

Prefect (3.8.8) begins them DEFERRED: it reads, and asks for the lock at its first write. When another transaction has
committed in between, SQLite refuses at once ("database is locked", whatever the busy timeout). The server then answers
503 or drops the event, and a dropped Crashed event is a run that is never started again. With BEGIN IMMEDIATE writers
queue up instead. On PostgreSQL nothing is changed, and plain `prefect server start` does as well.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from prefect.server.api.server import create_app
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_begin = AioSqliteConfiguration.begin_transaction
KEEP_ALIVE_SECONDS = 5


@asynccontextmanager
async def _begin_immediate(
    self: AioSqliteConfiguration,
    session: AsyncSession,
    with_for_update: bool = False,  # noqa: FBT001, FBT002 - Prefect's own signature
) -> AsyncIterator[AsyncSessionTransaction]:
    del with_for_update
    async with _begin(self, session, with_for_update=True) as transaction:
        yield transaction


class OwnPagesOnly:
    """Answers only what was meant for this server and, from a browser, only its own pages.

    Prefect's API has no password here and can start commands. Without this any web page in a browser on this machine
    could use it, by a plain request or by a name that leads to the loopback address.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._origins = {f"http://{host}" for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse with 403."""
        if scope["type"] == "lifespan" or self._is_ours(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse("this server answers its own machine and its own pages only", 403)(
                scope, receive, send
            )

    def _is_ours(self, headers: Headers) -> bool:
        return headers.get("host") in self._hosts and headers.get("origin", "") in {"", *self._origins}


def main() -> None:
    """Serve the API, the UI and the background services in this process until it is told to stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    arguments = parser.parse_args()
    AioSqliteConfiguration.begin_transaction = _begin_immediate  # type: ignore[method-assign]
    uvicorn.run(
        OwnPagesOnly(create_app(), arguments.port),
        host=arguments.host,
        port=arguments.port,
        log_level="warning",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


if __name__ == "__main__":
    main()
