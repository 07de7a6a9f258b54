"""What TopView would refuse is found before anything is sent, and what it takes becomes the documented body."""

from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import Problem, ProviderRejected
from tasks.models import RenderRequest
from tasks.providers.base import MediaRole, ProbedMedia, SubmitOrder
from tasks.providers.topview.assumptions import OWN_NETWORK_PACE, PACE, named_files, read_credits, read_time
from tasks.providers.topview.client import TopViewClient
from tasks.providers.topview.contract import note
from tasks.providers.topview.envelope import CODES
from tasks.providers.topview.orders import body_of
from tasks.providers.topview.provider import TopViewProvider
from tasks.settings import Price

KEY = "a-planted-topview-key"
PORTRAIT = {"kind": "portrait", "image": "s3://staging/face.png"}
CLIP = {"kind": "clip", "video": "s3://staging/clip.mp4"}
STOCK = {"kind": "stock", "avatar_id": "3327"}
CUSTOM = {"kind": "custom", "custom_avatar_id": "p-9001"}
SCRIPT = {"kind": "script", "text": "Hello there.", "voice": "v-1"}
RECORDING = {"kind": "recording", "audio": "s3://staging/speech.wav"}
AVATARS = {"portrait": PORTRAIT, "clip": CLIP, "stock": STOCK, "custom": CUSTOM}


def provider(**options: Any) -> TopViewProvider:
    client = TopViewClient(base_url="https://topview.invalid", uid="our-user-id", api_key=KEY)
    return TopViewProvider(client, **{"account": "default", "prices": {}} | options)


def request(avatar: dict[str, Any], speech: dict[str, Any], **rest: Any) -> RenderRequest:
    return RenderRequest.model_validate({"avatar": avatar, "speech": speech, "provider": "topview"} | rest)


def probed(role: MediaRole, extension: str, *, seconds: float | None = None) -> ProbedMedia:
    kind = "audio" if role == "speech" else "image" if seconds is None else "video"
    digest = {"avatar": "a", "speech": "b"}[role] * 64
    return ProbedMedia(
        role=role,
        reference="s3://staging/x",
        path=Path("x"),
        sha256=digest,
        size=1,
        kind=kind,
        extension=extension,
        seconds=seconds,
    )


def media_for(asked: RenderRequest) -> dict[MediaRole, ProbedMedia]:
    media: dict[MediaRole, ProbedMedia] = {}
    if asked.avatar.kind == "portrait":
        media["avatar"] = probed("avatar", "png")
    elif asked.avatar.kind == "clip":
        media["avatar"] = probed("avatar", "mp4", seconds=5)
    if asked.speech.kind == "recording":
        media["speech"] = probed("speech", "wav", seconds=5)
    return media


def without_voice(**more: Any) -> dict[str, Any]:
    return {"kind": "script", "text": "Hello there."} | more


def at_speed(speed: float) -> dict[str, Any]:
    return SCRIPT | {"speed": speed}


# Avatar, speech, TopView options, provider options, field, words of the message.
BAD_REQUESTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any], str, tuple[str, ...]]] = [
    (PORTRAIT, SCRIPT, {"mode": "avatar1"}, {}, "topview.mode", ("takes no portrait", "avatar2")),
    (PORTRAIT, RECORDING, {"mode": "avatar1"}, {}, "topview.mode", ("avatar1", "give a clip")),
    (PORTRAIT, RECORDING, {"mode": "avatar4"}, {}, "topview.mode", ("not allowed", "STUDIO_TOPVIEW_AVATAR4")),
    (PORTRAIT, SCRIPT, {"mode": "avatar4"}, {}, "topview.mode", ("not documented", "STUDIO_TOPVIEW_AVATAR4=true")),
    (CLIP, SCRIPT, {"mode": "avatar4"}, {"allow_avatar4": True}, "topview.mode", ("no clip avatar", "portrait")),
    (STOCK, SCRIPT, {"mode": "avatar4"}, {"allow_avatar4": True}, "topview.mode", ("no stock avatar", "avatar1")),
    (CUSTOM, SCRIPT, {"mode": "avatar4"}, {"allow_avatar4": True}, "topview.mode", ("no custom avatar", "avatar2")),
    (CLIP, without_voice(), {}, {}, "speech.voice", ("a clip avatar needs one", "studio catalog topview voices")),
    (CUSTOM, without_voice(), {}, {}, "speech.voice", ("a custom avatar needs one", "give a recording")),
    (PORTRAIT, without_voice(), {}, {}, "speech.voice", ("a portrait avatar needs one", "recording")),
    (CLIP, SCRIPT, {"caption_id": "c-1"}, {}, "topview.caption_id", ("not kept", "topview.save_avatar")),
    (CLIP, RECORDING, {"caption_id": "c-1"}, {}, "topview.caption_id", ("ignored", "stock avatar")),
    (CUSTOM, SCRIPT, {"caption_id": "c-1"}, {}, "topview.caption_id", ("custom avatar", "leave the captions out")),
    (PORTRAIT, SCRIPT, {"caption_id": "c-1"}, {}, "topview.caption_id", ("portrait avatar", "stock avatar")),
    (PORTRAIT, SCRIPT, {"caption_id": "c-1", "save_avatar": True}, {}, "topview.caption_id", ("portrait", "stock")),
    (STOCK, SCRIPT, {"save_avatar": True}, {}, "topview.save_avatar", ("stock avatar is an avatar", "for clips")),
    (CUSTOM, SCRIPT, {"save_avatar": True}, {}, "topview.save_avatar", ("custom avatar is an avatar", "Leave it out")),
    (STOCK, at_speed(0.9), {}, {}, "speech.speed", ("not documented", "STUDIO_TOPVIEW_SPEED_FIELD")),
    (CLIP, at_speed(1.1), {}, {}, "speech.speed", ("none is set", "Leave the speed at 1")),
    (STOCK, at_speed(0.79), {}, {"speed_field": "voiceSpeed"}, "speech.speed", ("0.8 to 1.2", "Choose a speed")),
    (STOCK, at_speed(1.21), {}, {"speed_field": "voiceSpeed"}, "speech.speed", ("0.8 to 1.2", "not at 1.21")),
    (CUSTOM, at_speed(2.0), {}, {"speed_field": "voiceSpeed"}, "speech.speed", ("0.8 to 1.2", "not at 2")),
    (STOCK, at_speed(0.9), {}, {"speed_field": "ttsText"}, "speech.speed", ("'ttsText'", "correct")),
    (STOCK, at_speed(0.9), {}, {"speed_field": "noticeUrl"}, "speech.speed", ("something else", "STUDIO_TOPVIEW")),
]

# Avatar, speech, mode, file of the avatar, file of the speech, field, words of the message.
BAD_MEDIA: list[tuple[dict[str, Any], dict[str, Any], str, Any, Any, str, tuple[str, ...]]] = [
    (CLIP, SCRIPT, "auto", ("webm", 5), None, "avatar.video", ("no WEBM", "MP4, MOV")),
    (CLIP, RECORDING, "avatar2", ("webm", 5), ("wav", 5), "avatar.video", ("no WEBM", "Save it as")),
    (CLIP, SCRIPT, "auto", ("mkv", 5), None, "avatar.video", ("no MKV", "MP4, MOV")),
    (CLIP, SCRIPT, "auto", ("avi", 5), None, "avatar.video", ("no AVI", "MP4, MOV")),
    (PORTRAIT, SCRIPT, "auto", ("gif", None), None, "avatar.image", ("no GIF", "PNG, JPG, JPEG, BMP, WEBP")),
    (PORTRAIT, SCRIPT, "auto", ("tiff", None), None, "avatar.image", ("no TIFF", "WEBP")),
    (STOCK, RECORDING, "auto", None, ("flac", 5), "speech.audio", ("no FLAC", "MP3, WAV, M4A")),
    (STOCK, RECORDING, "auto", None, ("ogg", 5), "speech.audio", ("no OGG", "MP3, WAV, M4A")),
    (STOCK, RECORDING, "auto", None, ("aac", 5), "speech.audio", ("no AAC", "M4A")),
    (CUSTOM, RECORDING, "auto", None, ("mp4", 5), "speech.audio", ("no MP4", "MP3, WAV, M4A")),
    (PORTRAIT, RECORDING, "auto", ("png", None), ("wav", 28.01), "speech.audio", ("at most 28 s", "several videos")),
    (CLIP, RECORDING, "avatar2", ("mp4", 5), ("mp3", 60), "speech.audio", ("60.0 s", "avatar1")),
    (STOCK, RECORDING, "avatar2", None, ("m4a", 29), "speech.audio", ("avatar2 takes at most 28 s", "Cut it")),
    (PORTRAIT, RECORDING, "avatar4", ("jpg", None), ("wav", 120.5), "speech.audio", ("at most 120 s", "Cut it")),
]


def assert_one(problems: list[Problem], field: str, words: tuple[str, ...]) -> None:
    assert [problem.field for problem in problems] == [field] * len(problems)
    assert problems
    told = " ".join(map(str, problems))
    assert [word for word in words if word not in told] == []


@pytest.mark.parametrize("row", BAD_REQUESTS, ids=lambda row: f"{row[0]['kind']}-{row[4]}")
async def test_a_bad_request_is_refused_by_its_field_before_media_are_looked_at(row: Any) -> None:
    """Whoever asks for what TopView cannot do is told the field, what is wrong and the way out."""
    avatar, speech, options, settings, field, words = row
    asked = request(avatar, speech, topview=options)
    topview = provider(**settings)

    assert_one(topview.supports(asked), field, words)
    assert await topview.check(asked, media_for(asked)) == topview.supports(asked)


@pytest.mark.parametrize("row", BAD_MEDIA, ids=lambda row: f"{row[0]['kind']}-{row[2]}-{row[5]}")
async def test_bad_media_are_refused_by_their_field(row: Any) -> None:
    """A file that TopView cannot take, or speech that is too long for the mode, is found before its upload."""
    avatar, speech, mode, picture, sound, field, words = row
    asked = request(avatar, speech, topview={"mode": mode})
    topview = provider(allow_avatar4=True)
    media: dict[MediaRole, ProbedMedia] = {}
    if picture:
        media["avatar"] = probed("avatar", picture[0], seconds=picture[1])
    if sound:
        media["speech"] = probed("speech", sound[0], seconds=sound[1])

    assert topview.supports(asked) == []
    assert_one(await topview.check(asked, media), field, words)


async def test_all_problems_are_told_at_once() -> None:
    """Nobody has to run a request four times to learn of four mistakes."""
    asked = request(
        CUSTOM, without_voice(speed=1.5), topview={"mode": "avatar4", "caption_id": "c", "save_avatar": True}
    )

    fields = {problem.field for problem in provider().supports(asked)}

    assert fields == {"topview.mode", "topview.caption_id", "topview.save_avatar", "speech.voice", "speech.speed"}


@pytest.mark.parametrize(
    ("mode", "extension", "seconds"),
    [("avatar1", "mp3", 3000), ("avatar2", "wav", 28), ("auto", "m4a", 28), ("avatar2", "mp3", 0.5)],
)
async def test_media_at_the_edge_are_taken(mode: str, extension: str, seconds: float) -> None:
    """The limits of a mode are part of what it takes; avatar1 has none."""
    asked = request(CLIP, RECORDING, topview={"mode": mode})
    media: dict[MediaRole, ProbedMedia] = {
        "avatar": probed("avatar", "mov", seconds=5),
        "speech": probed("speech", extension, seconds=seconds),
    }

    assert await provider().check(asked, media) == []


SOURCES = {
    "clip": {"avatarSourceFrom": "0", "videoFileId": "up-avatar"},
    "stock": {"avatarSourceFrom": "1", "aiAvatarId": "3327"},
    "custom": {"avatarSourceFrom": "2", "aiAvatarId": "p-9001"},
    "portrait": {"avatarSourceFrom": "3", "imageFileId": "up-avatar"},
}
SOUNDS = {
    "script": (SCRIPT, {"audioSourceFrom": "1", "ttsText": "Hello there.", "voiceoverId": "v-1"}),
    "recording": (RECORDING, {"audioSourceFrom": "0", "audioFileId": "up-speech"}),
}
MODES = [
    ("clip", "auto", "0"),
    ("clip", "avatar1", "0"),
    ("clip", "avatar2", "1"),
    ("stock", "auto", "0"),
    ("stock", "avatar1", "0"),
    ("stock", "avatar2", "1"),
    ("custom", "auto", "0"),
    ("custom", "avatar1", "0"),
    ("custom", "avatar2", "1"),
    ("portrait", "auto", "1"),
    ("portrait", "avatar2", "1"),
    ("portrait", "avatar4", "2"),
]


def body_for(topview: TopViewProvider, asked: RenderRequest, **facts: Any) -> dict[str, Any]:
    media = media_for(asked)
    inputs = {role: f"up-{role}" for role in media}
    order = SubmitOrder(render_key="k" * 64, attempt=1, payload=topview.payload(asked, media), inputs=inputs, **facts)
    return body_of(order)


@pytest.mark.parametrize("sound", list(SOUNDS))
@pytest.mark.parametrize(("source", "mode", "mode_type"), MODES)
def test_every_valid_combination_becomes_the_documented_body(
    source: str, mode: str, mode_type: str, sound: str
) -> None:
    """Source, audio and mode are sent as the page says, as strings, and nothing else is."""
    topview = provider(allow_avatar4=True)
    speech, spoken = SOUNDS[sound]
    asked = request(AVATARS[source], speech, topview={"mode": mode})

    assert topview.supports(asked) == []
    assert body_for(topview, asked) == SOURCES[source] | spoken | {"modeType": mode_type}


def test_extras_are_sent_only_where_they_were_asked_for() -> None:
    """Captions, keeping the avatar, speed and notice address each add exactly their field."""
    topview = provider(speed_field="voiceSpeed")
    captioned = request(STOCK, without_voice(), topview={"caption_id": "c-1"})
    kept = request(CLIP, at_speed(1.2), topview={"caption_id": "c-1", "save_avatar": True})

    assert topview.supports(captioned) == topview.supports(kept) == []
    assert body_for(topview, captioned, notice_url="https://h/n") == {
        "avatarSourceFrom": "1",
        "aiAvatarId": "3327",
        "modeType": "0",
        "audioSourceFrom": "1",
        "ttsText": "Hello there.",
        "captionId": "c-1",
        "noticeUrl": "https://h/n",
    }
    assert body_for(topview, kept) == SOURCES["clip"] | SOUNDS["script"][1] | {
        "modeType": "0",
        "captionId": "c-1",
        "isSave2CustomAiAvatar": True,
        "voiceSpeed": 1.2,
    }


def test_a_portrait_is_kept_anyway_so_the_wish_changes_nothing() -> None:
    """TopView keeps every portrait as an avatar: asking for it is granted, not sent, and costs no second render."""
    topview = provider()
    plain, kept = (request(PORTRAIT, SCRIPT, topview={"save_avatar": keep}) for keep in (False, True))

    assert topview.supports(kept) == []
    assert topview.payload(kept, media_for(kept)) == topview.payload(plain, media_for(plain))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"modeType": "0"}, "takes modeType 1"),
        ({"modeType": 1}, "modeType"),
        ({"modeType": "3"}, "modeType"),
        ({"avatarSourceFrom": "0"}, "takes videoFileId"),
        ({"avatarSourceFrom": "1"}, "takes aiAvatarId"),
        ({"aiAvatarId": "3327"}, "no other avatar"),
        ({"voiceoverId": None}, "takes voiceoverId"),
        ({"ttsText": ""}, "ttsText"),
        ({"ttsText": None}, "takes ttsText"),
        ({"audioSourceFrom": "0"}, "takes audioFileId"),
        ({"captionId": "c-1"}, "takes a public avatar"),
        ({"isSave2CustomAiAvatar": True}, "takes an uploaded video"),
        ({"isSave2CustomAiAvatar": "true"}, "isSave2CustomAiAvatar"),
        ({"surprise": "x"}, "surprise"),
        ({"speed": {"field": "ttsText", "value": 0.9}}, "speaking rate"),
        ({"speed": {"field": "voiceSpeed", "value": 1.3}}, "speaking rate"),
        ({"speed": "fast"}, "speaking rate"),
        ({"videoFileId": "digest"}, "no other avatar"),
        ({"audioFileId": "digest"}, "upload for speech is missing"),
    ],
)
def test_nothing_that_breaks_a_rule_of_the_page_is_sent(change: dict[str, Any], words: str) -> None:
    """A payload of an older plan or a damaged ledger is refused here, and the script is not quoted."""
    asked = request(PORTRAIT, SCRIPT | {"text": "Something private."})
    payload = provider().payload(asked, media_for(asked)) | change
    order = SubmitOrder(render_key="k", attempt=1, payload=payload, inputs={"avatar": "up-avatar"})

    with pytest.raises(ProviderRejected, match=words) as refused:
        body_of(order)

    assert "private" not in str(refused.value)


PEOPLES = st.fixed_dictionaries(
    {
        "title": st.text(max_size=50),
        "tags": st.lists(st.sampled_from(["news", "a", "b c"]), max_size=3),
        "labels": st.fixed_dictionaries({"visible": st.booleans(), "seconds": st.sampled_from([0, 2, 5])}),
        "output": st.fixed_dictionaries({"fps": st.sampled_from([24, 25, 30])}),
        "mingyan": st.fixed_dictionaries({"side_face": st.booleans()}),
        "provider": st.sampled_from(["auto", "topview"]),
    }
)


@given(
    avatar=st.sampled_from(list(AVATARS)),
    sound=st.sampled_from(list(SOUNDS)),
    words=PEOPLES,
    language=st.sampled_from(["en", "zh-CN", "de"]),
)
def test_what_does_not_change_the_video_never_changes_the_payload(
    avatar: str, sound: str, words: dict[str, Any], language: str
) -> None:
    """Titles, tags, labels, others' options and the language never cost a second render."""
    topview = provider()
    speech = deepcopy(SOUNDS[sound][0])
    plain = request(AVATARS[avatar], speech)
    if sound == "script":
        speech["language"] = language
    named = request(AVATARS[avatar], speech, **words)

    assert topview.payload(named, media_for(named)) == topview.payload(plain, media_for(plain))


@given(one=st.text(min_size=1), other=st.text(min_size=1))
def test_what_is_said_always_changes_the_payload(one: str, other: str) -> None:
    """Two texts are two videos."""
    texts = [f"x{one}x", f"x{other}x"]
    asked = [request(STOCK, without_voice(text=text)) for text in texts]
    payloads = [provider().payload(item, {}) for item in asked]

    assert (payloads[0] == payloads[1]) == (one == other)


def test_the_name_of_the_speed_field_is_part_of_the_payload_once_it_is_used() -> None:
    """Correcting a wrong name must lead to a new video; where no speed is asked for, it changes nothing."""
    fast, plain = request(STOCK, at_speed(1.1)), request(STOCK, SCRIPT)
    one, other = provider(speed_field="speed"), provider(speed_field="voiceSpeed")

    assert one.payload(fast, {}) != other.payload(fast, {})
    assert one.payload(plain, {}) == other.payload(plain, {})


@pytest.mark.parametrize(
    ("avatar", "mode", "expected"),
    [(PORTRAIT, "auto", "avatar2"), (CLIP, "auto", "avatar1"), (STOCK, "avatar2", "avatar2")],
)
def test_prices_are_looked_up_by_mode(avatar: dict[str, Any], mode: str, expected: str) -> None:
    """The estimate follows the price of the mode that will be rendered."""
    prices = {f"topview/{expected}": Price(per_second=Decimal("0.5"), unit="credits")}
    asked = request(avatar, RECORDING, topview={"mode": mode})
    topview = provider(prices=prices)

    assert topview.mode(asked) == expected
    assert topview.estimate(asked, media_for(asked)).amount == Decimal("2.5")
    assert provider().estimate(asked, media_for(asked)).amount is None


@pytest.mark.parametrize("key", ["", " s3cr3t", "s3cr3t\n", "s3 cr3t", "s3cr3t\r\nX-Evil: 1", "s3crét", "s3\x00cr3t"])
@pytest.mark.parametrize("which", ["uid", "api_key"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(which: str, key: str) -> None:
    """A line end that was copied along gives a clear message, and the key stays hidden."""
    good = {"uid": "our-user-id", "api_key": KEY}

    with pytest.raises(ProviderRejected, match="Copy it again") as refused:
        TopViewClient(base_url="https://topview.invalid", **good | {which: key})

    assert "s3" not in str(refused.value)
    assert KEY not in str(refused.value)


def test_nothing_shows_a_secret_when_printed() -> None:
    """Client and provider can be logged."""
    topview = provider()

    assert KEY not in f"{topview!r} {topview._client!r} {topview._client._api!r} {vars(topview)!r}"
    assert "topview.invalid" in repr(topview._client)


def test_only_an_endpoint_of_our_own_network_is_asked_fast() -> None:
    """TopView is asked every 5 to 30 s, a sandbox more often."""
    sandbox = TopViewClient(base_url="http://127.0.0.1:1/topview", uid="our-user-id", api_key=KEY)

    assert provider().pace == PACE
    assert TopViewProvider(sandbox, account="a", prices={}).pace == OWN_NETWORK_PACE
    assert (PACE.first, PACE.longest) == (5, 30)


def test_every_code_of_the_table_has_a_way_out() -> None:
    """The table is the vendor's: sixteen codes beside success, each with meaning and fix."""
    four = {"4000", "4001", "4002", "4003", "4004", "4005", "4006", "4007", "4100"}

    assert set(CODES) == four | {"401", "5000", "5001", "5003", "5004", "5005", "6001"}
    assert all(code.meaning and code.fix for code in CODES.values())
    assert {name for name, code in CODES.items() if code.verdict == "busy"} == {"4007", "5003"}
    assert all(code.pause for code in CODES.values() if code.verdict == "busy")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00+00:00"),
        ("2026-11-21 10:00:00", "2026-11-21T10:00:00+00:00"),
        ("2026-11-21T18:00:00+08:00", "2026-11-21T10:00:00+00:00"),
        (1795255200, "2026-11-21T10:00:00+00:00"),
        ("1795255200000", "2026-11-21T10:00:00+00:00"),
        ("yesterday", None),
        ("9" * 30, None),
        (None, None),
    ],
)
def test_dates_of_the_credit_log_are_read_in_every_likely_form(given: object, expected: str | None) -> None:
    """The form is not documented; what cannot be read is told from what can."""
    assert read_time(given) == (datetime.fromisoformat(expected) if expected else None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [(0.3, "0.3"), ("12.50", "12.50"), (3, "3"), (None, None), ("-", None), (True, None), ("NaN", None)],
)
def test_credits_are_read_exactly(given: object, expected: str | None) -> None:
    """Money comes as number or text and never through a float's rounding."""
    assert read_credits(given) == (Decimal(expected) if expected else None)


def test_only_inputs_count_as_the_uploads_of_a_task() -> None:
    """The result's own file must not be taken for an upload of somebody else."""
    facts = {"inputVideoFileId": "a", "inputAudioFileId": None, "inputImageFileId": "", "outputVideoFileId": "z"}

    assert named_files(facts) == {"a"}


def test_a_difference_from_the_contract_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand polls of a changed service make one line, not a thousand."""
    note.cache_clear()
    for _ in range(3):
        note("query", "unknown field surprise")

    assert [record.message for record in caplog.records] == [
        "contract difference provider=topview call=query what=unknown field surprise"
    ]
