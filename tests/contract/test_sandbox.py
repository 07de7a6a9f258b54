"""The sandbox keeps to the vendors' pages: what it accepts, refuses, charges, renders and reports."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.sandbox_calls import (
    Mingyan,
    TopView,
    decoded,
    echo,
    receiving,
    serving_folder,
    wait_for,
)
from tests.media_files import write_clip, write_picture, write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name

SAYS = {"audioSourceFrom": "1", "ttsText": "Good morning, and welcome."}
STOCK = {"avatarSourceFrom": "1", "aiAvatarId": "3327", **SAYS}
MODEL = "kyy_digitalHuman"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    write_sound(folder / "speech.wav", 2.0)
    write_clip(folder / "person.mp4", 1.0)
    write_picture(folder / "person.png")
    (folder / "text.mp4").write_text("this is no video")
    return folder


@pytest.fixture(scope="module")
def media_url(media: Path) -> Iterator[str]:
    with serving_folder(media) as url:
        yield url


@pytest.fixture
def topview(sandbox: SandboxServer) -> TopView:
    sandbox.settings(render_seconds=0)
    return TopView(sandbox)


@pytest.fixture
def mingyan(sandbox: SandboxServer) -> Mingyan:
    sandbox.settings(render_seconds=0)
    return Mingyan(sandbox)


# Happy paths


def test_topview_makes_a_video_of_an_uploaded_clip(
    topview: TopView, sandbox: SandboxServer, media: Path, tmp_path: Path
):
    """Upload, submit, query and download give a video as long as the recording, charged once and in the log."""
    video, audio = topview.upload(media / "person.mp4"), topview.upload(media / "speech.wav")
    body = {"avatarSourceFrom": 0, "videoFileId": video, "audioSourceFrom": "0", "audioFileId": audio, "modeType": "1"}
    answer = topview.submit(body)
    assert answer["code"] == "200"
    task = answer["result"]["taskId"]
    done = topview.finish(task)
    assert (done["status"], done["inputVideoFileId"], done["inputAudioFileId"]) == ("success", video, audio)

    (tmp_path / "out.mp4").write_bytes(httpx.get(done["outputVideoUrl"]).content)
    pictures, heard = decoded(tmp_path / "out.mp4")
    assert pictures == 50
    assert heard == pytest.approx(2.0, abs=0.1)

    submission = sandbox.submissions("topview")[0]
    assert (submission["job_id"], submission["charged"], submission["status"]) == (task, "0.8", "success")
    assert (
        submission["files"]["audioFileId"]["sha256"] == hashlib.sha256((media / "speech.wav").read_bytes()).hexdigest()
    )
    row = topview.get("/user/credit/logs", taskType="video_avatar")["result"]["data"][0]
    assert (row["taskId"], row["costCredit"], done["costCredit"]) == (task, 0.8, 0.8)
    assert topview.get("/user/credit/detail")["result"]["remainCredit"] == pytest.approx(999.2)


def test_topview_keeps_a_photo_as_avatar(topview: TopView, media: Path):
    """A photo always becomes a private avatar, which can then speak by itself."""
    photo = topview.upload(media / "person.png")
    body = {"avatarSourceFrom": "3", "imageFileId": photo, "modeType": "1", **SAYS, "voiceoverId": "v-en-ben"}
    done = topview.finish(topview.submit(body)["result"]["taskId"])
    assert done["inputImageFileId"] == photo

    own = topview.get("/v1/aiavatar/query", isCustom="true")["result"]["data"]
    assert [row["type"] for row in own] == [1, 1, 2]
    speaks = {"avatarSourceFrom": "2", "aiAvatarId": own[-1]["aiavatarId"], **SAYS, "voiceoverId": "v-en-ben"}
    assert topview.finish(topview.submit(speaks)["result"]["taskId"])["status"] == "success"


def test_topview_makes_an_avatar_of_a_clip(topview: TopView, sandbox: SandboxServer, media: Path):
    """video2aiAvatar ends with an avatar, costs nothing and is no video submission."""
    path = "/v1/common_task/video2aiAvatar"
    task = topview.post(f"{path}/submit", {"videoFileId": topview.upload(media / "person.mp4")})["result"]["taskId"]
    made = wait_for(lambda: topview.get(f"{path}/query", taskId=task)["result"].get("aiAvatar"), "the avatar")
    assert made in topview.get("/v1/aiavatar/query", isCustom="true")["result"]["data"]
    assert sandbox.submissions("topview") == []
    assert sandbox.truth()["topview"]["avatar_submissions"][0]["charged"] == "0"


def test_mingyan_makes_a_video_of_fetched_inputs(mingyan: Mingyan, media_url: str, tmp_path: Path):
    """The inputs are fetched from the customer; the result is a real video with the digest that is announced."""
    body = {"model": MODEL, "audioUrl": f"{media_url}/speech.wav", "videoUrl": f"{media_url}/person.mp4"}
    created = mingyan.create(body | {"modelVersion": 2, "sideFace": 1}).json()
    assert (created["object"], created["status"], created["model"]) == ("video", "queued", MODEL)
    done = mingyan.finish(created["id"])
    assert done["status"] == "completed", done

    video = httpx.get(done["video_url"]).content
    assert hashlib.md5(video, usedforsecurity=False).hexdigest() == done["md5"]
    (tmp_path / "out.mp4").write_bytes(video)
    assert decoded(tmp_path / "out.mp4") == (50, pytest.approx(2.0, abs=0.1))


@pytest.mark.parametrize(
    ("audio", "video", "reason"),
    [
        ("none.wav", "person.mp4", "404"),
        ("speech.wav", "person.png", "no video"),
        ("speech.wav", "text.mp4", "no video"),
    ],
)
def test_mingyan_fails_a_job_whose_inputs_are_unusable(mingyan: Mingyan, media_url, audio, video, reason):
    """What cannot be fetched or decoded fails the job with a reason, after it was accepted."""
    body = {"model": MODEL, "audioUrl": f"{media_url}/{audio}", "videoUrl": f"{media_url}/{video}"}
    done = mingyan.finish(mingyan.create(body).json()["id"])
    assert (done["status"], "video_url" in done) == ("failed", False)
    assert reason in done["error"]


def test_renders_last_as_long_as_the_script(topview: TopView):
    """A script is paid by the length it takes to say, for Chinese as for Latin letters."""
    chinese = {**STOCK, "ttsText": "你好" * 6, "aiAvatarId": "3330"}
    latin = {**STOCK, "ttsText": "Good day to you" * 3}
    costs = [topview.finish(topview.submit(body)["result"]["taskId"])["costCredit"] for body in (chinese, latin)]
    assert costs == [pytest.approx(0.3), pytest.approx(0.3)]


def test_catalogues_filter_and_page(topview: TopView):
    """Lists come in pages without gaps or doubles, and only with what was asked for."""
    pages = [topview.get("/v1/aiavatar/query", pageNo=n, pageSize=5)["result"] for n in (1, 2, 3, 4)]
    ids = [row["aiavatarId"] for page in pages for row in page["data"]]
    assert (len(ids), len(set(ids)), {page["total"] for page in pages}) == (12, 12, {12})
    women = topview.get("/v1/aiavatar/query", gender="female", ethnicityIdList="2,3")["result"]["data"]
    assert {row["aiavatarName"] for row in women} == {"Ada", "Daiyu", "Emi", "Klara"}
    voices = topview.get("/v1/voice/query", language="zh-CN", gender="male")["result"]["data"]
    assert [row["voiceId"] for row in voices] == ["v-zh-wei"]
    assert topview.get("/v1/voice/query", isCustom="true")["result"]["total"] == 2
    assert topview.get("/v1/ethnicity/list", scene="video_avatar")["result"]["data"][0]["ethnicityName"] == "African"
    assert isinstance(topview.get("/v1/caption/list")["result"], list)


# Money


def test_credits_are_reserved_and_not_charged_for_failures(topview: TopView, sandbox: SandboxServer):
    """Accepted jobs bind their price at once, so the account cannot be overdrawn; failure gives it back."""
    sandbox.settings(credits="0.5", render_seconds=60)
    sandbox.arm("topview", "submit", "fail", reason="no face")
    body = STOCK | {"ttsText": "Good day to you" * 3}
    assert topview.submit(body)["code"] == "200"
    assert topview.get("/user/credit/detail")["result"]["remainCredit"] == pytest.approx(0.2)
    assert topview.submit(body)["code"] == "4100"

    sandbox.reset()
    sandbox.settings(credits="0.5", render_seconds=0)
    sandbox.arm("topview", "submit", "fail", reason="no face")
    failed = topview.finish(topview.submit(body)["result"]["taskId"])
    assert (failed["status"], failed["errorMsg"]) == ("fail", "no face")
    assert topview.get("/user/credit/detail")["result"]["remainCredit"] == pytest.approx(0.5)
    assert topview.get("/user/credit/logs")["result"]["total"] == 0
    sandbox.settings(charge_failures=True)
    sandbox.arm("topview", "submit", "fail")
    topview.finish(topview.submit(body)["result"]["taskId"])
    assert [row["charged"] for row in sandbox.submissions("topview")] == ["0", "0.3"]


def test_too_many_queries_are_counted_and_refused(topview: TopView, sandbox: SandboxServer):
    """Above the allowed rate a query gets 429 and a hint; without enforcement it is only counted."""
    sandbox.settings(queries_per_second=0)
    path = "/v1/video_avatar/task/query?taskId=x"
    refused = topview.http.get(path)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    sandbox.settings(enforce_rate=False)
    assert topview.http.get(path).json()["code"] == "4004"
    truth = sandbox.truth()["topview"]
    assert truth["over_rate"] == 2
    assert truth["calls"] == {"query": 2}


# Links


def test_upload_addresses_are_strict(topview: TopView, sandbox: SandboxServer):
    """A stale or changed address, an extra credential or an unknown length is refused as S3 does; nothing is stored."""
    fresh = topview.credential("wav")
    assert httpx.put(fresh["uploadUrl"][:-1] + "z", content=b"x").status_code == 403
    assert httpx.put(fresh["uploadUrl"], content=b"x", headers={"Authorization": "Bearer x"}).status_code == 400
    assert httpx.put(fresh["uploadUrl"], content=iter([b"x"])).status_code == 411
    assert topview.get("/v1/upload/check", fileId=fresh["fileId"])["result"] is False

    sandbox.settings(upload_url_seconds=-1)
    stale = topview.credential("wav")
    refused = httpx.put(stale["uploadUrl"], content=b"x")
    assert refused.status_code == 403
    assert "<Code>AccessDenied</Code>" in refused.text
    assert topview.get("/v1/upload/check", fileId=stale["fileId"])["result"] is False
    body = STOCK | {"audioSourceFrom": "0", "ttsText": None, "audioFileId": stale["fileId"]}
    assert topview.submit(body)["code"] == "4004"


def test_result_links_expire_and_serve_ranges(topview: TopView, sandbox: SandboxServer):
    """A link serves any part until it is stale; asking again gives a fresh one."""
    task = topview.submit(STOCK)["result"]["taskId"]
    link = topview.finish(task)["outputVideoUrl"]
    whole = httpx.get(link)
    assert int(whole.headers["Content-Length"]) == len(whole.content)
    part = httpx.get(link, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert httpx.get(urlsplit(link)._replace(query="").geturl()).status_code == 403

    sandbox.settings(link_seconds=0.05)
    stale = topview.query(task)["outputVideoUrl"]
    time.sleep(0.1)
    assert httpx.get(stale).status_code == 403
    sandbox.settings(link_seconds=60)
    assert httpx.get(topview.query(task)["outputVideoUrl"]).status_code == 200


# Notices


def test_notices_want_the_exact_echo(topview: TopView, sandbox: SandboxServer):
    """A finished job is reported once when the echo is right, and three times when it is not."""
    sandbox.settings(notice_pause_seconds=0)
    with receiving(echo) as (good, came), receiving(lambda notice, uid: {"code": "200"}) as (bad, missed):
        assert topview.post("/notice/notice_url/check", {"noticeUrl": good})["result"] is True
        assert topview.post("/notice/notice_url/check", {"noticeUrl": bad})["result"] is False
        accepted = topview.submit(STOCK | {"noticeUrl": good})["result"]
        refused = topview.submit(STOCK | {"noticeUrl": bad})["result"]
        wait_for(
            lambda: [n["accepted"] or n["given_up"] for n in sandbox.truth()["topview"]["notices"]] == [True, True],
            "both notices",
        )
    notices = {n["job_id"]: (n["attempts"], n["accepted"]) for n in sandbox.truth()["topview"]["notices"]}
    assert notices == {accepted["taskId"]: (1, True), refused["taskId"]: (3, False)}
    assert (len(came), len(missed)) == (2, 4)
    assert (came[1]["uuid"], came[1]["taskId"], came[1]["status"]) == (
        accepted["noticeUuid"],
        accepted["taskId"],
        "success",
    )
    assert came[1]["result"]["outputVideoUrl"]


# Restart


def test_jobs_go_on_after_a_sigkill(topview: TopView, sandbox: SandboxServer, media: Path, media_url: str):
    """What was accepted before a power cut is finished after it, with the same ids, charges and settings."""
    sandbox.settings(render_seconds=1.5, credits="77")
    upload = topview.upload(media / "speech.wav")
    task = topview.submit(STOCK | {"audioSourceFrom": "0", "ttsText": None, "audioFileId": upload})["result"]["taskId"]
    body = {"model": MODEL, "audioUrl": f"{media_url}/speech.wav", "videoUrl": f"{media_url}/person.mp4"}
    job = Mingyan(sandbox).create(body).json()["id"]
    sandbox.kill()
    sandbox.restart()

    done = TopView(sandbox).finish(task)
    assert (done["status"], done["costCredit"]) == ("success", 0.2)
    assert Mingyan(sandbox).finish(job)["status"] == "completed"
    assert httpx.get(done["outputVideoUrl"]).status_code == 200
    assert sandbox.settings()["credits"] == "77"
    assert [len(sandbox.submissions(vendor)) for vendor in ("topview", "mingyan")] == [1, 1]
