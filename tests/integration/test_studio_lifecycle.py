"""The embedded studio from the command line: up, attach, doctor, status, deaths, down. All of it is real.

The tests of this file run in order on one studio that starts twice, since each start costs seconds.
"""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.studio.config import StudioConfig, studio_environment
from infra.studio.lifecycle import current_state, stop
from infra.studio.parts.object_store import ObjectStorePart
from infra.studio.ports import free_ports, needed_ports, require_free
from infra.studio.prefect_api import call
from infra.studio.processes import processes_of_part, studio_processes
from infra.studio.supervisor import make_parts
from tests.studio_fixture import make_config

COMMAND_SECONDS = 120


class Studio:
    """A home folder, and the command line in it."""

    def __init__(self, config: StudioConfig) -> None:
        self.config = config
        self.environment = studio_environment(config)
        self.front: subprocess.Popen[str] | None = None
        self.cut_off_run = ""

    def start_in_foreground(self) -> dict[str, Any]:
        """Run `up` as a person does, and wait for what it prints."""
        self.front = subprocess.Popen(
            self.command("up", "--json"), env=self.environment, stdout=subprocess.PIPE, text=True
        )
        return json.loads(self.front.stdout.readline())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def ask(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run one command; its exit code and JSON object."""
        done = self.run(*arguments, "--json")
        return done.returncode, json.loads(done.stdout)

    def command(self, *arguments: str) -> list[str]:
        """The `studio` program with arguments."""
        return [sys.executable, "-m", "deployments.cli.app", *arguments]

    def part_pid(self, name: str) -> int:
        """Process id of a part, from the state file."""
        state = current_state(self.config)
        return state.parts[name].process.pid

    def log(self) -> str:
        """What the supervisor logged."""
        return (self.config.logs / "supervisor.log").read_text()


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(make_config(tmp_path_factory.mktemp("lifecycle") / "home"))
    yield made
    stop(made.config)
    if made.front:
        made.front.wait(timeout=10)
        made.front.stdout.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited too long for: {what}"
        time.sleep(0.1)


def test_up_makes_everything_ready(studio: Studio) -> None:
    """`studio up` prints where everything is once all parts are ready and the deployments are registered."""
    told = studio.start_in_foreground()

    assert told["state"] == "ready"
    assert told["api"] == studio.config.api_url
    assert set(told["parts"]) == {"object-store", "prefect-server", "renderer", "webhooks", "worker", "setup"}
    assert "render-video" in {flow["name"] for flow in call(studio.config, "/flows/filter", {})}


def test_only_loopback_is_served(studio: Studio) -> None:
    """No part of the studio can be reached from another machine."""
    pids = {process.pid for process in studio_processes(studio.config.root)}
    addresses = {
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN
    }

    assert addresses == {"127.0.0.1"}


def test_secrets_are_private(studio: Studio) -> None:
    """Keys, databases and sockets are readable by their owner only."""
    objects = studio.config.objects
    paths = [objects, objects / "s3.json", objects / "security.toml", studio.config.prefect_home]
    paths.append(studio.config.webhook_secret_file)

    assert [0] * len(paths) == [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in paths]


def test_a_second_up_attaches(studio: Studio) -> None:
    """A second `up` starts nothing, says where the running studio is, and succeeds."""
    before = {process.pid for process in studio_processes(studio.config.root)}
    code, told = studio.ask("up")

    assert (code, told["state"], told["ui"]) == (0, "already running", studio.config.ui_url)
    assert before == {process.pid for process in studio_processes(studio.config.root)}


def test_a_second_up_on_other_ports_is_refused(studio: Studio) -> None:
    """Asking for other ports while the studio runs is not silently ignored."""
    code, told = studio.ask("up", "--prefect-port", str(studio.config.prefect_port - 1))

    assert code == 1
    assert "studio down" in told["fix"]


def test_a_second_up_with_the_sandbox_is_refused(studio: Studio) -> None:
    """A studio that works with real accounts is not taken for a sandbox."""
    code, told = studio.ask("up", "--sandbox", "--detach")

    assert code == 1
    assert "without the sandbox" in told["error"]
    assert "studio down" in told["fix"]


def test_blocks_are_offered(studio: Studio) -> None:
    """Storage and the accounts of the providers can be found and filled in under Blocks; no sandbox is among them."""
    slugs = {kind["slug"] for kind in call(studio.config, "/block_types/filter", {})}
    names = {block["name"] for block in call(studio.config, "/block_documents/filter", {})}

    assert {"s3-storage", "topview-credentials", "mingyan-credentials"} <= slugs
    assert names == {"studio-archive"}


def test_doctor_finds_everything_fine(studio: Studio) -> None:
    """Every check of a healthy studio passes."""
    code, told = studio.ask("doctor")

    assert [check for check in told["checks"] if check["verdict"] != "ok"] == []
    assert (code, told["healthy"]) == (0, True)


def test_status_shows_the_parts(studio: Studio) -> None:
    """`status` tells process, memory and address of each part."""
    code, told = studio.ask("status")

    assert code == 0
    assert {part.name for part in make_parts(studio.config)} == {part["part"] for part in told["parts"]}
    assert all(part["memory_bytes"] > 0 and psutil.pid_exists(part["pid"]) for part in told["parts"])


@pytest.mark.parametrize("part", ["renderer", "object-store", "worker", "webhooks", "prefect-server"])
def test_a_killed_part_comes_back(studio: Studio, part: str) -> None:
    """A part that dies is named in the log and started again, until it answers real calls."""
    pid = studio.part_pid(part)
    os.kill(pid, signal.SIGKILL)

    def is_back() -> bool:
        row = current_state(studio.config).parts[part]
        return row.restarts == 1 and row.phase == "ready"

    wait_for(is_back, f"restart of {part}")
    assert studio.part_pid(part) != pid
    assert f"part died part={part}" in studio.log()
    assert "was ended by signal 9" in studio.log()


def test_a_running_run_is_noted(studio: Studio) -> None:
    """A run that the server takes for running, without a process, as a power cut leaves it behind."""
    deployment = call(studio.config, "/deployments/name/render-video/studio")
    request = {
        "avatar": {"kind": "portrait", "image": "s3://staging/none.png"},
        "speech": {"kind": "script", "text": "a"},
    }
    body = {"state": {"type": "RUNNING"}, "parameters": {"request": request}}
    run = call(studio.config, f"/deployments/{deployment['id']}/create_flow_run", body)

    studio.cut_off_run = run["id"]
    assert run["state_type"] == "RUNNING"


def test_sigterm_of_the_front_stops_everything(studio: Studio) -> None:
    """Ending the command that shows the studio leaves no process and no port behind, and is a success."""
    store = ObjectStorePart(studio.config).store()
    asyncio.run(store.put_bytes("archive", "kept/across/restarts", b"bytes"))

    studio.front.send_signal(signal.SIGTERM)

    assert studio.front.wait(timeout=COMMAND_SECONDS) == 0
    assert studio_processes(studio.config.root) == []
    require_free(needed_ports(studio.config))


def test_doctor_and_status_work_while_it_is_off(studio: Studio) -> None:
    """A studio that is off is not a broken one: doctor says how to start it, status says that it is off."""
    code, told = studio.ask("doctor")
    off, status = studio.ask("status")

    assert (code, told["healthy"]) == (0, True)
    assert "studio up" in told["checks"][-1]["fix"]
    assert (off, status["state"]) == (1, "stopped")


def test_a_taken_port_is_explained(studio: Studio) -> None:
    """A start on a taken port fails at once, names part, port and holder, and leaves nothing running."""
    ports = free_ports()
    with socket.socket() as server:
        server.bind(("127.0.0.1", ports["s3_port"] + 1002))
        server.listen(1)
        code, told = studio.ask("up", "--detach", "--s3-port", str(ports["s3_port"]))

    assert code == 1
    for fact in (str(ports["s3_port"] + 1002), "object store", f"pid {os.getpid()}"):
        assert fact in told["error"]
    assert "--s3-port" in told["fix"]
    assert studio_processes(studio.config.root) == []


def test_state_survives_a_restart(studio: Studio) -> None:
    """After down and up, objects and deployments are there, on the remembered ports."""
    for name in studio.config.ports:
        del studio.environment[f"STUDIO_{name.upper()}"]
    code, told = studio.ask("up", "--detach")

    store = ObjectStorePart(studio.config).store()
    kept = asyncio.run(store.get_bytes("archive", "kept/across/restarts", limit=100))
    assert (code, told["api"], kept) == (0, studio.config.api_url, b"bytes")


def test_a_run_that_was_cut_off_is_started_again(studio: Studio) -> None:
    """A run whose process vanished with the studio does not stay running for ever."""

    def was_restarted() -> bool:
        history = call(studio.config, f"/flow_run_states/?flow_run_id={studio.cut_off_run}")
        return "AwaitingRestart" in {state["name"] for state in history}

    wait_for(was_restarted, "restart of the run")


def test_down_cleans_up_after_a_killed_supervisor(studio: Studio) -> None:
    """After kill -9 of the supervisor, doctor tells, and `down` ends the orphans and only those."""
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=studio.environment)
    (supervisor,) = processes_of_part(studio.config.root, "supervisor")
    supervisor.kill()
    supervisor.wait(timeout=10)

    sick, _ = studio.ask("doctor")
    code, told = studio.ask("down")

    assert (sick, code, told["was_running"]) == (1, 0, False)
    assert len(told["orphans"]) >= len(make_parts(studio.config))
    assert studio_processes(studio.config.root) == []
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_part_that_cannot_start_is_named(studio: Studio, tmp_path: Path) -> None:
    """When a part dies while starting, `up` tells its name and last words, stops the rest and fails."""
    damaged = studio.config.prefect_home / "prefect.db"
    good = damaged.read_bytes()
    for extra in studio.config.prefect_home.glob("prefect.db-*"):
        extra.rename(tmp_path / extra.name)
    damaged.write_bytes(b"this is no database" * 1000)
    code, told = studio.ask("up", "--detach")
    damaged.write_bytes(good)

    assert code == 1
    assert "Prefect server" in told["error"]
    assert "file is not a database" in told["error"]
    assert studio_processes(studio.config.root) == []


def test_usage_errors_answer_in_json_too(studio: Studio) -> None:
    """A program that mistypes an option still reads one JSON object."""
    code, told = studio.ask("up", "--no-such-option")

    assert code == 2
    assert told["error"]
