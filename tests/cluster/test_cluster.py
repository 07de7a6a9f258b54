"""The services of infra/compose.yaml as plain processes: they render, share the work, and survive what machines do.

The tests are one story told in order on one cluster; the last one looks back at all of it.
"""

import asyncio
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.cluster.client import running_cluster
from infra.presenter import PRESENTER
from tests.cluster.cluster_api import ClusterApi

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

OUTAGE_SECONDS = 30
LOST = re.compile(r"dropping|[1-9]\d* dropped|dead letter|max flush retries", re.IGNORECASE)
"""Words with which Prefect's server says that it gave an event up."""


@pytest.fixture(scope="module")
def api() -> Iterator[ClusterApi]:
    """Two server replicas, services, PostgreSQL, Redis, SeaweedFS, sandbox, two workers."""
    # Not pytest's folder: PostgreSQL's user must reach it, and the paths of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="cluster-", dir="/tmp"))
    try:
        with running_cluster(folder, workers=2, sandbox=True) as cluster:
            found = ClusterApi(cluster)
            asyncio.run(found.store().put_bytes("staging", "good/presenter.png", PRESENTER.read_bytes()))
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def set_render_seconds(api: ClusterApi, seconds: float) -> None:
    api.sandbox("PUT", "settings", {"render_seconds": seconds})


def completed(api: ClusterApi, run_id: str, seconds: float = 300) -> None:
    run = api.wait(run_id, seconds)
    assert run["state"]["type"] == "COMPLETED", (run["state"], api.states(run_id), api.logs(run_id))


def test_everything_runs_twice_where_it_should(api: ClusterApi) -> None:
    """The file asks for two servers and two workers, and every process is there."""
    pids = api.cluster.pids

    assert {name: len(found) for name, found in pids.items() if len(found) > 1} == {"prefect-server": 2, "worker": 2}
    running = [name for name, found in pids.items() if None not in found]
    assert set(pids) - set(running) == {"database", "setup"}


def test_schedules_become_runs(api: ClusterApi) -> None:
    """The scheduler plans the runs of every schedule that is on, so that a cluster settles what was left behind."""
    wanted = {"flows": {"name": {"any_": ["reconcile"]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    deadline = time.monotonic() + 60
    while not (planned := api.call("/flow_runs/filter", wanted)):
        assert time.monotonic() < deadline, api.cluster.log("prefect-services")[-2000:]
        time.sleep(1)

    assert all(run["auto_scheduled"] for run in planned)


def test_a_video_is_rendered(api: ClusterApi) -> None:
    """From a deployment run over the API, through a worker and the sandbox, into the archive."""
    run_id = api.start("Hello from the cluster.")

    completed(api, run_id)
    (row,) = api.ledger_rows()
    assert (row["state"], [row["job_id"]]) == ("archived", api.jobs())


def test_runs_are_shared_by_the_workers(api: ClusterApi) -> None:
    """Six runs that are asked for at once are executed by both workers."""
    set_render_seconds(api, 3)
    runs = [api.start(f"Number {number} of six.") for number in range(6)]
    workers = api.wait_for_workers(runs)

    for run_id in runs:
        completed(api, run_id)
    assert set(workers.values()) == {0, 1}


def test_run_of_a_killed_worker_is_started_again(api: ClusterApi) -> None:
    """A machine vanishes in the middle of a render: another one finishes it, and it was submitted once."""
    set_render_seconds(api, 20)
    before = len(api.jobs())
    run_id = api.start("The worker dies.")
    api.wait_for_jobs(before + 1)
    index = api.wait_for_workers([run_id])[run_id]

    api.cluster.kill("worker", index)
    completed(api, run_id)
    assert "AwaitingRestart" in api.states(run_id)
    assert len(api.jobs()) == before + 1
    api.cluster.start("worker", index)


def test_database_that_goes_away_loses_nothing(api: ClusterApi) -> None:
    """PostgreSQL stops for half a minute under runs that render, and a run that is asked for right after it."""
    set_render_seconds(api, 15)
    before = len(api.jobs())
    runs = [api.start(f"Outage {number}.") for number in range(3)]
    api.wait_for_jobs(before + 3)

    api.cluster.stop("postgres")
    time.sleep(OUTAGE_SECONDS)
    api.cluster.start("postgres")
    runs.append(api.start("After the outage."))

    for run_id in runs:
        completed(api, run_id)
    assert len(api.jobs()) == before + 4


def test_batch_is_shared_by_the_workers_and_survives_one_of_them(api: ClusterApi) -> None:
    """Four shards on two workers, one of which is killed in the middle: every row has its video, paid for once."""
    set_render_seconds(api, 8)
    before = len(api.jobs())
    batch = {
        "name": "Shared",
        "shard_size": 6,
        "rows": [{"name": f"guest {number}"} for number in range(24)],
        "defaults": {
            "provider": "topview",
            "avatar": {"image": "s3://staging/good/presenter.png"},
            "speech": {"text": "Welcome, {{name}}.", "voice": "v-en-ada"},
        },
    }
    run_id = api.start_flow("render-batch", "Shared", {"batch": batch})
    api.wait_for_jobs(before + 8)
    shards = api.call("/flow_runs/filter", {"flows": {"name": {"any_": ["render-shard"]}}})
    api.started += [shard["id"] for shard in shards]
    workers = api.wait_for_workers([shard["id"] for shard in shards if shard["state"]["type"] == "RUNNING"])

    victim = next(iter(workers.values()))
    api.cluster.kill("worker", victim)
    api.cluster.start("worker", victim)

    completed(api, run_id, 600)
    assert len(api.jobs()) == before + 24
    rows = [row for row in api.ledger_rows() if row["state"] == "archived"]
    assert len(rows) == before + 24


def test_server_that_dies_is_replaced_by_the_other(api: ClusterApi) -> None:
    """A replica is killed under running renders: they go on, and new ones begin, with the one that is left."""
    set_render_seconds(api, 10)
    before = len(api.jobs())
    runs = [api.start(f"Replica {number}.") for number in range(2)]
    api.wait_for_jobs(before + 1)

    api.cluster.kill("prefect-server", 0)
    runs.append(api.start("With one replica."))
    for run_id in runs:
        completed(api, run_id)
    api.cluster.start("prefect-server", 0)


def test_nothing_was_paid_twice_and_the_books_agree(api: ClusterApi) -> None:
    """Through all of the above: one submission per video, the ledger and the sandbox name the same jobs."""
    rows = api.ledger_rows()

    assert Counter(row["state"] for row in rows) == {"archived": len(api.jobs())}
    assert max(Counter(row["render_key"] for row in rows).values()) == 1
    assert sorted(row["job_id"] for row in rows) == sorted(api.jobs())


def test_prefect_shows_the_true_state_of_everything(api: ClusterApi) -> None:
    """Every run shows as completed, and of its task runs none is left behind in a state that passes."""
    runs = {run_id: api.call(f"/flow_runs/{run_id}") for run_id in api.started}

    assert {run["state"]["type"] for run in runs.values()} == {"COMPLETED"}
    deadline = time.monotonic() + 60
    while left := unfinished_tasks(api):
        assert time.monotonic() < deadline, left
        time.sleep(1)


def unfinished_tasks(api: ClusterApi) -> list[str]:
    """Task runs that show as going on though their flow run has ended, except those that died with a killed run."""
    return [
        f"{task['name']} of {run_id}: {task['state_name']}"
        for run_id in api.started
        for task in api.task_runs(run_id)
        if task["state_type"] not in {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
        and "AwaitingRestart" not in api.states(run_id)
    ]


def test_no_event_was_dropped(api: ClusterApi) -> None:
    """Neither the servers nor the background services gave an event up."""
    logs = [api.cluster.log("prefect-server", index) for index in range(2)] + [api.cluster.log("prefect-services")]

    assert [line for log in logs for line in log.splitlines() if LOST.search(line)] == []
