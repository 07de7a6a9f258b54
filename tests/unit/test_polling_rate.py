"""Turns for questions: evenly spaced, and never more than a provider allows, however many processes ask."""

import asyncio
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest

from tasks.ledger.store import Ledger
from tasks.polling.rate import LATE_SECONDS, SHARE, QueryRate
from tests.simulated_polls import SimulatedLedger, TimedProvider
from tests.virtual_time import run_virtually

ROOT = Path(__file__).parents[2]


async def take(rate: QueryRate, count: int, wanted: int) -> list[float]:
    """The moments of so many turns."""
    loop, moments = asyncio.get_running_loop(), []
    while len(moments) < count:
        come = await rate.turns(wanted)
        moments += [loop.time()] * come
    return moments


@pytest.mark.parametrize("per_second", [0.5, 5, 40])
@pytest.mark.parametrize("wanted", [1, 3, 100])
def test_turns_are_evenly_spaced(per_second: float, wanted: int) -> None:
    """No second sees more than the rate, and nearly all of it can be used."""

    async def check() -> None:
        rate = QueryRate(cast(Ledger, SimulatedLedger()), TimedProvider(), per_second)
        moments = await take(rate, 60, wanted)

        gaps = [later - earlier for earlier, later in pairwise(moments)]
        assert min(gaps) > 0.8 / (SHARE * per_second)
        assert moments[-1] - moments[0] < 1.2 * 60 / (SHARE * per_second)

    run_virtually(check())


def test_turns_that_were_missed_do_not_come_in_a_bunch() -> None:
    """A process that was held up loses its turns: made up for, they would meet the next ones."""

    async def check() -> None:
        loop = asyncio.get_running_loop()
        rate = QueryRate(cast(Ledger, SimulatedLedger()), TimedProvider(), 40)
        await take(rate, 5, 30)
        await asyncio.sleep(0.6)
        begin = loop.time()
        moments = await take(rate, 36, 30)

        assert sum(moment - begin < 0.5 for moment in moments) <= (0.5 + LATE_SECONDS) * 40

    run_virtually(check())


def test_several_processes_share_the_rate(tmp_path: Path) -> None:
    """Three processes that ask as fast as they may stay together under the rate of the provider."""
    url = f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"
    command = [sys.executable, "-m", "tests.rate_child", url, "40", "4"]
    children = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [child.communicate(timeout=90)[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]

    assert all(told)
    moments = sorted(float(moment) for moments in told for moment in moments)
    most = max(sum(begin <= moment < begin + 1 for moment in moments) for begin in moments)
    assert most <= 40
