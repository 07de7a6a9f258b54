"""The request form under generated input: only refusals come out of nonsense, and good requests hold together."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from prefect.utilities.callables import parameter_schema

from flows.render_video import render_video
from infra.sandbox.mingyan.order import check_order
from infra.sandbox.topview.order import read_order
from infra.sandbox.topview.stock import ALL_VOICES, CAPTIONS
from tasks.errors import RequestRefused
from tasks.models import RenderRequest
from tasks.plan import render_key
from tasks.providers.base import MediaRole, ProbedMedia, Provider, SubmitOrder
from tasks.providers.mingyan.client import MingyanClient
from tasks.providers.mingyan.models import CreateVideo
from tasks.providers.mingyan.provider import MingyanProvider, Staging, _body_of
from tasks.providers.topview.client import TopViewClient
from tasks.providers.topview.models import BODY_FIELDS, SubmitBody
from tasks.providers.topview.orders import body_of
from tasks.providers.topview.provider import TopViewProvider
from tasks.request import read_request

# What JSON can hold, halves of surrogate pairs and numbers without bounds included.
_SIGNS = st.text(st.characters(), max_size=12)
_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | _SIGNS
_FIELDS = st.sampled_from(sorted(RenderRequest.model_fields)) | _SIGNS
NONSENSE = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_FIELDS, inner, max_size=5), max_leaves=12
)

_WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 .,!?']{0,30}[A-Za-z0-9]", fullmatch=True)
_IDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
_NAMES = st.from_regex(r"[a-z0-9_-]{1,12}(/[A-Za-z0-9_. %?&=-]{0,8}[a-z])?", fullmatch=True)
_REFERENCES = st.builds("s3://staging/{}".format, _NAMES) | st.builds("https://media.example.com/{}".format, _NAMES)


def _group(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A group of fields that may each be left out."""
    return st.fixed_dictionaries({}, optional=fields)


def _one(kind: str, needed: dict[str, st.SearchStrategy[Any]], **more: st.SearchStrategy[Any]) -> Any:
    """One choice of a union, with its kind written down or left to be found."""
    return st.fixed_dictionaries(needed, optional={"kind": st.just(kind), **more})


CLIP = _one("clip", {"video": _REFERENCES})
AVATARS = (
    CLIP
    | _one("portrait", {"image": _REFERENCES})
    | _one("stock", {"avatar_id": _IDS})
    | _one("custom", {"custom_avatar_id": _IDS})
)
RECORDING = _one("recording", {"audio": _REFERENCES})
SPEECHES = RECORDING | _one(
    "script",
    {"text": _WORDS},
    language=st.sampled_from(["en", "en-GB", "zh-CN", "fil"]),
    voice=st.sampled_from(["", *sorted(ALL_VOICES)]),
    speed=st.sampled_from([0.5, 0.8, 0.95, 1, 1.0, 1.2, 2]),
)
LABELS = _group(visible=st.booleans(), text=_WORDS, seconds=st.sampled_from([0, 2, 3.5, 3600]))
TAGS = st.lists(_IDS, max_size=3)
MODES = st.sampled_from(["auto", "avatar1", "avatar2", "avatar4"])
CAPTION_IDS = st.sampled_from(["", *(row["captionId"] for row in CAPTIONS)])


def _requests(avatars: st.SearchStrategy[Any], speeches: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {"avatar": avatars, "speech": speeches},
        optional={
            "title": _WORDS,
            "provider": st.sampled_from(["auto", "local", "topview", "mingyan"]),
            "output": _group(
                resolution=st.sampled_from(["source", "512p", "720p", "1080p"]), fps=st.sampled_from([24, 25, 30])
            ),
            "labels": LABELS,
            "tags": TAGS,
            "topview": _group(mode=MODES, caption_id=CAPTION_IDS, save_avatar=st.booleans()),
            "mingyan": _group(
                model_version=st.sampled_from([1, 2]), side_face=st.booleans(), tilted_face=st.booleans()
            ),
        },
    )


REQUESTS = _requests(AVATARS, SPEECHES)
FOR_MINGYAN = _requests(CLIP, RECORDING)


def _is_refused_well(raw: object) -> bool:
    """Whether it is refused; a refusal says for each problem where, what, and how to go on."""
    refusal = None
    try:
        read_request(raw)
    except RequestRefused as refused:
        refusal = refused
    if refusal is None:
        return False
    assert refusal.problems
    for problem in refusal.problems:
        assert problem.field, refusal
        assert problem.wrong, refusal
        assert problem.fix, refusal
    # It goes into a state's message, which is JSON.
    assert json.dumps(str(refusal))
    assert str(refusal).encode()
    return True


@given(NONSENSE)
def test_nonsense_is_refused_in_words(raw: object) -> None:
    """Whatever JSON somebody sends as a request, the answer is a refusal with field and fix, never a crash."""
    assert _is_refused_well(raw)


@given(st.data())
def test_one_odd_value_in_a_good_request_is_refused_or_taken(data: st.DataObject) -> None:
    """A good request with anything in the place of one of its values crashes nothing either."""
    request = data.draw(REQUESTS)
    group = data.draw(st.sampled_from([name for name in request if isinstance(request[name], dict)] or ["avatar"]))
    target, names = data.draw(
        st.sampled_from([(request, sorted(request)), (request[group], sorted(request[group]) or ["new"])])
    )
    name = data.draw(st.sampled_from(names) | _SIGNS)
    target[name] = data.draw(NONSENSE)

    _is_refused_well(request)


_URL_PIECES = st.sampled_from(
    [
        "s3:",
        "https:",
        "http:",
        "//",
        "/",
        "[",
        "]",
        "@",
        ":",
        "?",
        "#",
        "%",
        "..",
        ".",
        "\\",
        "staging",
        "a.example",
        " ",
    ]
)


@given(st.lists(_URL_PIECES | _SIGNS, max_size=8).map("".join))
@example("https://[")
@example("s3://[/a")
def test_odd_addresses_are_refused_in_words_or_taken(reference: str) -> None:
    """Whatever stands where an address belongs, a refusal says how to write one."""
    _is_refused_well({"avatar": {"image": reference}, "speech": {"audio": reference}})


@pytest.mark.parametrize("depth", [10, 400])
def test_deep_nonsense_is_refused(depth: int) -> None:
    """Nesting does not exhaust the stack."""
    raw: Any = "x"
    for _ in range(depth):
        raw = {"avatar": raw}

    assert _is_refused_well(raw)


@given(REQUESTS)
def test_valid_requests_survive_a_round_trip(raw: dict[str, Any]) -> None:
    """What was read can be written and read again, as JSON too, without a change."""
    read = read_request(raw)

    assert read == read_request(json.loads(json.dumps(raw)))
    assert read == read_request(json.loads(read.model_dump_json()))
    assert read == read_request(read.model_dump())


_PARAMETERS = parameter_schema(render_video).model_dump_for_openapi()


@given(REQUESTS)
def test_form_takes_what_the_model_takes(raw: dict[str, Any]) -> None:
    """The schema by which Prefect judges parameters stands in no good request's way."""
    read_request(raw)

    assert [error.message for error in Draft202012Validator(_PARAMETERS).iter_errors({"request": raw})] == []


def test_form_refuses_something() -> None:
    """The schema is no empty one, which would take everything."""
    good = {"avatar": {"image": "s3://staging/a.png"}, "speech": {"text": "Hello."}}
    validator = Draft202012Validator(_PARAMETERS)

    assert validator.is_valid({"request": good})
    assert not validator.is_valid({"request": good | {"provider": "hollywood"}})
    assert not validator.is_valid({"request": {"avatar": good["avatar"]}})


# Vendors


def _topview(speed_field: str = "", *, allow_avatar4: bool = False) -> TopViewProvider:
    client = TopViewClient(base_url="https://topview.invalid", uid="a-user-id", api_key="a-key-of-topview")
    return TopViewProvider(client, account="default", prices={}, speed_field=speed_field, allow_avatar4=allow_avatar4)


def _mingyan() -> MingyanProvider:
    async def link(media: ProbedMedia) -> str:
        return f"https://media.example.com/{media.sha256}"

    client = MingyanClient(base_url="https://mingyan.invalid", api_key="a-key-of-mingyan")
    staging = Staging(address="https://media.example.com", link=link)
    return MingyanProvider(client, account="default", prices={}, staging=staging)


def _media(request: RenderRequest) -> dict[MediaRole, ProbedMedia]:
    """The media that a request names, as if they had been fetched."""
    found: dict[MediaRole, ProbedMedia] = {}
    files = {"portrait": ("image", "png"), "clip": ("video", "mp4"), "recording": ("audio", "wav")}
    for role, group in (("avatar", request.avatar), ("speech", request.speech)):
        if group.kind in files:
            kind, extension = files[group.kind]
            found[role] = ProbedMedia(  # type: ignore[index]
                role=role, reference="s3://staging/x", path=Path("x"), sha256=role[0] * 64, size=1, kind=kind,
                extension=extension, seconds=None if kind == "image" else 5.0,
            )  # fmt: skip
    return found


def _order(provider: Provider, request: RenderRequest) -> SubmitOrder:
    media = _media(request)
    payload = provider.payload(request, media)
    inputs: dict[MediaRole, str] = {role: f"https://media.example.com/{role}" for role in media}
    key = render_key(provider.name, provider.account, payload)
    return SubmitOrder(render_key=key, attempt=1, payload=payload, inputs=inputs)


@given(REQUESTS, st.sampled_from(["", "voiceSpeed"]), st.booleans())
def test_topview_takes_what_its_rules_let_through(raw: dict[str, Any], speed_field: str, allow_avatar4: bool) -> None:
    """No valid request crashes the rules; what passes them makes a body that our model and the sandbox both take."""
    provider = _topview(speed_field, allow_avatar4=allow_avatar4)
    request = read_request(raw)
    problems = provider.supports(request)
    assert all(problem.field and problem.wrong and problem.fix for problem in problems)
    order = _order(provider, request)
    assume(not problems)

    body = body_of(order)

    told = {name: value for name, value in body.items() if name in BODY_FIELDS}
    assert SubmitBody.model_validate(told).model_dump(by_alias=True, exclude_none=True) == told
    assert set(body) - BODY_FIELDS <= {speed_field}
    # The sandbox read the vendor's pages by itself.
    avatar = str(body.get("aiAvatarId", ""))
    read_order(json.loads(json.dumps(body)), {avatar}, {avatar})


@given(FOR_MINGYAN | REQUESTS)
@settings(max_examples=200)
def test_mingyan_takes_what_its_rules_let_through(raw: dict[str, Any]) -> None:
    """No valid request crashes the rules; what passes them makes a body that our model and the sandbox both take."""
    provider = _mingyan()
    request = read_request(raw)
    problems = provider.supports(request)
    assert all(problem.field and problem.wrong and problem.fix for problem in problems)
    assume(not problems)

    order = _body_of(_order(provider, request))

    assert CreateVideo.model_validate(order.model_dump()) == order
    body = json.loads(json.dumps(order.body()))
    assert check_order(body) == body
    assert all(type(value) in {str, int} for value in body.values())


@given(REQUESTS, _WORDS, TAGS, LABELS, st.sampled_from(["topview", "mingyan"]))
def test_payload_is_stable_under_what_people_call_it(
    raw: dict[str, Any], title: str, tags: list[str], labels: dict[str, Any], name: str
) -> None:
    """Titles, tags and labels change no payload and so no render key: renaming a video never pays for it again."""
    provider: Provider = _topview() if name == "topview" else _mingyan()
    request = read_request(raw)
    assume(not provider.supports(request))
    renamed = read_request({**raw, "title": title, "tags": tags, "labels": labels})

    assert provider.payload(request, _media(request)) == provider.payload(renamed, _media(renamed))
    assert _order(provider, request).render_key == _order(provider, renamed).render_key


@given(FOR_MINGYAN)
def test_what_decides_about_the_video_changes_the_payload(raw: dict[str, Any]) -> None:
    """The check above is no check of constants: another flag or other footage is another render."""
    request = read_request(raw)
    flipped = request.mingyan.model_copy(update={"side_face": not request.mingyan.side_face})
    other = request.model_copy(update={"mingyan": flipped})
    media = _media(request)
    footage = media | {"avatar": media["avatar"].model_copy(update={"sha256": "f" * 64})}
    provider = _mingyan()

    assert provider.payload(request, media) != provider.payload(other, media)
    assert provider.payload(request, media) != provider.payload(request, footage)
    assert _topview().payload(request, media) != _topview().payload(request, footage)
