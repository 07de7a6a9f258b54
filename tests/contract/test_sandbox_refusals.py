"""The sandbox refuses what the vendors' pages forbid, with the vendor's own code, and accepts nothing by it."""

import json

import pytest

from tests.contract.sandbox_calls import Mingyan, TopView
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name

STOCK = {"avatarSourceFrom": "1", "aiAvatarId": "3327", "audioSourceFrom": "1", "ttsText": "Good morning."}
UNSTORED = "unstored"


@pytest.fixture
def topview(sandbox: SandboxServer) -> TopView:
    return TopView(sandbox)


@pytest.fixture
def mingyan(sandbox: SandboxServer) -> Mingyan:
    return Mingyan(sandbox)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"avatarSourceFrom": None}, "4003"),
        ({"audioSourceFrom": ""}, "4003"),
        ({"aiAvatarId": None}, "4003"),
        ({"ttsText": None}, "4003"),
        ({"avatarSourceFrom": "2", "aiAvatarId": "p-9001"}, "4003"),  # a private avatar has no voice of its own
        ({"avatarSourceFrom": "0", "aiAvatarId": None}, "4003"),
        ({"avatarSourceFrom": "3", "aiAvatarId": None, "voiceoverId": "v-en-ben"}, "4003"),
        ({"audioSourceFrom": "0", "ttsText": None}, "4003"),
        ({"avatarSourceFrom": "4"}, "4000"),
        ({"avatarSourceFrom": "3", "aiAvatarId": None, "imageFileId": UNSTORED, "modeType": "0"}, "4000"),
        ({"modeType": "2"}, "4000"),
        ({"audioFileId": UNSTORED}, "4000"),
        ({"voiceSpeed": 1.3}, "4000"),
        ({"noticeUrl": "ftp://example.com"}, "4000"),
        ({"avatarSourceFrom": "2", "aiAvatarId": "p-9001", "voiceoverId": "v-en-ben", "captionId": "c-1"}, "4000"),
        ({"ttsText": 5}, "4001"),
        ({"avatarSourceFrom": True}, "4001"),
        ({"isSave2CustomAiAvatar": "perhaps"}, "4001"),
        ({"aiAvatarId": "0"}, "4004"),
        ({"aiAvatarId": "p-9001"}, "4004"),  # private, but asked for as a public one
        ({"voiceoverId": "v-xx"}, "4004"),
        ({"captionId": "c-9"}, "4004"),
        ({"avatarSourceFrom": "0", "aiAvatarId": None, "videoFileId": "f", "voiceoverId": "v-en-ben"}, "4004"),
        ({"audioSourceFrom": "0", "ttsText": None, "audioFileId": UNSTORED}, "4004"),
    ],
)
def test_topview_refuses_a_wrong_submit(topview: TopView, sandbox: SandboxServer, change: dict, code: str):
    """Every rule of the submit page has the vendor's own code, in HTTP 200, and nothing is accepted."""
    body = STOCK | {
        name: topview.credential("wav")["fileId"] if value == UNSTORED else value for name, value in change.items()
    }
    answer = topview.http.post("/v1/video_avatar/task/submit", json=body)
    assert (answer.status_code, answer.json()["code"]) == (200, code), answer.json()
    truth = sandbox.truth()["topview"]
    assert (truth["submissions"], [r["code"] for r in truth["refusals"]]) == ([], [code])


@pytest.mark.parametrize("headers", [{"Topview-Uid": "else"}, {"Authorization": "Bearer else"}, {"Authorization": ""}])
def test_topview_asks_for_both_headers(topview: TopView, sandbox: SandboxServer, headers: dict):
    """A wrong uid or key is refused on every call, and told apart from everything else."""
    answer = TopView(sandbox, **headers).http.get("/v1/caption/list")
    assert (answer.status_code, answer.json()["code"]) == (401, "401")


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/v1/upload/credential", {}, "4003"),
        ("/v1/upload/credential", {"format": "exe"}, "4000"),
        ("/v1/upload/check", {"fileId": "x"}, "4004"),
        ("/v1/video_avatar/task/query", {}, "4003"),
        ("/v1/video_avatar/task/query", {"taskId": "x"}, "4004"),
        ("/v1/aiavatar/query", {"pageNo": "one"}, "4001"),
        ("/v1/aiavatar/query", {"pageSize": "0"}, "4000"),
        ("/v1/ethnicity/list", {}, "4003"),
        ("/v1/voice/query", {"age": "Ancient"}, "4000"),
        ("/user/credit/logs", {"startTime": "soon"}, "4001"),
    ],
)
def test_topview_refuses_a_wrong_question(topview: TopView, path: str, query: dict, code: str):
    """Parameters of the other calls are judged as well."""
    assert topview.get(path, **query)["code"] == code


def test_bodies_must_be_json(topview: TopView, mingyan: Mingyan):
    """Anything but a JSON object that says so is a format error."""
    for content in (b"{", b"[]", b'"x"'):
        sent = {"content": content, "headers": {"Content-Type": "application/json"}}
        assert topview.http.post("/v1/video_avatar/task/submit", **sent).json()["code"] == "4001"
        assert mingyan.http.post("/v1/digitalHuman/videos", **sent).status_code == 400
    unnamed = topview.http.post("/v1/video_avatar/task/submit", content=json.dumps(STOCK))
    assert unnamed.json()["code"] == "4001"


@pytest.mark.parametrize(
    "change",
    [
        {"model": "else"},
        {"model": None},
        {"audioUrl": None},
        {"audioUrl": "https://example.com/你好.wav"},
        {"videoUrl": "ftp://example.com/a.mp4"},
        {"videoUrl": "/local/a.mp4"},
        {"videoUrl": "https:///a.mp4"},
        {"modelVersion": 3},
        {"modelVersion": "2"},
        {"sideFace": True},
        {"tiltedFace": 2},
    ],
)
def test_mingyan_refuses_a_wrong_order(mingyan: Mingyan, sandbox: SandboxServer, change: dict):
    """Wrong model, URLs or flags are refused with 400 and nothing is accepted."""
    body = {
        "model": "kyy_digitalHuman",
        "audioUrl": "https://example.com/a.wav",
        "videoUrl": "https://example.com/a.mp4",
    }
    assert mingyan.create(body | change).status_code == 400
    assert sandbox.submissions("mingyan") == []


def test_mingyan_refuses_strangers_and_wrong_paths(mingyan: Mingyan, sandbox: SandboxServer):
    """Wrong key 401, unknown job 404, and a doubled prefix has the gateway's own words."""
    assert Mingyan(sandbox, "else").create({}).status_code == 401
    assert mingyan.http.get("/v1/result/unknown").status_code == 404
    doubled = mingyan.http.get("/kyyReactApiServer/v1/result/unknown")
    assert doubled.status_code == 404
    assert doubled.json()["message"].startswith("No handler found for GET ")
