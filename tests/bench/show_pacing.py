"""How evenly PCM is sent to a live show, one and twenty at once, while another process keeps the other core busy.

The sandbox measures, in this process; the senders share one process of their own.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.child import in_child
from tests.bench.lab import Lab
from tests.bench.media import write_speech
from tests.bench.rows import Limit, Row
from tests.servers.drive_socket import drive_house

MANY = 20
# The plain loop costs the same every minute; two of them tell.
PLAIN_SECONDS = 120.0


@dataclass(frozen=True)
class _Found:
    """What the sender's process and the sandbox told of drives that were sent at the same time."""

    sender: dict[str, Any]
    heard: list[dict[str, Any]]
    stall: float
    """The most that the sandbox itself was held up, in seconds: it hears a frame so much too late."""

    def of(self, fact: str) -> list[float]:
        return [float(drive[fact]) for drive in self.heard]

    @property
    def cpu(self) -> float:
        """CPU milliseconds per second of audio."""
        return 1000 * float(self.sender["cpu"]) / sum(self.of("seconds"))


def run(lab: Lab) -> list[Row]:
    """Ten minutes in one show, then in twenty at once, and the plain loop beside each."""
    seconds = 30.0 if lab.quick else 600.0
    folder = lab.folder / "pacing"
    folder.mkdir()
    speech = write_speech(folder / "speech.wav", seconds)
    short = write_speech(folder / "short.wav", min(seconds, PLAIN_SECONDS))
    rows = []
    for count in (1, MANY):
        with _busy_core():
            ours = asyncio.run(_measure("send", count, speech, seconds))
            plain = asyncio.run(_measure("send_plainly", count, short, seconds))
        rows += _rows(f"{'1 show' if count == 1 else f'{count} shows at once'}, {seconds:g} s", ours, plain)
    return rows


def _rows(what: str, ours: _Found, plain: _Found) -> list[Row]:
    in_hand = f"least audio in hand {min(ours.of('least_lead_seconds')):.2f} s"
    plainly = f"{min(plain.of('least_lead_seconds')):.2f} s and {sum(plain.of('underruns')):.0f} under-runs"
    return [
        Row(f"{what}: under-runs", [sum(ours.of("underruns"))], unit="", wanted=Limit(0)),
        Row(
            f"{what}: most ahead of real time",
            ours.of("most_ahead"),
            unit="x",
            wanted=Limit(1.5),
            note=f"after the first frame {max(ours.of('fastest')):.2f}x; the sandbox stalled for {ours.stall:.2f} s",
        ),
        Row(
            f"{what}: drift at the end",
            ours.sender["drifts"],
            baseline="a sleep after each frame",
            baseline_samples=plain.sender["drifts"],
            wanted=Limit(0.05),
            note=f"the baseline's is over {plain.of('seconds')[0]:g} s",
        ),
        Row(
            f"{what}: latest frame",
            ours.sender["latest"],
            note=f"{in_hand}; with a sleep after each frame {plainly}",
        ),
        Row(
            f"{what}: CPU per second of audio",
            [ours.cpu],
            unit="ms",
            baseline="a sleep after each frame, undecoded",
            baseline_samples=[plain.cpu],
        ),
    ]


async def _measure(sender: str, count: int, path: Path, seconds: float) -> _Found:
    async with drive_house() as house:
        drives = [house.new_drive() for _ in range(count)]
        over = asyncio.Event()
        stall = asyncio.create_task(_longest_stall(over))
        call = await asyncio.to_thread(
            in_child,
            f"tests.bench.show_call:{sender}",
            within_seconds=seconds * 1.5 + 120,
            drives=[[drive.drive_id, drive.address.get_secret_value()] for drive, _ in drives],
            path=str(path),
        )
        heard = [await house.facts(heard) for _, heard in drives]
        over.set()
        return _Found(call.answer, heard, await stall)


async def _longest_stall(over: asyncio.Event) -> float:
    """The most that a short sleep was late."""
    loop, worst = asyncio.get_running_loop(), 0.0
    while not over.is_set():
        began = loop.time()
        await asyncio.sleep(0.01)
        worst = max(worst, loop.time() - began - 0.01)
    return worst


@contextmanager
def _busy_core() -> Iterator[None]:
    """A process that never waits."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()
