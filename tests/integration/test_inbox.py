"""Files that are dropped into the inbox: each comes to its end once, whoever picks it up and wherever that one dies."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.batch.inbox import pickup
from tasks.batch.inbox.checking import MOST_PROBLEMS, check_file, reason_text
from tasks.batch.inbox.drop import Drop, is_manifest_drop
from tasks.batch.inbox.pickup import Verdict
from tasks.batch.inbox.steps import settled_drops
from tasks.ledger.store import Ledger
from tasks.storage import ObjectFacts, ObjectStore
from tests.dropped_files import BAD, GOOD, Inbox
from tests.integration.inbox_worker import Runs
from tests.servers.seaweedfs import SeaweedServer

WORKER = Path(__file__).with_name("inbox_worker.py")
PATIENCE = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    running = SeaweedServer(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def store(server: SeaweedServer) -> AsyncIterator[ObjectStore]:
    """An archive as the studio makes it, empty after each test."""
    made = server.store()
    await made.ensure_bucket("archive", versioned=True)
    yield made
    for entry in [entry async for entry in made.list_objects("archive")]:
        await made.delete("archive", entry.key)


@pytest.fixture
def ledger_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    async with await Ledger.open(ledger_url) as opened:
        yield opened


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


@pytest.fixture
def inbox(store: ObjectStore, ledger: Ledger, runs: Runs) -> Inbox:
    return Inbox(store, ledger, runs)


def start_worker(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(WORKER), *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=WORKER.parents[2], env={"PYTHONPATH": "."})


@pytest.fixture(scope="module")
def nursery() -> Iterator[Callable[[dict[str, Any]], int]]:
    """Runs an order in a process of its own and returns how that ended."""
    worker = start_worker()
    assert worker.stdin
    assert worker.stdout
    stdin, stdout = worker.stdin, worker.stdout

    def run(order: dict[str, Any]) -> int:
        stdin.write(f"{json.dumps(order)}\n")
        stdin.flush()
        return int(stdout.readline())

    yield run
    stdin.close()
    worker.wait(PATIENCE)
    stdout.close()


@pytest.fixture
def order(server: SeaweedServer, ledger_url: str, runs: Runs, tmp_path: Path) -> dict[str, Any]:
    """What a worker needs to know; it begins when the file ``go`` is there."""
    return {
        "store": {
            "endpoint": server.endpoint,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "secure": False,
        },
        "ledger": ledger_url,
        "runs": str(runs.folder),
        "owner": "dead",
        "ready": str(tmp_path / "ready"),
        "go": str(tmp_path / "go"),
    }


def wait_for_both(folder: Path) -> None:
    """Until both workers stand at the line."""
    deadline = time.monotonic() + PATIENCE
    while len(list(folder.glob("ready-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)


async def finished(worker: subprocess.Popen[str]) -> str:
    try:
        output, _ = await asyncio.to_thread(worker.communicate, timeout=PATIENCE)
    finally:
        worker.kill()
    return output


async def test_a_good_manifest_starts_a_run_and_is_moved(inbox: Inbox) -> None:
    """The run gets the moved file and the file's name; a note beside it leads to the run; the inbox is empty."""
    await inbox.put("spring/greetings.csv")

    (picked,) = await inbox.run_pass("a")

    assert (picked.verdict, picked.rows) == (Verdict.STARTED, 2)
    (run,) = inbox.runs.started
    assert run == {"manifest": picked.place, "name": "greetings"}
    left = await inbox.contents()
    assert set(left) == {"done/spring/greetings.csv", "done/spring/greetings.csv.run.txt"}
    assert left["done/spring/greetings.csv"] == GOOD.decode()
    assert "2 rows" in left["done/spring/greetings.csv.run.txt"]
    assert "http://prefect.example/runs/flow-run/" in left["done/spring/greetings.csv.run.txt"]
    head = await inbox.store.head("archive", picked.place.removeprefix("s3://archive/"))
    assert head
    assert head.content_type == "text/csv"
    assert await inbox.run_pass("b") == []


async def test_a_manifest_with_mistakes_is_rejected_with_its_reasons(inbox: Inbox) -> None:
    """Row, column, and what to do are in the note; nothing is started; others are told once per drop."""
    told: list[Any] = []
    await inbox.put("bad.csv", BAD)

    (picked,) = await inbox.run_pass("a", tell_rejected=lambda *facts: told.append(facts))

    assert picked.verdict is Verdict.REJECTED
    assert inbox.runs.calls == 0
    left = await inbox.contents()
    assert set(left) == {"rejected/bad.csv", "rejected/bad.csv.reason.txt"}
    reason = left["rejected/bad.csv.reason.txt"]
    assert "bad.csv was rejected: 1 problem." in reason
    assert "row 2 (line 3), avatar.image" in reason
    assert len(told) == 1


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("sheet.xlsx", b"PK\x03\x04rest", "Excel workbook"),
        ("notes.docx", b"Dear all, no table here", "no manifest of a known kind"),
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"title,avatar.image,speech.text\n", "no rows"),
        ("broken.yaml", b"rows: [", "broken.yaml"),
        ("latin.csv", "title,avatar.image,speech.text\nGrüße,a,b\n".encode("latin-1"), "UTF-8"),
    ],
)
async def test_other_files_are_rejected_too(inbox: Inbox, name: str, body: bytes, reason: str) -> None:
    """What is no manifest does not lie in the inbox for ever."""
    await inbox.put(name, body)

    (picked,) = await inbox.run_pass("a")

    assert picked.verdict is Verdict.REJECTED
    left = await inbox.contents()
    assert set(left) == {f"rejected/{name}", f"rejected/{name}.reason.txt"}
    assert reason in left[f"rejected/{name}.reason.txt"]


async def test_a_file_that_is_too_large_is_rejected_unread(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not brought to this machine first."""
    monkeypatch.setattr(pickup, "MANIFEST_LIMIT", 10)
    await inbox.put("large.csv")

    (picked,) = await inbox.run_pass("a")

    assert picked.verdict is Verdict.REJECTED
    assert "larger than 10 bytes" in picked.told


async def test_no_file_is_overwritten(inbox: Inbox) -> None:
    """Files of one name get numbers, as does a file that is called like a note; each starts a run of its own."""
    for number in range(3):
        await inbox.put("a.csv", GOOD + f"Three,s3://staging/a.png,Take {number}\n".encode())
        await inbox.run_pass("a")
    await inbox.put("x.csv.reason.txt", b"no manifest")
    await inbox.run_pass("a")
    await inbox.put("x.csv", BAD)
    await inbox.run_pass("a")

    left = await inbox.contents()
    assert {name for name in left if name.endswith(".csv")} == {
        "done/a.csv",
        "done/a-2.csv",
        "done/a-3.csv",
        "rejected/x-2.csv",
    }
    assert [left[f"done/a{suffix}.csv"][-7:] for suffix in ("", "-2", "-3")] == [f"Take {n}\n" for n in range(3)]
    assert left["rejected/x.csv.reason.txt"] == "no manifest"
    assert len(inbox.runs.started) == 3


async def test_the_same_file_dropped_again_is_run_again(inbox: Inbox) -> None:
    """Dropping a finished manifest again is how people finish what failed; the batch itself pays nothing twice."""
    await inbox.put("a.csv")
    await inbox.run_pass("a")
    # The store tells times in whole seconds.
    await asyncio.sleep(1.1)
    await inbox.put("a.csv")
    await inbox.run_pass("a")

    assert len(inbox.runs.started) == 2


@pytest.mark.parametrize("point", ["checked", "started"])
async def test_a_file_that_is_replaced_meanwhile(inbox: Inbox, point: str) -> None:
    """Nothing that was not checked is rendered, and the new file is not thrown away with the old one."""
    other = GOOD + b"Three,s3://staging/a.png,New\n"
    await inbox.put("a.csv")
    client = inbox.store._client

    def replace(step: str) -> None:
        if step == point:
            client.put("archive", "inbox/a.csv", other, {"Content-Type": "text/csv"})

    await inbox.run_pass("a", after=replace)

    assert (await inbox.contents())["inbox/a.csv"] == other.decode()
    await inbox.run_pass("b")
    left = await inbox.contents()
    manifests = {name: body for name, body in left.items() if name.endswith(".csv")}
    expected = {"done/a.csv": other} if point == "checked" else {"done/a.csv": GOOD, "done/a-2.csv": other}
    assert manifests == {name: body.decode() for name, body in expected.items()}
    assert len(inbox.runs.started) == len(expected)


POINTS = [
    *((GOOD, point) for point in ("claimed", "checked", "copied", "started", "noted", "cleared")),
    *((BAD, point) for point in ("checked", "copied", "noted", "told", "cleared")),
]


@pytest.mark.parametrize(
    ("body", "point"), POINTS, ids=[f"{'good' if body is GOOD else 'bad'}-{point}" for body, point in POINTS]
)
async def test_killed_after_any_step_the_next_pass_finishes_it(
    inbox: Inbox, nursery: Callable[[dict[str, Any]], int], order: dict[str, Any], body: bytes, point: str
) -> None:
    """SIGKILL anywhere: while the dead pass holds the file nobody else takes it, afterwards it comes to one end."""
    await inbox.put("a.csv", body)
    Path(order["go"]).touch()  # noqa: ASYNC240 - an empty file

    ended = await asyncio.to_thread(nursery, {**order, "die_after": point})
    assert ended == -signal.SIGKILL
    assert await inbox.run_pass("early") == []
    picked = await inbox.run_pass("later", stale=0)

    assert [one.verdict for one in picked] == (
        [] if point == "cleared" else [Verdict.STARTED if body is GOOD else Verdict.REJECTED]
    )
    note = "done/a.csv.run.txt" if body is GOOD else "rejected/a.csv.reason.txt"
    left = await inbox.contents()
    assert set(left) == {note.removesuffix(".run.txt").removesuffix(".reason.txt"), note}
    assert len(inbox.runs.started) == (1 if body is GOOD else 0)


async def test_two_workers_pick_up_each_file_once(inbox: Inbox, order: dict[str, Any], tmp_path: Path) -> None:
    """Two processes that go through the same inbox at the same moment share it."""
    names = [f"{number}.csv" for number in range(12)]
    for name in names:
        await inbox.put(name, GOOD if int(name[:-4]) % 3 else BAD)
    owners = ("one", "two")
    workers = [
        start_worker(json.dumps({**order, "owner": owner, "ready": f"{order['ready']}-{owner}"})) for owner in owners
    ]
    await asyncio.to_thread(wait_for_both, tmp_path)
    (tmp_path / "go").touch()

    picked = [json.loads(output) for output in await asyncio.gather(*map(finished, workers))]

    assert sorted([*picked[0], *picked[1]]) == sorted(names)
    assert all(picked), "one of them was too late to race"
    assert inbox.runs.calls == len(inbox.runs.started) == 8
    left = await inbox.contents()
    assert {name for name in left if name.endswith(".csv")} == {
        f"{'done' if int(name[:-4]) % 3 else 'rejected'}/{name}" for name in names
    }


async def test_files_that_still_change_are_left(inbox: Inbox) -> None:
    """A program that writes its file bit by bit is waited for; a whole file is taken at the second look."""
    await inbox.put("whole.csv")
    await inbox.put("growing.csv", GOOD[:50])

    looking = asyncio.create_task(settled_drops(inbox.store, 2))
    await asyncio.sleep(1)
    await inbox.put("growing.csv")
    await inbox.put("new.csv")
    drops = await looking

    assert [drop.name for drop in drops] == ["whole.csv"]
    assert {drop.name for drop in await settled_drops(inbox.store, 0)} == {"whole.csv", "growing.csv", "new.csv"}


@pytest.mark.parametrize("key", ["inbox/", "inbox/folder/", "inbox/.DS_Store", "inbox/~$list.xlsx", "inbox/x/.keep"])
def test_what_programs_leave_is_no_drop(key: str) -> None:
    """Marks of folders and lock files are not rejected one by one."""
    assert not is_manifest_drop(ObjectFacts(bucket="archive", key=key, size=0, etag="e"))


def test_a_thousand_problems_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    """A reason file stays readable."""
    path = tmp_path / "manifest"
    path.write_text("title,avatar.image,speech.text\n" + "x,nonsense,y\n" * (MOST_PROBLEMS + 5))

    checked = check_file(path, "many.csv")
    text = reason_text("many.csv", checked.problems, checked.problem_count)

    assert checked.problem_count == MOST_PROBLEMS + 5
    assert text.count("\nrow ") == MOST_PROBLEMS
    assert "1,005 problems" in text
    assert "... and 5 more." in text


def test_a_drop_names_itself_alike_in_list_and_head() -> None:
    """A listing tells milliseconds and a HEAD whole seconds; the claim is the same."""
    listed = ObjectFacts(bucket="b", key="inbox/a.csv", size=1, etag="e", modified="2026-11-21T10:00:00.123Z")
    head = ObjectFacts(bucket="b", key="inbox/a.csv", size=1, etag="e", modified="2026-11-21T10:00:00Z")

    assert Drop(listed).is_still(head)
    assert not Drop(listed).is_still(head.model_copy(update={"etag": "f"}))
    assert not Drop(listed).is_still(None)
