"""Each fault of the sandbox does on a real connection what its name says, as often as it was armed, and no more."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.sandbox_calls import Mingyan, TopView, serving_folder, wait_for
from tests.media_files import write_clip, write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name

STOCK = {"avatarSourceFrom": "1", "aiAvatarId": "3327", "audioSourceFrom": "1", "ttsText": "Good morning."}
SUBMIT = "/v1/video_avatar/task/submit"
CUT = (httpx.RemoteProtocolError, httpx.ReadError)


@pytest.fixture
def topview(sandbox: SandboxServer) -> TopView:
    sandbox.settings(render_seconds=0)
    return TopView(sandbox)


@pytest.fixture
def link(topview: TopView) -> str:
    """Address of a finished video."""
    return topview.finish(topview.submit(STOCK)["result"]["taskId"])["outputVideoUrl"]


def test_lost_answer_acts_and_cuts(topview: TopView, sandbox: SandboxServer):
    """The submission was accepted, and the client hears nothing; the next one is answered."""
    sandbox.arm("topview", "submit", "lost_answer")
    with pytest.raises(CUT):
        topview.submit(STOCK)
    assert len(sandbox.submissions("topview")) == 1
    assert topview.submit(STOCK)["code"] == "200"


def test_reset_cuts_before_acting(topview: TopView, sandbox: SandboxServer):
    """The connection breaks and nothing was accepted."""
    sandbox.arm("topview", "submit", "reset")
    with pytest.raises(CUT):
        topview.submit(STOCK)
    assert sandbox.submissions("topview") == []
    assert sandbox.truth()["topview"]["calls"] == {"submit": 1}


def test_status_answers_without_acting(topview: TopView, sandbox: SandboxServer):
    """Any HTTP status comes with the hint and body asked for, as often as armed."""
    sandbox.arm("topview", "submit", "status", times=2, status=503, retry_after=7, body={"wait": True})
    for _ in range(2):
        answer = topview.http.post(SUBMIT, json=STOCK)
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()) == (503, "7", {"wait": True})
    assert sandbox.submissions("topview") == []
    assert topview.submit(STOCK)["code"] == "200"


def test_business_codes_come_in_the_vendors_form(topview: TopView, sandbox: SandboxServer):
    """TopView's codes come in its envelope, mingyan's in the one that leaks from its gateway."""
    sandbox.arm("topview", "submit", "business", code="4007", message="unfinished task")
    sandbox.arm("mingyan", "submit", "business", code=1001, message="busy")
    assert topview.submit(STOCK) == {"code": "4007", "message": "unfinished task", "result": None}
    assert Mingyan(sandbox).create({}).json() == {"code": 1001, "msg": "busy", "data": None}
    assert sandbox.submissions("topview") == []


def test_slow_answers_dribble(topview: TopView, sandbox: SandboxServer):
    """A client that only bounds the pause between bytes is kept for the whole time, one that leaves is let go."""
    sandbox.arm("topview", "captions", "slow", times=2, seconds=1.0)
    with topview.http.stream("GET", "/v1/caption/list") as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 20
    assert b'"code":"200"' in b"".join(pieces)
    with topview.http.stream("GET", "/v1/caption/list"):
        pass
    assert topview.get("/v1/caption/list")["code"] == "200"


def test_not_json_acts_and_answers_a_page(topview: TopView, sandbox: SandboxServer):
    """The submission was accepted, and the answer is HTML with status 200."""
    sandbox.arm("topview", "submit", "not_json")
    answer = topview.http.post(SUBMIT, json=STOCK)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, "text/html")
    assert len(sandbox.submissions("topview")) == 1


def test_unknown_words_pass(topview: TopView, sandbox: SandboxServer):
    """A query says a word that no page knows, and gives no result with it; the next one is right again."""
    task = topview.submit(STOCK)["result"]["taskId"]
    topview.finish(task)
    sandbox.arm("topview", "query", "unknown_word", word="marinating")
    odd = topview.query(task)
    assert (odd["status"], odd["outputVideoUrl"]) == ("marinating", None)
    assert topview.query(task)["status"] == "success"


def test_stuck_jobs_never_finish_and_survive_a_restart(topview: TopView, sandbox: SandboxServer):
    """A job accepted while armed runs for ever, the next one does not; a refused submit uses nothing up."""
    sandbox.arm("topview", "submit", "stuck")
    assert topview.submit({})["code"] == "4003"
    stuck, good = (topview.submit(STOCK)["result"]["taskId"] for _ in range(2))
    assert topview.finish(good)["status"] == "success"
    assert topview.query(stuck)["status"] == "running"
    sandbox.kill()
    sandbox.restart()
    again = TopView(sandbox)
    assert again.finish(again.submit(STOCK)["result"]["taskId"])["status"] == "success"
    wait_for(lambda: again.query(stuck)["status"] == "running", "the stuck job")


def test_expired_links_recover(sandbox: SandboxServer, link: str):
    """A link that is refused once is good again afterwards."""
    sandbox.arm("topview", "result", "expired")
    assert [httpx.get(link).status_code for _ in range(2)] == [403, 200]


def read_into(came: bytearray, answer: httpx.Response) -> None:
    for chunk in answer.iter_raw():
        came.extend(chunk)


def test_truncated_announces_more_than_it_sends(sandbox: SandboxServer, link: str):
    """The client gets exactly the bytes asked for and sees that some are missing; a range brings the rest."""
    whole = httpx.get(link).content
    sandbox.arm("topview", "result", "truncated", bytes=1000)
    came = bytearray()
    with httpx.stream("GET", link) as answer:
        assert int(answer.headers["Content-Length"]) == len(whole)
        with pytest.raises(httpx.RemoteProtocolError):
            read_into(came, answer)
    assert bytes(came) == whole[:1000]
    assert httpx.get(link, headers={"Range": "bytes=1000-"}).content == whole[1000:]


@pytest.mark.parametrize(
    "case",
    [("short", {"bytes": 500}, "video/mp4", 500), ("empty", {}, "video/mp4", 0), ("html", {}, "text/html", None)],
)
def test_wrong_files_look_right(sandbox: SandboxServer, link: str, case: tuple):
    """A short, empty or foreign file comes with status 200 and a length that agrees with itself."""
    fault, args, kind, size = case
    sandbox.arm("topview", "result", fault, **args)
    answer = httpx.get(link)
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert size in (None, len(answer.content))


def test_redirects_lead_where_told(sandbox: SandboxServer, link: str):
    """The download answers with a redirect to any place."""
    sandbox.arm("topview", "result", "redirect", location="http://10.0.0.1/secret")
    answer = httpx.get(link)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://10.0.0.1/secret")


def test_mingyan_jobs_fail_and_digests_lie(sandbox: SandboxServer, tmp_path: Path):
    """The faults of mingyan alone: a failed job with its reason, and a digest that is not that of the file."""
    sandbox.settings(render_seconds=0)
    write_sound(tmp_path / "speech.wav", 1.0)
    write_clip(tmp_path / "person.mp4", 1.0)
    customer = Mingyan(sandbox)
    with serving_folder(tmp_path) as url:
        order = {"model": "kyy_digitalHuman", "audioUrl": f"{url}/speech.wav", "videoUrl": f"{url}/person.mp4"}
        sandbox.arm("mingyan", "submit", "fail", reason="no face found")
        failed = customer.finish(customer.create(order).json()["id"])
        assert (failed["status"], failed["error"]) == ("failed", "no face found")
        job = customer.create(order).json()["id"]
        customer.finish(job)
    sandbox.arm("mingyan", "query", "wrong_md5")
    lies, honest = (customer.query(job) for _ in range(2))
    digest = hashlib.md5(httpx.get(honest["video_url"]).content, usedforsecurity=False).hexdigest()
    assert honest["md5"] == digest
    assert lies["md5"] != digest
    assert len(lies["md5"]) == 32


@pytest.mark.parametrize(("fault", "accepted"), [("hold_before", 0), ("hold_after", 1)])
def test_held_calls_go_on_when_released(topview: TopView, sandbox: SandboxServer, fault: str, accepted: int):
    """A held submission has or has not been accepted, and is answered after the release."""
    sandbox.arm("topview", "submit", fault)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(topview.submit, STOCK)
        held = sandbox.wait_held(1)
        assert (held[0]["vendor"], held[0]["call"], answer.done()) == ("topview", "submit", False)
        assert len(sandbox.submissions("topview")) == accepted
        sandbox.release()
        assert answer.result(30)["code"] == "200"
    assert sandbox.held() == []
    assert len(sandbox.submissions("topview")) == 1


@pytest.mark.parametrize(("fault", "accepted"), [("hold_before", 0), ("hold_after", 1)])
def test_a_hold_ends_with_its_client(topview: TopView, sandbox: SandboxServer, fault: str, accepted: int):
    """When the client goes away the hold ends, and nothing more happens."""
    sandbox.arm("topview", "submit", fault)
    with ThreadPoolExecutor(1) as thread:
        impatient = thread.submit(topview.http.post, SUBMIT, json=STOCK, timeout=1.5)
        sandbox.wait_held(1)
        with pytest.raises(httpx.ReadTimeout):
            impatient.result(30)
    sandbox.wait_held(0)
    assert len(sandbox.submissions("topview")) == accepted


@pytest.mark.parametrize("fault", ["hold_before", "hold_after"])
def test_held_uploads_arrive_whole(topview: TopView, sandbox: SandboxServer, fault: str):
    """Holding an upload does not lose its bytes; clearing the faults releases it."""
    sandbox.arm("topview", "upload_put", fault)
    credential = topview.credential("wav")
    content = bytes(range(256)) * 2000
    with ThreadPoolExecutor(1) as thread:
        put = thread.submit(httpx.put, credential["uploadUrl"], content=content, timeout=30)
        sandbox.wait_held(1)
        sandbox.clear()
        assert put.result(30).status_code == 200
    assert topview.get("/v1/upload/check", fileId=credential["fileId"])["result"] is True


def test_broken_uploads_are_not_stored(topview: TopView, sandbox: SandboxServer):
    """An upload whose client dies half-way leaves nothing that could be taken for a file."""
    credential = topview.credential("wav")

    def dies() -> Any:
        yield b"x" * 1000
        raise ConnectionError

    with pytest.raises(ConnectionError):
        httpx.put(credential["uploadUrl"], content=dies(), headers={"Content-Length": "5000"})
    assert topview.get("/v1/upload/check", fileId=credential["fileId"])["result"] is False


def test_senseless_faults_are_refused(sandbox: SandboxServer):
    """A misspelt fault, call or setting is an error for the test that asked for it, not silence."""
    for body in (
        {"vendor": "topview", "call": "submit", "fault": "explode"},
        {"vendor": "mingyan", "call": "voices", "fault": "reset"},
        {"vendor": "topview", "call": "query", "fault": "stuck"},
        {"vendor": "topview", "call": "query", "fault": "wrong_md5"},
    ):
        assert httpx.post(f"{sandbox.url}/control/faults", json=body).status_code == 400
    assert httpx.put(f"{sandbox.url}/control/settings", json={"render_second": 1}).status_code == 400


def test_renders_do_not_block_other_calls(topview: TopView, sandbox: SandboxServer):
    """While a long video is drawn the sandbox answers; many submissions at once are all counted."""
    long = STOCK | {"ttsText": "Good day to you. " * 40}
    task = topview.submit(long)["result"]["taskId"]
    wait_for(lambda: topview.query(task)["status"] == "running", "the render")
    answered = 0
    while topview.query(task)["status"] == "running":
        answered += 1
        time.sleep(0.05)
    assert answered > 1
    barrier = threading.Barrier(8)

    def submit(_: int) -> str:
        customer = TopView(sandbox)
        barrier.wait()
        return customer.submit(STOCK)["result"]["taskId"]

    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(submit, range(8)))
    assert {s["job_id"] for s in sandbox.submissions("topview")} == ids | {task}
