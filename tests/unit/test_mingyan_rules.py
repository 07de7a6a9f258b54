"""What mingyan is sent, what it is never sent, and how its answers are read."""

import itertools
import logging
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.errors import ProviderRejected
from tasks.models import RenderRequest
from tasks.providers import contract
from tasks.providers.base import MediaRole, ProbedMedia, SubmitOrder
from tasks.providers.contract import note_difference
from tasks.providers.mingyan.client import MingyanClient, normal_base_url
from tasks.providers.mingyan.models import CreateVideo, GatewayError, VideoAnswer, read_answer
from tasks.providers.mingyan.provider import MingyanProvider, Staging
from tasks.settings import Price
from tests.media_files import write_clip

VENDOR = "https://zcbservice.aizfw.cn/kyyReactApiServer"
SANDBOX = "http://127.0.0.1:8700/mingyan/kyyReactApiServer"
PUBLIC = "https://media.example.com"
CLIP = {"kind": "clip", "video": "s3://staging/a.mp4"}
RECORDING = {"kind": "recording", "audio": "s3://staging/a.wav"}
SCRIPT = {"kind": "script", "text": "Hello."}


def provider(base_url: str = VENDOR, address: str = PUBLIC, prices: dict[str, Price] | None = None) -> MingyanProvider:
    async def link(media: ProbedMedia) -> str:
        return f"{address}/staging/{media.sha256}.{media.extension}"

    client = MingyanClient(base_url=base_url, api_key="planted-key")
    return MingyanProvider(client, account="main", prices=prices or {}, staging=Staging(address=address, link=link))


def request_of(**changes: Any) -> RenderRequest:
    return RenderRequest.model_validate({"avatar": CLIP, "speech": RECORDING, "provider": "mingyan"} | changes)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Clips by codec, made once."""
    folder = tmp_path_factory.mktemp("clips")
    made = {codec: folder / f"{codec}.mp4" for codec in ("libx264", "mpeg4", "libx265", "libvpx-vp9")}
    for codec, path in made.items():
        write_clip(path, 0.2, codec=codec, sound=False)
    return made


def media_of(clip: Path, clip_extension: str = "mp4", sound_extension: str = "wav") -> dict[MediaRole, ProbedMedia]:
    facts = {"reference": "s3://staging/a", "path": clip, "size": 1, "seconds": 2.0}
    return {
        "avatar": ProbedMedia(role="avatar", sha256="a" * 64, kind="video", extension=clip_extension, **facts),
        "speech": ProbedMedia(role="speech", sha256="b" * 64, kind="audio", extension=sound_extension, **facts),
    }


# Each row: name, what is wrong, the field that is named, words of the way out.
BAD: list[tuple[str, dict[str, Any], str, str]] = [
    ("portrait", {"avatar": {"image": "s3://staging/a.png"}}, "avatar.kind", "choose topview or local"),
    ("stock avatar", {"avatar": {"kind": "stock", "avatar_id": "7"}}, "avatar.kind", "choose topview"),
    ("own avatar", {"avatar": {"kind": "custom", "custom_avatar_id": "7"}}, "avatar.kind", "choose topview"),
    ("script", {"speech": SCRIPT}, "speech.kind", "Record it, or choose topview or local"),
    ("flac", {"sound": "flac"}, "speech.audio", "WAV, MP3 or M4A"),
    ("ogg", {"sound": "ogg"}, "speech.audio", "WAV, MP3 or M4A"),
    ("webm sound", {"sound": "webm"}, "speech.audio", "WAV, MP3 or M4A"),
    ("quicktime sound", {"sound": "mov"}, "speech.audio", "WAV, MP3 or M4A"),
    ("webm clip", {"clip": "webm"}, "avatar.video", "MP4 (H.264)"),
    ("quicktime clip", {"clip": "mov"}, "avatar.video", "MP4 (H.264)"),
    ("old codec", {"codec": "mpeg4"}, "avatar.video", "MP4 (H.264)"),
    ("hevc", {"codec": "libx265"}, "avatar.video", "MP4 (H.264)"),
    ("vp9 in mp4", {"codec": "libvpx-vp9"}, "avatar.video", "MP4 (H.264)"),
    ("loopback", {"address": "http://127.0.0.1:8333"}, "provider", "Public endpoint"),
    ("loopback of IPv6", {"address": "http://[::1]:8333"}, "provider", "Public endpoint"),
    ("localhost", {"address": "http://localhost:8333"}, "provider", "Public endpoint"),
    ("localhost with a dot", {"address": "https://localhost."}, "provider", "Public endpoint"),
    ("below localhost", {"address": "https://s3.localhost"}, "provider", "Public endpoint"),
    ("office network", {"address": "https://192.168.1.5"}, "provider", "Public endpoint"),
    ("data centre network", {"address": "https://10.1.2.3:9000"}, "provider", "Public endpoint"),
    ("carrier network", {"address": "https://100.64.0.1"}, "provider", "Public endpoint"),
    ("link-local", {"address": "https://169.254.1.1"}, "provider", "Public endpoint"),
    ("any address", {"address": "http://0.0.0.0:8333"}, "provider", "Public endpoint"),
    ("inside in disguise", {"address": "https://[::ffff:10.0.0.1]"}, "provider", "Public endpoint"),
    ("name of a container", {"address": "http://object-store:8333"}, "provider", "Public endpoint"),
    ("name at home", {"address": "https://nas.local"}, "provider", "Public endpoint"),
    ("name of a cloud's inside", {"address": "https://s3.internal"}, "provider", "Public endpoint"),
    ("not ASCII", {"address": "https://bücher.example"}, "provider", "Public endpoint"),
    ("no http", {"address": "ftp://media.example.com"}, "provider", "Public endpoint"),
    ("no host", {"address": "https://"}, "provider", "Public endpoint"),
    ("not ASCII even for the sandbox", {"address": "http://bücher:1", "base_url": SANDBOX}, "provider", "Public"),
]


@pytest.mark.parametrize(("name", "wrong", "field", "fix"), BAD, ids=[row[0] for row in BAD])
async def test_bad_requests_cost_nothing(
    clips: dict[str, Path], name: str, wrong: dict[str, Any], field: str, fix: str
) -> None:
    """Each mistake is found before anything is sent, named by its field, with the way out, and found alone."""
    made = provider(wrong.get("base_url", VENDOR), wrong.get("address", PUBLIC))
    request = request_of(**{name: value for name, value in wrong.items() if name in {"avatar", "speech"}})
    media = media_of(clips[wrong.get("codec", "libx264")], wrong.get("clip", "mp4"), wrong.get("sound", "wav"))
    given = {role: item for role, item in media.items() if {"avatar": "avatar", "speech": "speech"}[role] not in wrong}

    problems = await made.check(request, given)

    assert [problem.field for problem in problems] == [field]
    assert fix in problems[0].fix


async def test_all_mistakes_are_told_at_once(clips: dict[str, Path]) -> None:
    """A request with three mistakes needs one round of mending."""
    made = provider(address="http://localhost:8333")
    request = request_of(avatar={"image": "s3://staging/a.png"}, speech=SCRIPT)

    assert [problem.field for problem in made.supports(request)] == ["avatar.kind", "speech.kind", "provider"]


@pytest.mark.parametrize("sound", ["mp4", "mp3", "wav", "m4a"])
async def test_listed_recordings_pass(clips: dict[str, Path], sound: str) -> None:
    """What the page lists is taken without a word."""
    assert await provider().check(request_of(), media_of(clips["libx264"], sound_extension=sound)) == []


async def test_doubtful_recordings_pass_with_a_remark(clips: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    """The page's odd 'aar' may mean AAC: it is tried, and the log says so."""
    assert await provider().check(request_of(), media_of(clips["libx264"], sound_extension="aac")) == []

    assert "may not take format=aac" in caplog.text


@pytest.mark.parametrize("address", ["https://media.example.com", "https://8.8.8.8:9000", "http://media.example.com"])
def test_public_staging_is_reachable(address: str) -> None:
    """A public host over http or https is what the vendor can fetch from."""
    assert provider(address=address).supports(request_of()) == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:8333", "http://object-store:8333"])
def test_a_vendor_inside_fetches_inside(address: str) -> None:
    """The sandbox runs beside the object store, so it needs no public address."""
    assert provider(SANDBOX, address).supports(request_of()) == []


def order_of(payload: dict[str, Any], **links: str) -> SubmitOrder:
    inputs = {"avatar": f"{PUBLIC}/v.mp4?X-Amz-Signature=s1", "speech": f"{PUBLIC}/a.wav?X-Amz-Signature=s2"} | links
    return SubmitOrder(render_key="f" * 64, attempt=1, payload=payload, inputs=inputs)


@pytest.mark.parametrize(("version", "side", "tilted"), list(itertools.product([1, 2], [False, True], [False, True])))
def test_bodies_are_as_the_page_says(version: int, side: bool, tilted: bool) -> None:
    """Version always, flags only when set and as the number 1; no other fields."""
    options = {"model_version": version, "side_face": side, "tilted_face": tilted}
    payload = provider().payload(request_of(mingyan=options), media_of(Path("unread")))

    flags = {name: 1 for name, is_set in (("sideFace", side), ("tiltedFace", tilted)) if is_set}
    facts = {"model": "kyy_digitalHuman", "modelVersion": version}
    assert payload == facts | {"video": "a" * 64, "audio": "b" * 64} | flags
    body = CreateVideo(
        audio_url=f"{PUBLIC}/a.wav",
        video_url=f"{PUBLIC}/v.mp4",
        model_version=payload["modelVersion"],
        side_face=payload.get("sideFace"),
        tilted_face=payload.get("tiltedFace"),
    ).body()
    assert body == facts | {"audioUrl": f"{PUBLIC}/a.wav", "videoUrl": f"{PUBLIC}/v.mp4"} | flags
    assert all(type(value) is not bool for value in body.values())


def test_names_and_labels_do_not_change_the_payload() -> None:
    """Two requests for the same video are the same order, whatever they are called."""
    media = media_of(Path("unread"))
    plain = provider().payload(request_of(), media)
    named = request_of(title="x", tags=["y"], labels={"text": "Z"}, output={"fps": 30}, topview={"caption_id": "9"})

    assert provider().payload(named, media) == plain


GOOD_BODY: dict[str, Any] = {
    "audio_url": f"{PUBLIC}/a.wav",
    "video_url": f"{PUBLIC}/v.mp4?X-Amz-Signature=%2F&b=1",
    "model_version": 2,
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "kyy_other"},
        {"model_version": 3},
        {"model_version": 0},
        {"model_version": "2"},
        {"model_version": True},
        {"model_version": None},
        {"side_face": 0},
        {"side_face": True},
        {"side_face": "1"},
        {"tilted_face": 0},
        {"tilted_face": 2},
        {"audio_url": ""},
        {"audio_url": "a.wav"},
        {"audio_url": "file:///a.wav"},
        {"audio_url": "data:audio/wav;base64,AAAA"},
        {"audio_url": "s3://staging/a.wav"},
        {"audio_url": "https:///a.wav"},
        {"audio_url": f"{PUBLIC}/a b.wav"},
        {"audio_url": f"{PUBLIC}/a\n.wav"},
        {"video_url": f"{PUBLIC}/视频.mp4"},
        {"video_url": "https://视频.example/v.mp4"},
        {"video_url": None},
        {"video_url": b"https://media.example.com/v.mp4"},
        {"seed": 1},
    ],
    ids=str,
)
def test_nothing_wrong_is_ever_sent(wrong: dict[str, Any]) -> None:
    """The body is checked field by field, with exact types, before it can leave."""
    assert CreateVideo(**GOOD_BODY).model_version == 2
    with pytest.raises(ValidationError):
        CreateVideo(**(GOOD_BODY | wrong))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (order_of({"modelVersion": 2}, speech="https://视频.example/a.wav?X-Amz-Signature=s2"), "plain ASCII"),
        (order_of({"modelVersion": 7}), "model_version"),
        (order_of({}), "'modelVersion' is missing"),
    ],
)
async def test_unreadable_orders_are_rejected_unsent(order: SubmitOrder, said: str) -> None:
    """An order that does not fit is refused without a call, and its signed links stay out of the message."""
    with pytest.raises(ProviderRejected, match=said) as caught:
        await provider("http://127.0.0.1:9").submit(order)

    assert "Signature" not in str(caught.value)
    assert caught.value.code == "order-unreadable"


@pytest.mark.parametrize(
    ("written", "used"),
    [
        ("https://zcbservice.aizfw.cn", VENDOR),
        ("https://zcbservice.aizfw.cn/", VENDOR),
        (VENDOR, VENDOR),
        (VENDOR + "/", VENDOR),
        (VENDOR + "/kyyReactApiServer", VENDOR),
        (VENDOR + "/kyyReactApiServer/", VENDOR),
        (VENDOR + "/v1/digitalHuman/videos", VENDOR),
        (f" {VENDOR} ", VENDOR),
        ("https://kyyReactApiServer.example", "https://kyyReactApiServer.example/kyyReactApiServer"),
        ("https://reseller.example/video/", "https://reseller.example/video/kyyReactApiServer"),
        ("http://127.0.0.1:8700/mingyan", SANDBOX),
        (SANDBOX, SANDBOX),
    ],
)
def test_the_prefix_is_there_once(written: str, used: str) -> None:
    """Every spelling of the address is the same endpoint, so that a resume finds it again."""
    assert normal_base_url(written) == used
    assert provider(written).endpoint == used


async def test_what_mingyan_cannot_do_is_told() -> None:
    """No look-up, no books: the answers say 'unknown' and 'nothing' whatever notices claim."""
    made = provider()

    assert (await made.look_up(order_of({}), ["job-1"])).seen == "unknown"
    assert await made.charges(datetime.now(UTC)) == []
    assert made.mode(request_of()) == ""


def test_the_pace_follows_the_page() -> None:
    """5 s growing to 30 s at the vendor; quicker where only our own machine is asked."""
    assert (provider().pace.first, provider().pace.longest) == (5, 30)
    inside = provider(SANDBOX).pace
    assert (inside.first, inside.longest) == (0.3, 2)


def test_prices_are_the_operators() -> None:
    """An unknown price stays unknown; a known one counts the speech."""
    media = media_of(Path("unread"))
    assert provider().estimate(request_of(), media).amount is None
    priced = provider(prices={"mingyan": Price(per_second=Decimal("0.5"), per_video=Decimal(1), unit="CNY")})
    found = priced.estimate(request_of(), media)
    assert (found.amount, found.unit) == (Decimal(2), "CNY")


@pytest.mark.parametrize(
    ("base_url", "link", "asked"),
    [
        (VENDOR, "https://cdn.example/v.mp4?s=1", "https://cdn.example/v.mp4?s=1"),
        (VENDOR, "http://cdn.example/v.mp4?s=1", "https://cdn.example/v.mp4?s=1"),
        (VENDOR, "ftp://cdn.example/v.mp4", "ftp://cdn.example/v.mp4"),
        (SANDBOX, "http://127.0.0.1:8700/files/v.mp4", "http://127.0.0.1:8700/files/v.mp4"),
    ],
)
def test_plain_links_are_asked_for_over_tls(base_url: str, link: str, asked: str) -> None:
    """A paid video is not lost over a link that says http://; only the sandbox's are taken as they are."""
    status = provider(base_url)._status_of(VideoAnswer("j1", "completed", video_url=link, md5="0" * 32))

    assert status.result is not None
    assert status.result.location == asked


MOMENT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())
CREATED = {"id": "j1", "object": "video", "created": SECONDS, "model": "kyy_digitalHuman", "status": "queued"}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (CREATED, VideoAnswer("j1", "queued", created=MOMENT)),
        # Milliseconds in place of seconds.
        (CREATED | {"created": SECONDS * 1000}, VideoAnswer("j1", "queued", created=MOMENT)),
        # Empty and null errors.
        (CREATED | {"error": ""}, VideoAnswer("j1", "queued", created=MOMENT)),
        (CREATED | {"error": None}, VideoAnswer("j1", "queued", created=MOMENT)),
        # Another case of the word.
        ({"id": "j1", "status": " Queued "}, VideoAnswer("j1", "queued")),
        # Ids of sibling models, and of numbers.
        ({"projectId": "p1", "status": "queued"}, VideoAnswer("p1", "queued")),
        ({"task_id": "t1", "projectId": "p1"}, VideoAnswer("p1")),
        ({"task_id": "t1"}, VideoAnswer("t1")),
        ({"id": 17, "status": "queued"}, VideoAnswer("17", "queued")),
        # The wrapper of newer endpoints, with and without its success code.
        ({"data": {"id": "j1", "status": "queued"}}, VideoAnswer("j1", "queued")),
        ({"code": 0, "msg": "ok", "data": {"id": "j1", "status": "queued"}}, VideoAnswer("j1", "queued")),
        ({"code": "0", "data": {"id": "j1"}}, VideoAnswer("j1")),
        # A job id is worth more than an odd code: the job exists.
        ({"code": 200, "data": {"id": "j1", "status": "queued"}}, VideoAnswer("j1", "queued")),
        # Errors in the envelope.
        ({"code": 1001, "msg": "url not reachable", "data": None}, GatewayError("1001", "url not reachable")),
        ({"code": "500", "message": "oops"}, GatewayError("500", "oops")),
        ({"code": -1}, GatewayError("-1", "no reason given")),
        # An error that is an object.
        ({"id": "j1", "status": "failed", "error": {"message": "no face"}}, VideoAnswer("j1", "failed", "no face")),
        # Nothing at all.
        ({}, VideoAnswer()),
        ([], VideoAnswer()),
        ("ok", VideoAnswer()),
        (None, VideoAnswer()),
        ({"id": None, "status": True, "created": "soon"}, VideoAnswer()),
        ({"id": "j1", "created": 10**30}, VideoAnswer("j1")),
        ({"id": "j1", "created": True}, VideoAnswer("j1")),
        # The result, its older and newer names, and facts for people.
        (
            {"id": "j1", "status": "COMPLETED", "video_url": "https://x/v.mp4", "md5": "A" * 32},
            VideoAnswer("j1", "completed", video_url="https://x/v.mp4", md5="A" * 32),
        ),
        (
            {"data": {"id": "j1", "status": "completed", "result_url": "https://x/v.mp4", "amount": 1.5}},
            VideoAnswer("j1", "completed", video_url="https://x/v.mp4", remarks={"amount": "1.5"}),
        ),
    ],
    ids=str,
)
def test_answers_are_read_leniently(body: Any, found: VideoAnswer | GatewayError) -> None:
    """All brands' and versions' ways to say the same are understood; nonsense is nothing."""
    assert read_answer(body, "query") == found


@pytest.fixture
def fresh_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract, "_noted", set())


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "studio.contract" and record.levelno == logging.WARNING
    ]


def test_documented_answers_are_no_news(fresh_facts: None, caplog: pytest.LogCaptureFixture) -> None:
    """An answer exactly as on the pages leaves no remark."""
    read_answer(CREATED, "submit")
    read_answer(CREATED | {"status": "processing"}, "query")
    read_answer(CREATED | {"status": "completed", "video_url": "https://x/v", "md5": "0" * 32}, "query")
    read_answer(CREATED | {"status": "failed", "error": "no face"}, "query")

    assert told(caplog) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (CREATED | {"price": 3}, "unknown field 'price'"),
        ({name: value for name, value in CREATED.items() if name != "created"}, "missing field 'created'"),
        (CREATED | {"status": "completed", "video_url": "https://x/v"}, "missing field 'md5'"),
        ({"data": CREATED}, "facts wrapped in 'data'"),
        ({"code": 7, "msg": "no"}, "error in an envelope, code='7'"),
        ({"projectId": "p", **{name: value for name, value in CREATED.items() if name != "id"}}, "'projectId' in"),
        ([1], "answer is no object but list"),
    ],
)
def test_differences_are_written_down_once(
    fresh_facts: None, caplog: pytest.LogCaptureFixture, body: Any, said: str
) -> None:
    """What the pages do not say is told at its first sight, and only then."""
    read_answer(body, "query")
    first = told(caplog)
    read_answer(body, "query")

    assert any(line.startswith("contract difference provider=mingyan call=query what=") for line in first)
    assert any(said in line for line in first), first
    assert told(caplog) == first


def test_a_vendor_cannot_flood_the_log(
    fresh_facts: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Endless differences end at a bound, each on one line of bounded length."""
    monkeypatch.setattr(contract, "MOST_FACTS", 3)
    for number in range(10):
        note_difference("mingyan", "query", f"{number}\n{'x' * 10_000}")

    assert len(told(caplog)) == 3
    assert all(len(line) < 400 and "\n" not in line for line in told(caplog))
