"""What is done to Prefect's background services, against a real PostgreSQL that is stopped and started."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer

PROGRAM = """
import asyncio, sys
from infra.cluster import services

written = []

async def record(events):
    written.append(events)

async def main():
    await services.patiently(record)(["first"])
    print("recorded", len(written), flush=True)
    sys.stdin.readline()
    waiting = asyncio.create_task(services.patiently(record)(["second"]))
    await asyncio.sleep(2 * services.LOOK_EVERY_SECONDS)
    print("recorded", len(written), flush=True)
    await asyncio.wait_for(waiting, 150)
    print("recorded", len(written), flush=True)

asyncio.run(main())
"""

PATIENCE = 180
"""Seconds; the program's imports alone take many on a busy machine."""


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test."""
    with PostgresServer() as server:
        yield server


async def test_nothing_is_recorded_before_the_database_answers(postgres: PostgresServer) -> None:
    """An event that comes while PostgreSQL is down is neither tried nor dropped, and is recorded once it is back."""
    environment = os.environ | {"PREFECT_SERVER_DATABASE_CONNECTION_URL": postgres.create_database()}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    )
    try:
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"recorded 1\n"
        postgres.stop()
        process.stdin.write(b"go\n")
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"recorded 1\n"
        postgres.start()
        assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"recorded 2\n"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
