"""The TopView provider against the sandbox: a server of its own that keeps the vendor's documented rules."""

import asyncio
import itertools
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from deployments.cli.catalog import OFFERED, Catalog, CatalogProvider, read_catalog
from tasks.errors import (
    JobUnknown,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    ResultExpired,
)
from tasks.http import FetchRefused
from tasks.models import RenderRequest
from tasks.providers.base import JobStatus, MediaRole, ProbedMedia, SubmitOrder
from tasks.providers.topview.client import TopViewClient
from tasks.providers.topview.contract import note
from tasks.providers.topview.envelope import CODES
from tasks.providers.topview.models import AiAvatar
from tasks.providers.topview.provider import TopViewProvider
from tests.media_files import write_clip, write_picture, write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures
from tests.servers.web import reply_json, serving

KEY = "sandbox-topview-key"
PORTRAIT = {"kind": "portrait", "image": "s3://staging/face.png"}
CLIP = {"kind": "clip", "video": "s3://staging/clip.mp4"}
STOCK = {"kind": "stock", "avatar_id": "3327"}
CUSTOM = {"kind": "custom", "custom_avatar_id": "p-9001"}
SCRIPT = {"kind": "script", "text": "Hello there.", "voice": "v-en-ada"}
RECORDING = {"kind": "recording", "audio": "s3://staging/speech.wav"}
AVATARS = {"portrait": PORTRAIT, "clip": CLIP, "stock": STOCK, "custom": CUSTOM}
WAIT_SECONDS = 30
_numbers = itertools.count()
T = TypeVar("T")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    return {
        "portrait": write_picture(folder / "face.png"),
        "clip": write_clip(folder / "clip.mp4"),
        "recording": write_sound(folder / "speech.wav"),
    }


@pytest.fixture(autouse=True)
def fresh_notes() -> None:
    note.cache_clear()


@pytest.fixture
def client(sandbox: SandboxServer) -> TopViewClient:
    sandbox.settings(render_seconds=0)
    return TopViewClient(base_url=sandbox.topview_url, uid=sandbox.topview_uid, api_key=sandbox.topview_key)


@pytest.fixture
def topview(client: TopViewClient) -> TopViewProvider:
    return TopViewProvider(client, account="default", prices={}, speed_field="voiceSpeed", allow_avatar4=True)


def request(avatar: dict[str, Any], speech: dict[str, Any], **options: Any) -> RenderRequest:
    return RenderRequest.model_validate({"avatar": avatar, "speech": speech, "topview": options})


def probed(role: MediaRole, path: Path) -> ProbedMedia:
    kind = "audio" if role == "speech" else "image" if path.suffix == ".png" else "video"
    size, digest = path.stat().st_size, role[0] * 64
    return ProbedMedia(
        role=role, reference="r", path=path, sha256=digest, size=size, kind=kind, extension=path.suffix[1:], seconds=1
    )


async def order_for(
    topview: TopViewProvider, asked: RenderRequest, files: dict[str, Path], **facts: Any
) -> SubmitOrder:
    """Check and upload like a run does."""
    media: dict[MediaRole, ProbedMedia] = {}
    if asked.avatar.kind in files:
        media["avatar"] = probed("avatar", files[asked.avatar.kind])
    if asked.speech.kind in files:
        media["speech"] = probed("speech", files[asked.speech.kind])
    assert await topview.check(asked, media) == []
    return SubmitOrder(
        **{
            "render_key": f"{next(_numbers):064d}",
            "attempt": 1,
            "payload": topview.payload(asked, media),
            "inputs": {role: await topview.upload(item) for role, item in media.items()},
            "sent_at": datetime.now(UTC),
        }
        | facts
    )


async def stock_order(topview: TopViewProvider, **facts: Any) -> SubmitOrder:
    return await order_for(topview, request(STOCK, SCRIPT), {}, **facts)


async def until(look: Callable[[], Awaitable[T | None]]) -> T:
    """Look until there is something."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := await look():
            return found
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nothing after {WAIT_SECONDS} s")


async def until_done(topview: TopViewProvider, job_id: str) -> JobStatus:
    async def look() -> JobStatus | None:
        status = await topview.query(job_id)
        return None if status.phase in {"queued", "running"} else status

    return await until(look)


async def read_all(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in stream])


def accepted(server: SandboxServer) -> list[dict[str, Any]]:
    return server.submissions("topview")


def said(error: BaseException) -> str:
    """All that a log, a traceback or a person could see of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))


# The whole way


async def test_a_video_is_made_from_a_clip_and_a_recording(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
) -> None:
    """Upload, submit, poll, read and account for it: one submission, one video, one charge of the same amount."""
    order = await order_for(topview, request(CLIP, RECORDING), files)

    job_id = await topview.submit(order)
    status = await until_done(topview, job_id)

    assert (status.phase, status.word, status.odd) == ("succeeded", "success", False)
    assert status.result is not None
    video = await read_all(topview.read_result(status.result))
    assert video[4:8] == b"ftyp"
    assert await read_all(topview.read_result(status.result, offset=100)) == video[100:]
    charges = await topview.charges(datetime.now(UTC) - timedelta(minutes=5))
    assert [(charge.job_id, charge.amount, charge.unit) for charge in charges] == [(job_id, status.cost, "credits")]
    assert [item["job_id"] for item in accepted(sandbox)] == [job_id]
    assert accepted(sandbox)[0]["body"] == {
        "avatarSourceFrom": "0",
        "videoFileId": order.inputs["avatar"],
        "modeType": "0",
        "audioSourceFrom": "0",
        "audioFileId": order.inputs["speech"],
    }


@pytest.mark.parametrize("speech", [SCRIPT, RECORDING], ids=["script", "recording"])
@pytest.mark.parametrize(
    ("avatar", "mode"),
    [
        *itertools.product(["clip", "stock", "custom"], ["auto", "avatar1", "avatar2"]),
        *itertools.product(["portrait"], ["auto", "avatar2", "avatar4"]),
    ],
)
async def test_every_combination_that_passes_our_rules_passes_the_vendors(
    topview: TopViewProvider, files: dict[str, Path], avatar: str, mode: str, speech: dict[str, Any]
) -> None:
    """Nothing that we let through is refused by a strict reading of the page."""
    order = await order_for(topview, request(AVATARS[avatar], speech, mode=mode), files)

    assert await topview.submit(order)


@pytest.mark.parametrize(
    "row",
    [
        (STOCK, SCRIPT | {"voice": ""}, {}, {}),
        (STOCK, SCRIPT, {"caption_id": "c-1"}, {"captionId": "c-1"}),
        (CLIP, SCRIPT, {"caption_id": "c-2", "save_avatar": True}, {"captionId": "c-2"}),
        (CLIP, RECORDING, {"save_avatar": True}, {"isSave2CustomAiAvatar": True}),
        (CUSTOM, SCRIPT | {"speed": 0.8}, {}, {"voiceSpeed": 0.8}),
        (PORTRAIT, SCRIPT | {"speed": 1.2}, {"save_avatar": True}, {"voiceSpeed": 1.2}),
    ],
)
async def test_every_extra_that_passes_our_rules_passes_the_vendors(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
    row: tuple[dict[str, Any], dict[str, Any], dict[str, Any], dict[str, Any]],
) -> None:
    """Captions, speed, keeping the avatar and the notice address are sent where the page takes them."""
    avatar, speech, options, sent = row
    asked = request(avatar, speech, **options)

    await topview.submit(await order_for(topview, asked, files, notice_url="https://studio.invalid/n/1"))

    body = accepted(sandbox)[0]["body"]
    assert body | sent | {"noticeUrl": "https://studio.invalid/n/1"} == body


# Answers to a submission


@pytest.mark.parametrize("code", [*CODES, "4999", "7", "9" * 50])
async def test_every_code_to_a_submission_gets_its_verdict(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    code: str,
) -> None:
    """Refused for good, not now, or nobody knows: by the table; a code that is not in it says nothing."""
    kinds = {"rejected": ProviderRejected, "busy": ProviderBusy, "unavailable": ProviderUnavailable}
    known = CODES.get(code)
    order = await stock_order(topview)
    sandbox.arm("topview", "submit", "business", code=code, message="said the vendor")

    with pytest.raises(ProviderError) as caught:
        await topview.submit(order)

    error = caught.value
    assert type(error) is (kinds[known.verdict] if known else ProviderUnavailable)
    assert (error.provider, error.status, error.code) == ("topview", 200, code[:20])
    assert "said the vendor" in error.message
    assert error.fix == (known.fix if known else "Run the request again later.")
    assert getattr(error, "sent", True) is True
    assert getattr(error, "retry_after", None) == (known.pause if known else None)
    assert accepted(sandbox) == []


async def test_an_answer_that_was_lost_leaves_the_question_open(
    sandbox: SandboxServer,
    topview: TopViewProvider,
) -> None:
    """TopView accepted and nobody heard it: the error says that it may have, and nothing is sent a second time."""
    order = await stock_order(topview)
    sandbox.arm("topview", "submit", "lost_answer")

    with pytest.raises(ProviderUnavailable) as caught:
        await topview.submit(order)

    assert caught.value.sent is True
    assert len(accepted(sandbox)) == 1
    assert sandbox.truth()["topview"]["calls"]["submit"] == 1


async def test_a_refused_connection_surely_sent_nothing(topview: TopViewProvider) -> None:
    """Where nobody listens, the submission may be made again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/topview"
        away = TopViewProvider(TopViewClient(base_url=address, uid="our-uid", api_key=KEY), account="a", prices={})

        with pytest.raises(ProviderUnavailable) as caught:
            await away.submit(await stock_order(topview))

    assert caught.value.sent is False


ODD_ANSWERS: list[tuple[str, Any]] = [
    ("a list", []),
    ("a word", "fine"),
    ("nothing", None),
    ("no code", {"message": "Success", "result": {"taskId": "t"}}),
    ("code true", {"code": True, "message": "Success", "result": {"taskId": "t"}}),
    ("code null", {"code": None, "message": "Success", "result": {"taskId": "t"}}),
    ("no result", {"code": "200", "message": "Success"}),
    ("a result that is a list", {"code": "200", "message": "Success", "result": ["t"]}),
    ("a result that is a word", {"code": "200", "message": "Success", "result": "t"}),
    ("no task", {"code": "200", "message": "Success", "result": {"status": "init"}}),
    ("an empty task", {"code": "200", "message": "Success", "result": {"taskId": ""}}),
    ("a task that is an object", {"code": "200", "message": "Success", "result": {"taskId": {"id": "t"}}}),
]


@pytest.mark.parametrize("body", [body for _, body in ODD_ANSWERS], ids=[name for name, _ in ODD_ANSWERS])
async def test_an_answer_that_names_no_task_leaves_the_question_open(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    body: Any,
) -> None:
    """What cannot be understood is never taken for a refusal."""
    order = await stock_order(topview)
    if isinstance(body, str):
        # The sandbox sends a word as plain text.
        body = f'"{body}"'
    sandbox.arm("topview", "submit", "status", status=200, body="null" if body is None else body)

    with pytest.raises(ProviderUnavailable) as caught:
        await topview.submit(order)

    assert (caught.value.sent, caught.value.status) == (True, 200)


@pytest.mark.parametrize(
    "row",
    [
        ("not_json", {}, ProviderUnavailable),
        ("reset", {}, ProviderUnavailable),
        ("truncated", {"bytes": 10}, ProviderUnavailable),
        ("status", {"status": 500}, ProviderUnavailable),
        ("status", {"status": 503, "retry_after": 7}, ProviderUnavailable),
        ("status", {"status": 429, "retry_after": 7}, ProviderBusy),
        ("status", {"status": 401}, ProviderRejected),
        ("status", {"status": 404}, ProviderRejected),
        ("redirect", {"location": "http://169.254.169.254/"}, ProviderRejected),
    ],
)
async def test_trouble_on_the_way_gets_its_verdict(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    row: tuple[str, dict[str, Any], type[ProviderError]],
) -> None:
    """Whatever happens below the envelope is told apart the same way, and the key follows no redirect."""
    fault, args, kind = row
    order = await stock_order(topview)
    sandbox.arm("topview", "submit", fault, **args)

    with pytest.raises(ProviderError) as caught:
        await topview.submit(order)

    assert type(caught.value) is kind
    assert getattr(caught.value, "sent", True) is True
    assert getattr(caught.value, "retry_after", None) == args.get("retry_after")


async def test_a_number_for_a_code_and_new_fields_are_read_and_told(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A changed service is told once, by names and never by values, and a paid task is not lost over it."""
    order = await stock_order(topview)
    result = {"taskId": 4711, "sessionToken": "very-secret"}
    body = {"code": 200, "message": "Success", "result": result, "traceId": "very-secret"}
    sandbox.arm("topview", "submit", "status", times=2, status=201, body=body)

    assert [await topview.submit(order), await topview.submit(order)] == ["4711", "4711"]

    told = sorted(record.message for record in caplog.records if record.name == "studio.contract")
    assert told == [
        f"contract difference provider=topview call=submit what={what}"
        for what in (
            "HTTP 201 instead of 200",
            "code is a number instead of a string",
            "field taskId is a number instead of a string",
            "unknown field sessionToken",
            "unknown field traceId in the envelope",
        )
    ]
    assert "very-secret" not in caplog.text


async def test_what_the_sandbox_says_is_what_the_page_says(
    topview: TopViewProvider, client: TopViewClient, files: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Every call of a whole render and of the catalogues agrees with the page, so a difference would be news."""
    await until_done(topview, await topview.submit(await order_for(topview, request(CLIP, RECORDING), files)))
    for what in OFFERED[CatalogProvider.TOPVIEW]:
        await read_catalog(client.catalogs, what, {}, 1000)
    await client.credit_balance()
    await topview.charges(datetime.now(UTC) - timedelta(days=1))

    assert [record.message for record in caplog.records if record.name == "studio.contract"] == []


# Questions about a job


@pytest.mark.parametrize("code", list(CODES))
async def test_every_code_to_a_question_gets_its_verdict(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    code: str,
) -> None:
    """A task that is not known is told from a refusal; passing trouble may be asked again."""
    kinds = {"rejected": ProviderRejected, "busy": ProviderBusy, "unavailable": ProviderUnavailable}
    sandbox.arm("topview", "query", "business", code=code)

    with pytest.raises(ProviderError) as caught:
        await topview.query("some-task")

    assert type(caught.value) is (JobUnknown if code == "4004" else kinds[CODES[code].verdict])
    assert (caught.value.code, caught.value.job_id) == (code, "some-task")


async def test_a_job_of_nobody_is_unknown(topview: TopViewProvider) -> None:
    """The real refusal of the sandbox, without any fault."""
    with pytest.raises(JobUnknown):
        await topview.query("no-such-task")


async def test_a_failed_job_says_why_and_that_it_was_free(
    sandbox: SandboxServer,
    topview: TopViewProvider,
) -> None:
    """People are told TopView's own reason."""
    sandbox.arm("topview", "submit", "fail", reason="no face in the picture")

    status = await until_done(topview, await topview.submit(await stock_order(topview)))

    assert (status.phase, status.word, status.charged) == ("failed", "fail", False)
    assert "no face in the picture" in status.reason


@pytest.mark.parametrize(
    "row",
    [
        ("pondering", "pondering", "unknown status word"),
        ("success", "success without a video", "success without outputVideoUrl"),
        ("", "without a status", "no status word"),
    ],
)
async def test_an_odd_status_counts_as_running_and_is_told(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    caplog: pytest.LogCaptureFixture,
    row: tuple[str, str, str],
) -> None:
    """A word that nobody documented never ends a paid job."""
    word, shown, told = row
    job_id = await topview.submit(await stock_order(topview))
    await until_done(topview, job_id)
    sandbox.arm("topview", "query", "unknown_word", word=word)

    status = await topview.query(job_id)

    assert (status.phase, status.word, status.odd) == ("running", shown, True)
    assert told in caplog.text
    assert (await topview.query(job_id)).phase == "succeeded"


async def test_only_the_asked_task_and_only_what_is_needed_are_read(
    sandbox: SandboxServer, topview: TopViewProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """A field in an odd form ends no poll; an answer about somebody else's task is none."""
    result = {"taskId": "t-1", "status": "running", "errorMsg": {"text": "odd"}, "outputVideoUrl": ["odd"]}
    for task_id in ("t-1", "t-2"):
        body = {"code": "200", "message": "Success", "result": result | {"taskId": task_id}}
        sandbox.arm("topview", "query", "status", status=200, body=body)

    assert (await topview.query("t-1")).phase == "running"
    assert "unreadable errorMsg, outputVideoUrl" in caplog.text
    with pytest.raises(ProviderUnavailable, match="another task"):
        await topview.query("t-1")


async def test_a_dead_link_is_told_from_one_that_leads_astray(
    sandbox: SandboxServer,
    topview: TopViewProvider,
) -> None:
    """A stale link asks for a fresh one; a redirect into the network behind us is not followed."""
    status = await until_done(topview, await topview.submit(await stock_order(topview)))
    assert status.result is not None

    sandbox.arm("topview", "result", "expired")
    with pytest.raises(ResultExpired):
        await read_all(topview.read_result(status.result))
    sandbox.arm("topview", "result", "redirect", location="https://169.254.169.254/latest")
    with pytest.raises(FetchRefused):
        await read_all(topview.read_result(status.result))
    assert await read_all(topview.read_result(status.result))


# Orders without an answer


async def lost(server: SandboxServer, topview: TopViewProvider, order: SubmitOrder) -> str:
    """Submit and lose the answer; returns the job id that only the sandbox knows."""
    server.arm("topview", "submit", "lost_answer")
    with pytest.raises(ProviderUnavailable):
        await topview.submit(order)
    return accepted(server)[-1]["job_id"]


@pytest.mark.parametrize("avatar", ["clip", "portrait", "stock"])
async def test_an_accepted_order_is_found_by_its_uploads_and_no_other_is(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
    avatar: str,
) -> None:
    """Among equal orders of equal content, each finds its own task, and one that never left finds none."""
    asked = request(AVATARS[avatar], RECORDING)
    ours, twin, unsent = [await order_for(topview, asked, files) for _ in range(3)]
    ids = [await lost(sandbox, topview, order) for order in (ours, twin)]
    for job_id in ids:
        await until_done(topview, job_id)

    sightings = [await topview.look_up(order, []) for order in (ours, twin, unsent)]

    assert [(found.seen, found.job_id) for found in sightings] == [
        ("accepted", ids[0]),
        ("accepted", ids[1]),
        ("unknown", None),
    ]


async def test_hints_are_believed_only_when_the_task_is_ours(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
) -> None:
    """Notices are not signed: a task that somebody names must carry our uploads; it need not be charged yet."""
    sandbox.settings(render_seconds=600)
    ours, foreign = [await order_for(topview, request(CLIP, SCRIPT), files) for _ in range(2)]
    our_id, foreign_id = [await lost(sandbox, topview, order) for order in (ours, foreign)]

    assert (await topview.look_up(ours, [])).seen == "unknown"
    assert (await topview.look_up(ours, ["no-such-task", foreign_id])).seen == "unknown"
    assert (await topview.look_up(ours, ["no-such-task", foreign_id, our_id])).job_id == our_id


async def test_an_order_without_uploads_needs_a_hint_and_money_taken_since(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
) -> None:
    """Nothing in a task of stock and script names its order, so nothing is guessed; older tasks are never ours."""
    order = await stock_order(topview)
    job_id = await lost(sandbox, topview, order)
    with_files = await topview.submit(await order_for(topview, request(CLIP, SCRIPT), files))
    for done in (job_id, with_files):
        await until_done(topview, done)
    later = order.model_copy(update={"sent_at": datetime.now(UTC) + timedelta(hours=1)})
    undated = order.model_copy(update={"sent_at": None})

    assert (await topview.look_up(order, [])).seen == "unknown"
    assert (await topview.look_up(order, [with_files])).seen == "unknown"
    assert (await topview.look_up(later, [job_id])).seen == "unknown"
    assert (await topview.look_up(undated, [job_id])).seen == "unknown"
    assert (await topview.look_up(order, [with_files, job_id])).job_id == job_id


async def test_a_look_up_bears_passing_trouble_and_asks_a_bounded_number_of_times(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many foreign tasks cost no more queries than allowed; a server in trouble is asked again."""
    orders = [await order_for(topview, request(STOCK, RECORDING), files) for _ in range(4)]
    for job_id in [await topview.submit(order) for order in orders[1:]]:
        await until_done(topview, job_id)
    unsent = orders[0]
    before = sandbox.truth()["topview"]["calls"]["query"]
    monkeypatch.setattr("tasks.providers.topview.look_up.MOST_LOOK_UP_QUERIES", 2)

    assert (await topview.look_up(unsent, [])).seen == "unknown"
    assert sandbox.truth()["topview"]["calls"]["query"] == before + 2

    monkeypatch.undo()
    sandbox.arm("topview", "credit_logs", "status", status=503)
    sandbox.arm("topview", "query", "business", code="5004")
    assert (await topview.look_up(orders[1], [])).seen == "accepted"


async def test_a_clock_that_differs_does_not_hide_an_order(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
) -> None:
    """Ours may be a quarter of an hour ahead of theirs."""
    ahead = datetime.now(UTC) + timedelta(minutes=15)
    order = await order_for(topview, request(STOCK, RECORDING), files, sent_at=ahead)
    job_id = await lost(sandbox, topview, order)
    await until_done(topview, job_id)

    assert (await topview.look_up(order, [])).job_id == job_id


# Uploads


async def test_a_stale_upload_address_is_healed_by_a_fresh_one(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
) -> None:
    """The storage refuses an address whose time is over; the whole way is gone again."""
    sandbox.settings(upload_url_seconds=-1)
    upload = asyncio.create_task(topview.upload(probed("speech", files["recording"])))

    async def puts() -> int:
        return sandbox.truth()["topview"]["calls"].get("upload_put", 0)

    await until(puts)
    sandbox.settings(upload_url_seconds=600)

    file_id = await upload

    assert await topview._client.is_stored(file_id)


@pytest.mark.parametrize(
    "row",
    [
        ("upload_credential", "business", {"code": "5000"}),
        ("upload_credential", "lost_answer", {}),
        ("upload_put", "status", {"status": 503}),
        ("upload_put", "status", {"status": 403}),
        ("upload_put", "reset", {}),
        ("upload_check", "status", {"status": 500}),
        ("upload_check", "business", {"code": "4004"}),
        ("upload_check", "status", {"status": 200, "body": {"code": "200", "message": "m", "result": False}}),
        ("upload_check", "not_json", {}),
    ],
)
async def test_passing_trouble_of_an_upload_is_borne(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    files: dict[str, Path],
    row: tuple[str, str, dict[str, Any]],
) -> None:
    """Uploads cost nothing, so every step may be made again."""
    call, fault, args = row
    sandbox.arm("topview", call, fault, **args)

    assert await topview._client.is_stored(await topview.upload(probed("avatar", files["clip"])))


async def test_the_account_is_named_to_the_vendor_and_never_to_its_storage(files: dict[str, Path]) -> None:
    """Headers and parameters are those of the page; the address of an upload is another's and learns no key."""

    async def answer(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        results = {
            "/api/v1/upload/credential": {"fileId": "f", "uploadUrl": f"{web.url}/bucket/f?sig=1", "fileName": "f.png"},
            "/api/v1/upload/check": True,
            "/api/v1/video_avatar/task/query": {"taskId": "t", "status": "init"},
        }
        reply_json(writer, {"code": "200", "message": "Success", "result": results.get(path.partition("?")[0])})

    async with serving(answer) as web:
        client = TopViewClient(base_url=f"{web.url}/api/", uid="our-user-id", api_key=KEY)
        plain = TopViewProvider(client, account="default", prices={})
        await plain.upload(probed("avatar", files["portrait"]))
        status = await plain.query("t")

    calls = [asked for asked in web.requests if asked.path.startswith("/api/")]
    put = next(asked for asked in web.requests if asked.path.startswith("/bucket/"))
    assert (status.phase, status.word) == ("queued", "init")
    assert [asked.path for asked in calls] == [
        "/api/v1/upload/credential?format=png",
        "/api/v1/upload/check?fileId=f",
        "/api/v1/video_avatar/task/query?taskId=t&needCloudFrontUrl=true",
    ]
    assert {(asked.headers["topview-uid"], asked.headers["authorization"]) for asked in calls} == {
        ("our-user-id", f"Bearer {KEY}")
    }
    assert (put.method, put.body) == ("PUT", files["portrait"].read_bytes())
    assert not {"topview-uid", "authorization"} & put.headers.keys()


async def test_equal_files_get_ids_of_their_own(topview: TopViewProvider, files: dict[str, Path]) -> None:
    """An upload is never shared by two orders: look-ups tell tasks apart by it."""
    picture = probed("avatar", files["portrait"])

    assert await topview.upload(picture) != await topview.upload(picture)


# Catalogues and the account


async def test_catalogues_are_read_through_all_their_pages(
    sandbox: SandboxServer,
    client: TopViewClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every row comes once, whatever the size of a page, and filters reach the vendor."""
    monkeypatch.setattr("tasks.providers.topview.paging.PAGE_SIZE", 4)

    avatars = [row async for row in client.catalogs.avatars()]
    voices = [row async for row in client.catalogs.voices()]

    assert len({row.aiavatar_id for row in avatars}) == len(avatars) == 12
    assert len({row.voice_id for row in voices}) == len(voices) == 15
    assert sandbox.truth()["topview"]["calls"] | {"avatars": 3, "voices": 4} == sandbox.truth()["topview"]["calls"]
    assert {row.language async for row in client.catalogs.voices(language="zh-CN")} == {"zh-CN"}
    assert {row.gender async for row in client.catalogs.avatars(gender="female")} == {"female"}
    assert [row.aiavatar_id async for row in client.catalogs.avatars(custom=True)] == ["p-9001", "p-9002"]
    assert {row.ethnicity_name async for row in client.catalogs.ethnicities()} >= {"African", "European"}
    assert [row.caption_id async for row in client.catalogs.captions()] == ["c-1", "c-2", "c-3", "c-4"]


async def test_a_catalogue_survives_trouble_and_never_runs_in_circles(
    sandbox: SandboxServer,
    client: TopViewClient,
) -> None:
    """A page that comes again and again ends the list; a page that fails is asked for again."""
    row = {"ethnicityId": "1", "ethnicityName": "One"}
    body = {"code": "200", "message": "Success", "result": [row]}
    sandbox.arm("topview", "ethnicities", "status", status=200, times=2, body=body)
    assert len([row async for row in client.catalogs.ethnicities()]) == 1

    sandbox.arm("topview", "ethnicities", "status", status=503)
    assert len([row async for row in client.catalogs.ethnicities()]) == 6


async def test_the_command_line_shows_as_many_rows_as_were_asked_for(client: TopViewClient) -> None:
    """It says whether there are more."""
    some, is_all = await read_catalog(client.catalogs, Catalog.VOICES, {"gender": "male"}, 2)
    rest, is_rest_all = await read_catalog(client.catalogs, Catalog.VOICES, {"gender": "male"}, 100)

    assert (len(some), is_all, is_rest_all) == (2, False, True)
    assert rest[:2] == some
    assert some[0]["voice_id"] == "v-en-ben"


async def test_a_private_avatar_is_made_and_can_speak(
    topview: TopViewProvider, client: TopViewClient, files: dict[str, Path]
) -> None:
    """The id that comes out goes into a custom avatar's request."""
    task = await client.submit_avatar(await topview.upload(probed("avatar", files["clip"])))

    async def made() -> AiAvatar | None:
        return (await client.query_avatar(task.task_id or "")).ai_avatar

    avatar = {"kind": "custom", "custom_avatar_id": (await until(made)).aiavatar_id}
    assert await topview.submit(await order_for(topview, request(avatar, SCRIPT), {}))
    with pytest.raises(JobUnknown):
        await client.query_avatar("no-such-task")


async def test_a_notice_address_is_looked_at_by_the_vendor(client: TopViewClient) -> None:
    """What it does not like is refused in its words."""
    await client.check_notice_url("https://studio.invalid/notices/1")

    with pytest.raises(ProviderRejected, match="notice_check"):
        await client.check_notice_url("ftp://studio.invalid")


async def test_the_credit_log_comes_without_the_key(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    client: TopViewClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The vendor writes the key into balance and log in clear; nothing of it stays with us."""
    caplog.set_level(logging.DEBUG)
    await until_done(topview, await topview.submit(await stock_order(topview)))

    rows = [row async for row in client.credit_log(datetime.now(UTC) - timedelta(hours=1))]
    balance = await client.credit_balance()

    assert len(rows) == 1
    assert balance.remain_credit > 0
    seen = f"{rows!r} {rows[0].model_dump()} {balance!r} {balance.model_dump()} {caplog.text}"
    assert KEY not in seen
    assert sandbox.topview_uid not in seen
    assert await topview.charges(datetime.now(UTC) + timedelta(hours=1)) == []


async def test_a_charge_that_moved_to_the_next_page_counts_once(
    sandbox: SandboxServer, topview: TopViewProvider
) -> None:
    """New charges push the log on while it is read."""
    old = {"date": "2099-01-01T00:00:00Z", "costCredit": 1, "taskId": "t-1", "taskType": "video_avatar"}
    new = old | {"taskId": "t-2", "date": "2099-01-02T00:00:00Z"}
    for rows in ([new, old], [old]):
        body = {"code": "200", "message": "Success", "result": {"total": 3, "data": rows}}
        sandbox.arm("topview", "credit_logs", "status", status=200, body=body)

    charges = await topview.charges(datetime.now(UTC))

    assert [charge.job_id for charge in charges] == ["t-1", "t-2"]


async def test_charges_without_a_readable_date_are_kept(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Money is not dropped for want of a date; a row that names no task is told."""
    since = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {"date": "moon day", "costCredit": "1.50", "taskId": "t-1", "taskType": "video_avatar"},
        {"date": "2099-01-01T00:00:00Z", "costCredit": 2, "taskType": "video_avatar"},
    ]
    body = {"code": "200", "message": "Success", "result": {"total": 2, "data": rows}}
    sandbox.arm("topview", "credit_logs", "status", status=200, body=body)

    charges = await topview.charges(since)

    assert [(charge.job_id, str(charge.amount), charge.at) for charge in charges] == [("t-1", "1.50", since)]
    assert "a date in an unknown form" in caplog.text
    assert "a row without task or amount" in caplog.text


# Secrets


async def test_a_wrong_key_is_refused_with_the_way_out(sandbox: SandboxServer) -> None:
    """The vendor says 401, and the person is sent to the credentials block."""
    stranger = TopViewClient(base_url=sandbox.topview_url, uid=sandbox.topview_uid, api_key="planted-wrong-key")

    with pytest.raises(ProviderRejected, match="credentials block") as caught:
        await stranger.credit_balance()

    assert "planted-wrong-key" not in said(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        ("status", {"status": 401, "body": f"who is {KEY} of sandbox-uid?"}),
        ("status", {"status": 400, "body": {"authorization": f"Bearer {KEY}"}}),
        ("status", {"status": 200, "body": f"<html>{KEY}</html>"}),
        ("status", {"status": 200, "body": {"code": KEY, "message": KEY}}),
        ("status", {"status": 200, "body": {"code": "200", "message": "m", "result": {KEY: KEY, "taskId": [KEY]}}}),
        ("business", {"code": "4006", "message": f"key {KEY} of sandbox-uid"}),
        ("business", {"code": "5000", "message": f"key {KEY}"}),
        ("business", {"code": "5003", "message": f"key {KEY}"}),
        ("lost_answer", {}),
        ("reset", {}),
        ("redirect", {"location": f"http://169.254.169.254/{KEY}"}),
    ],
)
async def test_no_error_shows_a_secret_even_when_the_server_does(
    sandbox: SandboxServer,
    topview: TopViewProvider,
    caplog: pytest.LogCaptureFixture,
    row: tuple[str, dict[str, Any]],
) -> None:
    """Whatever a server throws back at us, key and user id are in no text, traceback or log line."""
    caplog.set_level(logging.DEBUG, logger="studio")
    fault, args = row
    order = await stock_order(topview)
    sandbox.arm("topview", "submit", fault, **args)

    with pytest.raises(ProviderError) as caught:
        await topview.submit(order)

    seen = said(caught.value) + caplog.text
    assert KEY not in seen
    assert "sandbox-uid" not in seen
