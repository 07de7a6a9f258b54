"""Live shows through everything: the form, the deployment, the sandbox's streams, the record in the archive."""

import asyncio
import itertools
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tasks.show.commands import KEY_PREFIX, ShowCommand
from tasks.show.contract import PerformedCue
from tasks.show.record import ShowManifest
from tests.e2e.api import StudioApi
from tests.media_files import write_sound
from tests.servers.sandbox_control import SandboxControl
from tests.studio_fixture import studio_in

TIMES = uuid4().hex[:6]
"""Part of every room's name, so that the tests may run again on the same studio."""
LONG = "These words are on air for a while, so that somebody can cut them short. " * 8

RUNDOWN: dict[str, Any] = {
    "title": "Every kind of cue",
    "avatar": "dh-anna",
    "room": f"every-kind-{TIMES}",
    "timbre": "tb-en-calm",
    "cues": [
        {"text": "Good evening, and welcome.", "name": "greeting"},
        {"audio": "s3://staging/show/jingle.wav"},
        {"action": "802_921474", "seconds": 0.5},
        {"recording": "s3://staging/show/report.m4a", "name": "report"},
        {"script": "This is the studio's own voice. It speaks two sentences."},
        {"pause": 1},
        {"loop": [{"text": "And again."}, {"pause": 0.6}], "times": 2},
    ],
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioApi]:
    """A studio with the sandbox, media staged."""
    folder: Path = tmp_path_factory.mktemp("live")
    with studio_in(folder / "home", sandbox=True, sandbox_renderer="clip", on_schedule=True) as studio:
        api = StudioApi(studio)
        for name, seconds in (("jingle.wav", 1.5), ("report.m4a", 3.0)):
            body = write_sound(folder / name, seconds=seconds).read_bytes()
            asyncio.run(api.store().put_bytes("staging", f"show/{name}", body))
        yield api


@pytest.fixture(scope="module")
def performed(live: StudioApi) -> dict[str, Any]:
    """The ended run of the rundown with every kind of cue."""
    return live.wait(start(live, RUNDOWN))


@pytest.fixture(scope="module")
def manifest(live: StudioApi, performed: dict[str, Any]) -> ShowManifest:
    """Its record in the archive."""
    return manifest_of(live, performed)


def start(api: StudioApi, rundown: dict[str, Any]) -> str:
    """Start a show as the form does."""
    return api.start_flow("broadcast-show", {"show": {"rundown": rundown}})


def spoken(room: str, cues: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A rundown in a room of its own."""
    return {"title": room, "avatar": "dh-anna", "room": f"{room}-{TIMES}", "timbre": "tb-en-calm", "cues": cues, **more}


def manifest_of(api: StudioApi, run: dict[str, Any]) -> ShowManifest:
    """The record of a show, at the address that its run ends with."""
    return manifest_at(api, run["state"]["message"].partition("Record: ")[2].split()[0])


def manifest_at(api: StudioApi, address: str) -> ShowManifest:
    """The record at an address of the archive."""
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return ShowManifest.model_validate_json(asyncio.run(api.store().get_bytes(bucket, key, limit=1_000_000)))


def truth(api: StudioApi) -> dict[str, Any]:
    """What the sandbox knows of live shows."""
    return SandboxControl(api.studio.config.sandbox_address).truth()["zego"]


def stream_of(api: StudioApi, room: str) -> dict[str, Any]:
    """The one stream that ever was in a room."""
    (stream,) = [stream for stream in truth(api)["streams"] if stream["room_id"] == f"{room}-{TIMES}"]
    return stream


def rows(api: StudioApi, room: str) -> list[dict[str, Any]]:
    """What the ledger holds of the streams of a room."""
    with sqlite3.connect(api.studio.home / "ledger.db") as database:
        database.row_factory = sqlite3.Row
        found = database.execute("select * from submissions where provider = 'zego'").fetchall()
    return [dict(row) for row in found if json.loads(row["payload"])["room_id"] == f"{room}-{TIMES}"]


def send(api: StudioApi, run_id: str, **wish: Any) -> None:
    """Ask something of a show as `studio show` does."""
    put_input(api, run_id, ShowCommand.model_validate(wish).model_dump_json())


def put_input(api: StudioApi, run_id: str, value: str) -> None:
    """Send the show whatever it is."""
    body = {"key": f"{KEY_PREFIX}-{time.time_ns()}", "value": value}
    httpx.post(f"{api.studio.api_url}/flow_runs/{run_id}/input", json=body, timeout=60).raise_for_status()


def cues_of(api: StudioApi, run_id: str) -> list[dict[str, str]]:
    """The table on the run's page, as it is now."""
    found = api.artifacts(run_id).get("show-cues")
    return json.loads(found["data"]) if found else []


def until(reached: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.2)


def is_speaking(api: StudioApi, room: str) -> bool:
    """Whether a drive of the room's stream is being said."""
    found = truth(api)
    tasks = {stream["task_id"] for stream in found["streams"] if stream["room_id"] == f"{room}-{TIMES}"}
    return any(drive["task_id"] in tasks and drive["status"] == 2 for drive in found["drives"])


def test_show_completes_and_says_where_its_record_is(performed: dict[str, Any]) -> None:
    """The last state is one sentence: how it ended, how many cues, how long the stream lived, where the record is."""
    assert performed["state"]["type"] == "COMPLETED", performed["state"]["message"]
    assert performed["name"] == "Every kind of cue"
    assert performed["state"]["message"].startswith("all cues performed; 10 of 10 cues done, the stream lived for")


def test_every_cue_was_performed_in_its_order(manifest: ShowManifest) -> None:
    """The record has each cue once, loops round by round, and by how much each was off its time."""
    assert [cue.number.partition(",")[0] for cue in manifest.cues] == [
        *("1", "2", "3", "4", "5", "6"),
        *("7.1", "7.2", "7.1", "7.2"),
    ]
    assert {cue.outcome.value for cue in manifest.cues} == {"done"}
    for before, cue in itertools.pairwise(manifest.cues):
        assert cue.planned_at == pytest.approx(before.planned_at + before.planned_seconds, abs=0.01)
        late = seconds_between(manifest.cues[0], cue) - cue.planned_at
        assert cue.drift_seconds == pytest.approx(late, abs=0.01)


def seconds_between(earlier: PerformedCue, later: PerformedCue) -> float:
    """From the begin of one cue to that of another."""
    assert earlier.began_at is not None
    assert later.began_at is not None
    return (later.began_at - earlier.began_at).total_seconds()


def test_ends_were_told_by_callbacks(live: StudioApi, manifest: ShowManifest) -> None:
    """The sandbox's callbacks came through the webhooks to the show: each spoken cue's end is confirmed."""
    assert {cue.confirmed for cue in manifest.cues if cue.drive_id} == {True}


def test_vendor_heard_what_the_rundown_says(live: StudioApi, manifest: ShowManifest) -> None:
    """Texts as texts, files as links, recordings and scripts as whole PCM; nothing was cut."""
    drives = [drive for drive in truth(live)["drives"] if drive["task_id"] == manifest.task_id]

    assert [drive["kind"] for drive in drives] == ["text", "audio", "ws", "ws", "text", "text"]
    assert {drive["status"] for drive in drives} == {4}
    streamed = [drive["playout"] for drive in drives if drive["kind"] == "ws"]
    assert {playout["unfinished"] for playout in streamed} == {False}


def test_stream_was_stopped_paid_and_archived(live: StudioApi, manifest: ShowManifest) -> None:
    """One stream, stopped by the show; one row, charged for what the stream lived."""
    stream, (row,) = stream_of(live, "every-kind"), rows(live, "every-kind")

    assert stream["how_ended"] == "stopped"
    assert row["state"] == "archived"
    assert row["location"].endswith("/show.json")
    assert manifest.stream["seconds"] == pytest.approx(stream["ended"] - stream["started"], abs=1)
    cost = float(str(manifest.stream["seconds"])) * 0.01
    # The ledger keeps millionths.
    assert row["charge"] / 1e6 == pytest.approx(cost, rel=0.01)
    assert (float(manifest.cost or 0), manifest.unit) == (pytest.approx(cost, rel=0.01), "CNY")
    # What is in the archive no longer waits on this machine.
    assert list((live.studio.home / "shows").iterdir()) == []


def test_first_sound_comes_soon_after_the_stream_is_up(manifest: ShowManifest) -> None:
    """The record has the moments from which the start of a show is judged."""
    assert manifest.streaming_at is not None
    assert manifest.first_byte_at is not None
    assert manifest.created_at is not None
    assert manifest.began_at < manifest.created_at
    began = manifest.cues[0].began_at
    assert began is not None
    assert 0 <= (began - manifest.streaming_at).total_seconds() < 30


def test_page_shows_cues_and_preview(live: StudioApi, performed: dict[str, Any]) -> None:
    """A table as it happened and a link to watch, and the event that others can react to."""
    artifacts = live.artifacts(performed["id"])
    lines = json.loads(artifacts["show-cues"]["data"])

    assert lines[0]["cue"] == "1 greeting"
    assert {line["outcome"] for line in lines} == {"done"}
    assert lines[0]["end told by"] == "callback"
    assert "/zego/preview/" in artifacts["show-preview"]["data"]
    (row,) = rows(live, "every-kind")
    event = live.wait_for_event("studio.show.ended", f"studio.show.{row['render_key']}")
    assert event["payload"]["outcomes"]["done"] == 10


def test_people_steer_a_show_that_is_on_air(live: StudioApi) -> None:
    """Skip, interrupt, say, resume and stop, each long before the words would end, and all of it in the record."""
    run_id = start(live, spoken("steered", [{"text": LONG}, {"text": LONG}, {"text": LONG}, {"text": "Never."}]))
    until(lambda: is_speaking(live, "steered"), 120)
    took = []

    def ask(wish: dict[str, Any], reached: Callable[[], object]) -> None:
        asked = time.monotonic()
        send(live, run_id, **wish)
        until(reached)
        took.append(time.monotonic() - asked)

    def begun() -> list[str]:
        return [str(drive.get("text", ""))[:5] for drive in drives_in(live, "steered")]

    for nonsense in ("not json", "[1]", "null"):
        put_input(live, run_id, nonsense)
    ask({"do": "skip"}, lambda: len(begun()) == 2)
    ask({"do": "interrupt"}, lambda: not is_speaking(live, "steered"))
    ask({"do": "say", "text": "Please wait."}, lambda: begun()[2:] == ["Pleas"])
    ask({"do": "resume"}, lambda: len(begun()) == 4 and is_speaking(live, "steered"))
    ask({"do": "stop"}, lambda: stream_of(live, "steered")["how_ended"] == "stopped")
    run = live.wait(run_id)

    found = manifest_of(live, run)
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert [(cue.number, cue.outcome.value) for cue in found.cues] == [
        *(("1", "skipped"), ("2", "interrupted"), ("say 1", "done"), ("3", "interrupted"), ("4", "not reached")),
    ]
    assert [asked.do for asked in found.asked_for] == ["skip", "interrupt", "say", "resume", "stop"]
    # The words of `say` are waited for by `resume`; the others take half of what is being said at most.
    assert max(took[0], took[1], took[2]) < 20


def drives_in(api: StudioApi, room: str) -> list[dict[str, Any]]:
    """All drives of the room's streams, oldest first."""
    found = truth(api)
    tasks = {stream["task_id"] for stream in found["streams"] if stream["room_id"] == f"{room}-{TIMES}"}
    return [drive for drive in found["drives"] if drive["task_id"] in tasks]


def test_cancel_in_the_ui_closes_the_stream(live: StudioApi) -> None:
    """The button ends the show in the middle of a word; nothing is left for anybody to close."""
    run_id = start(live, spoken("cancelled", [{"text": LONG}]))
    until(lambda: is_speaking(live, "cancelled"), 120)

    live.cancel(run_id)
    run = live.wait(run_id)

    assert run["state"]["type"] == "CANCELLED"
    until(lambda: stream_of(live, "cancelled")["how_ended"] == "stopped")
    until(lambda: rows(live, "cancelled")[0]["state"] in {"succeeded", "archived"})


def lay_passes_to_rest(api: StudioApi) -> None:
    """Pause `close-streams` as it does itself."""
    with httpx.Client(base_url=api.studio.api_url, timeout=60) as client:
        deployment = client.get("/deployments/name/close-streams/studio").raise_for_status().json()["id"]
        client.post(f"/deployments/{deployment}/pause_deployment").raise_for_status()


def test_killed_show_is_closed_by_others(live: StudioApi) -> None:
    """A process that dies at once leaves a stream that others stop, and its record; the show is not begun again.

    The passes that archive the record rest before it, as in a studio that has had no shows for a while.
    """
    lay_passes_to_rest(live)
    run_id = start(live, spoken("killed", [{"text": LONG}] * 8))
    until(lambda: is_speaking(live, "killed"), 120)
    until(lambda: any("interrupted" in path.read_text() for path in (live.studio.home / "shows").glob("*.json")))

    for process in live.flow_processes(run_id):
        process.kill()

    until(lambda: stream_of(live, "killed")["how_ended"] == "stopped", 150)
    until(lambda: rows(live, "killed")[0]["state"] == "archived", 150)
    (row,) = rows(live, "killed")
    found = manifest_at(live, row["location"])
    assert str(found.ending) == "the show broke: the process of the show ended in the middle of it"
    assert [cue.outcome.value for cue in found.cues] == ["interrupted", *["not reached"] * 7]
    assert found.ended_at is not None


def test_second_show_in_a_room_is_refused_with_the_reason(live: StudioApi) -> None:
    """It names the run that has the room; the first show goes on undisturbed, and no second stream was created."""
    first = start(live, spoken("shared", [{"text": LONG}]))
    until(lambda: is_speaking(live, "shared"), 120)

    second = live.wait(start(live, spoken("shared", [{"text": "Me too."}])))

    assert (second["state"]["type"], second["state"]["name"]) == ("FAILED", "Room taken")
    assert f"room shared-{TIMES} has a show already: run {first}" in second["state"]["message"]
    send(live, first, do="stop")
    assert live.wait(first)["state"]["type"] == "COMPLETED"
    assert stream_of(live, "shared")["how_ended"] == "stopped"


def test_hard_end_is_kept(live: StudioApi) -> None:
    """However long the words are, the show is over when it has to be."""
    # Counted from the checks on: it leaves time until the first word, and is long before the last one.
    run = live.wait(start(live, spoken("short", [{"text": LONG}], most_minutes=0.4)))

    found = manifest_of(live, run)
    assert run["state"]["type"] == "COMPLETED", run["state"]["message"]
    assert found.ending.how.value == "hard end"
    assert [cue.outcome.value for cue in found.cues] == ["interrupted"]


def test_failing_cue_shows_in_the_last_state(live: StudioApi) -> None:
    """A show that went on without a cue is not called complete, and the table says why the cue failed."""
    control = SandboxControl(live.studio.config.sandbox_address)
    control.arm("zego", "text", "business", code=400000009)
    run = live.wait(start(live, spoken("partly", [{"text": "Lost."}, {"text": "Heard."}])))

    assert run["state"]["name"] == "Partly performed"
    assert [cue["outcome"] for cue in cues_of(live, run["id"])] == ["failed", "done"]


def test_bad_rundown_is_refused_before_anything_is_created(live: StudioApi) -> None:
    """The refusal names field and fix, and the vendor has no stream of it."""
    run = live.wait(start(live, {**spoken("refused", [{"text": "Hello."}]), "avatar": "nobody"}))

    assert run["state"]["name"] == "Refused"
    assert "avatar" in run["state"]["message"]
    assert [stream for stream in truth(live)["streams"] if stream["room_id"] == f"refused-{TIMES}"] == []


def test_no_stream_is_left(live: StudioApi) -> None:
    """After everything above nothing is alive at the vendor, and no stream ever had two sockets at once."""
    until(lambda: all(stream["ended"] for stream in truth(live)["streams"]))
    assert truth(live)["second_sockets"] == 0
