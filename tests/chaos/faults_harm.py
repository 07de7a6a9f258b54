"""What is done to processes while a request is rendered: a vendor is gone, parts of the studio hang or die."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from infra.studio.processes import processes_of_part
from tests.chaos.faults_lane import Disturbance, Lane, undisturbed
from tests.chaos.faults_table import Fault

RESTART_SECONDS = 60


def harm_of(fault: Fault) -> Disturbance:
    """The disturbance that a row names."""
    part, _, how = fault.disturb.partition(" ")
    seconds = fault.seconds_of_disturbance
    if not part:
        return undisturbed
    if part == "sandbox_gone":
        return _sandbox_gone
    if part == "sandbox_gone_while_polling":
        return lambda lane, request: _beside(_sandbox_is_away, lane, request)
    if how == "impatient":
        return lambda lane, request: _impatient(lane, request, part, seconds)
    harm = _hang if how == "hangs" else _die_and_hang
    return lambda lane, request: _beside(lambda lane, _: harm(lane, part, seconds), lane, request)


@contextmanager
def _sandbox_gone(lane: Lane, _request: dict[str, Any]) -> Iterator[None]:
    lane.sandbox.kill()
    try:
        yield
    finally:
        lane.hands.submit(lane.sandbox.restart).result()


def _sandbox_is_away(lane: Lane, _request: dict[str, Any]) -> None:
    lane.sandbox.kill()
    time.sleep(2)
    lane.sandbox.restart()


@contextmanager
def _impatient(lane: Lane, request: dict[str, Any], part: str, seconds: float) -> Iterator[None]:
    lane.renderer().order("be_patient_with_the_store", seconds=0)
    try:
        with _beside(lambda lane, _: _be_gone(lane, part, seconds), lane, request):
            yield
    finally:
        lane.renderer().order("be_patient_with_the_store", seconds=60)


@contextmanager
def _beside(harm: Callable[[Lane, dict[str, Any]], None], lane: Lane, request: dict[str, Any]) -> Iterator[None]:
    """Do harm once the request is under way; the block ends when both are over."""

    def work() -> None:
        lane.wait_under_way(request)
        harm(lane, request)

    harming = lane.hands.submit(work)
    try:
        yield
    finally:
        harming.result()


def _processes(lane: Lane, part: str) -> list[psutil.Process]:
    found = processes_of_part(lane.studio.home, part)
    return [process for process in found if "prefect.engine" not in " ".join(process.cmdline())]


def _hang(lane: Lane, part: str, seconds: float) -> None:
    """Stop the processes of a part, and let them go on."""
    processes = _processes(lane, part)
    assert processes
    _signal(processes, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        _signal(processes, signal.SIGCONT)


def _die_and_hang(lane: Lane, part: str, seconds: float) -> None:
    """Kill a part; what the supervisor starts in its place hangs for the rest of the time."""
    end = time.monotonic() + seconds
    killed = _processes(lane, part)
    assert killed
    _signal(killed, signal.SIGKILL)
    psutil.wait_procs(killed, RESTART_SECONDS)
    deadline = time.monotonic() + RESTART_SECONDS
    while not _processes(lane, part):
        assert time.monotonic() < deadline, f"{part} was not started again"
        time.sleep(0.05)
    _hang(lane, part, max(0.0, end - time.monotonic()))


def _be_gone(lane: Lane, part: str, seconds: float) -> None:
    """Kill a part while the supervisor cannot start it again, so that every call to it is refused."""
    supervisors = _processes(lane, "supervisor")
    assert supervisors
    _signal(supervisors, signal.SIGSTOP)
    try:
        _signal(_processes(lane, part), signal.SIGKILL)
        time.sleep(seconds)
    finally:
        _signal(supervisors, signal.SIGCONT)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        # A part that has just been started may have helpers that live for a moment only.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
