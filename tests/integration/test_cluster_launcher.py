"""The launcher of compose files, with small programs in place of servers: order, restarts, kills, and no survivors."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra.cluster.client import Cluster, running_cluster
from infra.cluster.member_process import marked_processes
from tasks.errors import StudioUnavailable

WAIT_SECONDS = 60

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(os.environ["HOSTNAME"].encode())
    def log_message(self, *_):
        pass
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
"""
WORKER = """
import os, subprocess, sys, time
from pathlib import Path
assert Path(sys.argv[1]).read_text() == "done"
# A child in a session of its own, as Prefect starts flow runs.
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""
FILE = f"""
name: small
services:
  server:
    image: small:1.0
    command: [python, -c, {json.dumps(SERVER)}, 0.0.0.0, "4200"]
    expose: ["4200"]
    healthcheck:
      test: [CMD, python, -m, infra.cluster.answers, "http://127.0.0.1:4200/"]
      interval: 1s
      timeout: 10s
      retries: 60
    restart: unless-stopped
    deploy: {{replicas: 2}}
  setup:
    image: small:1.0
    command: [sh, -c, "printf ${{WHAT:-done}} >/data/setup; exit ${{CODE:-0}}"]
    volumes: ["data:/data"]
    depends_on: {{server: {{condition: service_healthy}}}}
    restart: "no"
  worker:
    image: small:1.0
    command: [python, -c, {json.dumps(WORKER)}, /data/setup]
    environment: {{PREFECT_API_URL: "http://server:4200/api"}}
    volumes: ["data:/data"]
    depends_on: {{setup: {{condition: service_completed_successfully}}}}
    restart: unless-stopped
volumes: {{data: {{}}}}
"""


def until(reached: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not reached():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, in which nothing runs afterwards."""
    with tempfile.TemporaryDirectory(prefix="cl-", dir="/tmp") as name:
        path = Path(name)
        (path / "compose.yaml").write_text(FILE)
        yield path
        left = list(marked_processes(path))
        for process in left:
            process.kill()
        assert left == []


@pytest.fixture
def cluster(folder: Path) -> Iterator[Cluster]:
    """Two servers behind one address, a one-shot service, a worker with a child."""
    with running_cluster(folder, file=folder / "compose.yaml") as found:
        yield found


def ask(cluster: Cluster) -> str:
    """Which server answers a new connection."""
    host, _, port = cluster.api_url.removeprefix("http://").removesuffix("/api").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while block := connection.recv(1000):
            answer += block
    return answer.decode().rpartition("\n")[2]


def pid_of(cluster: Cluster, service: str) -> int | None:
    return cluster.pids[service][0]


def worker_and_child(folder: Path) -> list[psutil.Process]:
    """The processes of the worker, once it has started its child."""
    until(lambda: len(list(marked_processes(folder, "worker-0"))) == 2, "the worker has no child")
    return list(marked_processes(folder, "worker-0"))


def test_connections_go_to_whichever_server_answers(cluster: Cluster) -> None:
    """Clients see one address: both servers take turns, and one that is dead is passed over until it is back."""
    assert {ask(cluster) for _ in range(4)} == {"server-0", "server-1"}

    cluster.kill("server", 0)
    assert {ask(cluster) for _ in range(4)} == {"server-1"}

    cluster.start("server", 0)
    assert {ask(cluster) for _ in range(4)} == {"server-0", "server-1"}


def test_member_that_dies_is_started_again(cluster: Cluster) -> None:
    """As with Docker's restart policy; what it had started does not outlive it."""
    before, children = pid_of(cluster, "worker"), worker_and_child(cluster.folder)
    os.kill(before, signal.SIGKILL)

    until(lambda: pid_of(cluster, "worker") not in {before, None}, "the worker did not come back")
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)
    assert cluster.state.members["worker-0"].restarts == 1


def test_member_that_is_killed_stays_down(cluster: Cluster) -> None:
    """A test decides when a machine comes back; with it go the processes that left its process group."""
    worker_and_child(cluster.folder)
    cluster.kill("worker")

    assert pid_of(cluster, "worker") is None
    assert list(marked_processes(cluster.folder, "worker-0")) == []


def test_service_that_must_succeed_stops_the_start(folder: Path) -> None:
    """Nobody starts on a set-up that failed; the start says why, and leaves nothing running."""
    with (
        pytest.raises(StudioUnavailable, match="setup-0 ended with 3"),
        running_cluster(folder, file=folder / "compose.yaml", variables={"CODE": "3"}),
    ):
        pass


def test_nothing_survives_a_killed_test_run(folder: Path) -> None:
    """Whoever uses a cluster may be killed: the cluster ends by itself."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from infra.cluster.client import running_cluster\n"
        "with running_cluster(Path(sys.argv[1]), file=Path(sys.argv[1]) / 'compose.yaml'):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    user = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
    assert user.stdout.readline() == b"ready\n"
    worker_and_child(folder)
    user.kill()
    user.wait(WAIT_SECONDS)

    until(lambda: not list(marked_processes(folder)), "something survived")


def test_next_start_ends_what_a_killed_launcher_left(folder: Path) -> None:
    """Members die with the launcher; a child that left their group is found by its mark."""
    with running_cluster(folder, file=folder / "compose.yaml") as cluster:
        worker_and_child(folder)
        os.kill(cluster.state.launcher, signal.SIGKILL)
        until(lambda: len(list(marked_processes(folder))) == 1, "members did not die with the launcher")

    with running_cluster(folder, file=folder / "compose.yaml") as again:
        assert len(worker_and_child(folder)) == 2
        assert again.state.phase == "ready"
