"""State file and lock of the studio."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from infra.studio.processes import ProcessMark, end, find, mark_of, processes_of_part, studio_processes
from infra.studio.state import PartState, StudioState, held_lock, is_running, read_state, write_state


def make_state(**changes: object) -> StudioState:
    state = StudioState(
        version="1",
        home=Path("/home"),
        supervisor=mark_of(os.getpid()),
        ports={"prefect_port": 5000, "s3_port": 6000},
        parts={"worker": PartState(phase="ready", process=mark_of(os.getpid()), seconds=1.5)},
    )
    return state.model_copy(update=changes)


def sleeper(home: Path, part: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "STUDIO_HOME": str(home), "STUDIO_PART": part}
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
    deadline = time.monotonic() + 10
    while psutil.Process(child.pid).cmdline()[1:2] != ["-c"] and time.monotonic() < deadline:
        time.sleep(0.01)
    return child


def test_state_survives_a_round_trip(tmp_path: Path) -> None:
    """What the supervisor writes is what the command line reads."""
    path = tmp_path / "studio.json"
    write_state(path, make_state())

    assert make_state() == read_state(path)


def test_a_damaged_state_file_counts_as_none(tmp_path: Path) -> None:
    """Half a file, or one of another version, does not stop `up` or `down`."""
    path = tmp_path / "studio.json"
    path.write_text('{"version": 3, "parts')

    assert read_state(path) is None
    assert read_state(tmp_path / "nothing.json") is None


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    """Two supervisors can never run one home folder."""
    path = tmp_path / "studio.lock"
    with held_lock(path) as first, held_lock(path) as second:
        assert first
        assert not second
        assert is_running(path)

    assert not is_running(path)


def test_a_reused_process_id_is_not_ours() -> None:
    """A process with the noted id but another start time is left alone."""
    mine = mark_of(os.getpid())

    assert find(mine) is not None
    assert find(ProcessMark(pid=mine.pid, created=mine.created - 60)) is None


def test_foreign_processes_are_never_found(tmp_path: Path) -> None:
    """Only processes that carry this home folder and a part's name count, not those of another studio."""
    mine, other = sleeper(tmp_path / "mine", "worker"), sleeper(tmp_path / "other", "worker")
    try:
        assert [mine.pid] == [process.pid for process in studio_processes(tmp_path / "mine")]
        assert processes_of_part(tmp_path / "mine", "renderer") == []
    finally:
        for child in (mine, other):
            child.kill()
            child.wait()


def test_stubborn_processes_are_killed() -> None:
    """A process that ignores SIGTERM is gone after the grace, and is reported."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child.stdout.readline()

    killed = end([psutil.Process(child.pid)], grace_seconds=0.2)

    assert [child.pid] == [process.pid for process in killed]
    assert not psutil.pid_exists(child.pid)
    child.wait()
    child.stdout.close()
