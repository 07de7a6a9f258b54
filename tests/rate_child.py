"""A process that takes turns as fast as it can for a while and prints the moment of each, one a line.

``python -m tests.rate_child LEDGER_URL PER_SECOND SECONDS``
"""

import asyncio
import sys
import time

from tasks.ledger.store import Ledger
from tasks.polling.rate import QueryRate
from tests.scripted_provider import ScriptedProvider


async def main(url: str, per_second: float, seconds: float) -> None:
    """Take turns; the clock is one for all processes of this machine."""
    end = time.monotonic() + seconds
    async with await Ledger.open(url) as ledger:
        rate = QueryRate(ledger, ScriptedProvider(), per_second)
        while time.monotonic() < end:
            for _ in range(await rate.turns(5)):
                sys.stdout.write(f"{time.monotonic()}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
