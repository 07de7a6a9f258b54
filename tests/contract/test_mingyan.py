"""mingyan's provider against the sandbox's mingyan and against scripted answers, over real sockets."""

import asyncio
import contextlib
import hashlib
import itertools
import logging
import socket
import time
import traceback
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.download import download_result
from tasks.errors import (
    DownloadBroken,
    JobUnknown,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    ResultExpired,
)
from tasks.http import FetchRefused, may_repeat_poll, may_repeat_submit
from tasks.http import api as api_module
from tasks.models import RenderRequest
from tasks.providers import contract
from tasks.providers.base import JobStatus, MediaRole, ProbedMedia, ResultFile, SubmitOrder
from tasks.providers.mingyan.client import MingyanClient
from tasks.providers.mingyan.provider import MingyanProvider, Staging
from tests.media_files import write_clip, write_sound
from tests.servers.sandbox import SandboxServer, clean_sandbox, one_sandbox  # noqa: F401 - fixtures found by name
from tests.servers.web import Answer, WebServer, reply, reply_json, serving

KEY = "sandbox-mingyan-key"
PLANTED = "planted-key-4711"
WAIT_SECONDS = 30
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _fresh_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sees the differences that it makes."""
    monkeypatch.setattr(contract, "_noted", set())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A clip and a recording, by their paths on the staging server."""
    folder = tmp_path_factory.mktemp("inputs")
    return {
        "/avatar.mp4": write_clip(folder / "clip.mp4", 0.6, sound=False),
        "/speech.wav": write_sound(folder / "speech.wav", 0.6),
    }


@contextlib.asynccontextmanager
async def staging(inputs: dict[str, Path]) -> AsyncIterator[WebServer]:
    """The place where the vendor fetches from."""

    async def answer(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path in inputs:
            reply(writer, inputs[path].read_bytes())
        else:
            reply(writer, status="403 Forbidden")

    async with serving(answer) as web:
        yield web


def provider_at(base_url: str, address: str = NOWHERE, key: str = KEY) -> MingyanProvider:
    async def link(media: ProbedMedia) -> str:
        return f"{address}/{media.role}.{media.extension}"

    client = MingyanClient(base_url=base_url, api_key=key)
    return MingyanProvider(client, account="sandbox", prices={}, staging=Staging(address=address, link=link))


def media_of(inputs: dict[str, Path]) -> dict[MediaRole, ProbedMedia]:
    def probed(role: MediaRole, kind: Any, path: Path) -> ProbedMedia:
        return ProbedMedia(
            role=role,
            reference="s3://staging/x",
            path=path,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            size=path.stat().st_size,
            kind=kind,
            extension=path.suffix[1:],
        )

    return {
        "avatar": probed("avatar", "video", inputs["/avatar.mp4"]),
        "speech": probed("speech", "audio", inputs["/speech.wav"]),
    }


def request_of(**options: Any) -> RenderRequest:
    return RenderRequest.model_validate(
        {"avatar": {"video": "s3://staging/a.mp4"}, "speech": {"audio": "s3://staging/a.wav"}, "mingyan": options}
    )


async def order_at(provider: MingyanProvider, inputs: dict[str, Path], **options: Any) -> SubmitOrder:
    """An order as the studio's steps make it: checked, planned and uploaded."""
    media, request = media_of(inputs), request_of(**options)
    assert await provider.check(request, media) == []
    references = {role: await provider.upload(item) for role, item in media.items()}
    return SubmitOrder(render_key="f" * 64, attempt=1, payload=provider.payload(request, media), inputs=references)


async def ended(provider: MingyanProvider, job_id: str) -> JobStatus:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        status = await provider.query(job_id)
        if status.phase in {"succeeded", "failed"}:
            return status
        await asyncio.sleep(0.1)
    raise AssertionError(f"{job_id} has not ended after {WAIT_SECONDS} s")


async def refusal(provider: MingyanProvider, order: SubmitOrder) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.submit(order)
    return caught.value


@pytest.fixture
async def quick(sandbox: SandboxServer, inputs: dict[str, Path]) -> tuple[MingyanProvider, SubmitOrder]:
    """A provider and an order whose inputs nobody can fetch; enough where only the submission matters."""
    provider = provider_at(sandbox.mingyan_url)
    return provider, await order_at(provider, inputs)


@contextlib.asynccontextmanager
async def finished(
    sandbox: SandboxServer,
    inputs: dict[str, Path],
) -> AsyncIterator[tuple[MingyanProvider, str, ResultFile]]:
    """A provider, a job that has succeeded, and its result."""
    sandbox.settings(render_seconds=0)
    async with staging(inputs) as web:
        provider = provider_at(sandbox.mingyan_url, web.url)
        job_id = await provider.submit(await order_at(provider, inputs))
        status = await ended(provider, job_id)
        assert status.result is not None, status
        yield provider, job_id, status.result


async def bring(provider: MingyanProvider, result: ResultFile, folder: Path) -> Path:
    """Download as the archive step does."""

    def source(offset: int) -> AsyncIterator[bytes]:
        return provider.read_result(result, offset)

    found = await download_result(
        source, folder / "video.mp4", what="the result", max_bytes=10**8, deadline=30, expect_md5=result.md5
    )
    return found.path


async def test_a_render_from_order_to_file(
    sandbox: SandboxServer,
    inputs: dict[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The vendor fetches both inputs by our links, and its video arrives with the MD5 that it announced."""
    async with finished(sandbox, inputs) as (provider, job_id, result):
        path = await bring(provider, result, tmp_path)

    (accepted,) = sandbox.submissions("mingyan")
    assert accepted["job_id"] == job_id
    assert {name: accepted["files"][name]["sha256"] for name in ("audioUrl", "videoUrl")} == {
        "audioUrl": media_of(inputs)["speech"].sha256,
        "videoUrl": media_of(inputs)["avatar"].sha256,
    }
    assert result.md5 == hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324 - as announced
    assert result.notes == []
    assert [record for record in caplog.records if record.name == "studio.contract"] == []


async def test_every_valid_body_is_accepted(
    quick: tuple[MingyanProvider, SubmitOrder], sandbox: SandboxServer, inputs: dict[str, Path]
) -> None:
    """All combinations of version and flags pass the strict vendor, and arrive as they were meant."""
    provider, _ = quick
    expected = []
    for version, side, tilted in itertools.product([1, 2], [False, True], [False, True]):
        await provider.submit(
            await order_at(provider, inputs, model_version=version, side_face=side, tilted_face=tilted)
        )
        links = {"audioUrl": f"{NOWHERE}/speech.wav", "videoUrl": f"{NOWHERE}/avatar.mp4"}
        flags = {name: 1 for name, is_set in (("sideFace", side), ("tiltedFace", tilted)) if is_set}
        expected.append({"model": "kyy_digitalHuman", "modelVersion": version} | links | flags)

    assert [accepted["body"] for accepted in sandbox.submissions("mingyan")] == expected


@pytest.mark.parametrize(
    "path", ["/mingyan", "/mingyan/kyyReactApiServer/", "/mingyan/kyyReactApiServer/kyyReactApiServer"]
)
async def test_all_spellings_of_the_address_work(sandbox: SandboxServer, inputs: dict[str, Path], path: str) -> None:
    """The vendor knows the prefix once and answers 404 to a doubled one; the client sends it once."""
    provider = provider_at(sandbox.url + path)

    assert await provider.submit(await order_at(provider, inputs))


@dataclass(frozen=True)
class SubmitFault:
    """A fault of the submission, the error that it becomes, and how many jobs the vendor then has."""

    fault: str
    args: dict[str, Any]
    kind: type[ProviderError]
    sent: bool | None
    jobs: int


SUBMIT_FAULTS = [
    SubmitFault("lost_answer", {}, ProviderUnavailable, True, 1),
    SubmitFault("reset", {}, ProviderUnavailable, True, 0),
    SubmitFault("not_json", {}, ProviderUnavailable, True, 1),
    SubmitFault("slow", {"seconds": 8}, ProviderUnavailable, True, 1),
    SubmitFault("hold_after", {}, ProviderUnavailable, True, 1),
    SubmitFault("status", {"status": 429}, ProviderBusy, None, 0),
    SubmitFault("status", {"status": 429, "retry_after": 7}, ProviderBusy, None, 0),
    SubmitFault("status", {"status": 500}, ProviderUnavailable, True, 0),
    SubmitFault("status", {"status": 502}, ProviderUnavailable, True, 0),
    SubmitFault("status", {"status": 503, "retry_after": 3}, ProviderUnavailable, True, 0),
    SubmitFault("status", {"status": 400, "body": {"message": "bad url"}}, ProviderRejected, None, 0),
    SubmitFault("status", {"status": 422}, ProviderRejected, None, 0),
    SubmitFault("status", {"status": 403}, ProviderRejected, None, 0),
    SubmitFault("status", {"status": 402}, ProviderRejected, None, 0),
    SubmitFault("business", {"code": 1001, "message": "url not reachable"}, ProviderUnavailable, True, 0),
    SubmitFault("business", {"code": 403, "message": "not enabled"}, ProviderRejected, None, 0),
    SubmitFault("redirect", {"location": "https://elsewhere.example/"}, ProviderRejected, None, 0),
]


@pytest.mark.parametrize("row", SUBMIT_FAULTS, ids=[f"{row.fault}-{row.args}" for row in SUBMIT_FAULTS])
async def test_a_submission_is_never_told_wrong(
    quick: tuple[MingyanProvider, SubmitOrder],
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    row: SubmitFault,
) -> None:
    """Whenever the vendor may have a job the error says so; it is one try each, and 'may be repeated' means none."""
    monkeypatch.setitem(api_module.DEADLINES, "submit", 1.5)
    sandbox.arm("mingyan", "submit", row.fault, **row.args)

    error = await refusal(*quick)
    truth = sandbox.truth()["mingyan"]

    assert type(error) is row.kind
    assert getattr(error, "sent", None) is row.sent
    assert (len(truth["submissions"]), truth["calls"]["submit"]) == (row.jobs, 1)
    assert not (may_repeat_submit(error) and row.jobs)
    assert getattr(error, "retry_after", None) == row.args.get("retry_after")
    assert ("Top up" in error.fix) is (row.args.get("status") == 402)


async def test_connect_refused_may_be_repeated(inputs: dict[str, Path]) -> None:
    """Where nobody listens nothing was accepted."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        provider = provider_at(f"http://127.0.0.1:{reserved.getsockname()[1]}")
        error = await refusal(provider, await order_at(provider, inputs))

    assert isinstance(error, ProviderUnavailable)
    assert not error.sent


async def test_a_wrong_key_is_told(quick: tuple[MingyanProvider, SubmitOrder], sandbox: SandboxServer) -> None:
    """The message leads to the key without showing it."""
    error = await refusal(provider_at(sandbox.mingyan_url, key=PLANTED), quick[1])

    assert type(error) is ProviderRejected
    assert error.status == 401
    assert "Check the key" in error.fix
    assert PLANTED not in f"{error!r}{error}"


@pytest.mark.parametrize("message", ["insufficient balance", "账户余额不足", "Insufficient credits, please recharge"])
async def test_an_empty_account_asks_for_money(
    quick: tuple[MingyanProvider, SubmitOrder],
    sandbox: SandboxServer,
    message: str,
) -> None:
    """A refusal for lack of funds names the way out, in whichever language it comes."""
    sandbox.arm("mingyan", "submit", "business", code=7, message=message)

    error = await refusal(*quick)

    assert type(error) is ProviderRejected
    assert message in error.message
    assert "Top up" in error.fix


async def test_queries_tell_trouble_from_the_end(
    quick: tuple[MingyanProvider, SubmitOrder],
    sandbox: SandboxServer,
) -> None:
    """What passes may be asked again and then works; what is final is not asked again."""
    provider, order = quick
    sandbox.arm("mingyan", "submit", "stuck")
    job_id = await provider.submit(order)
    for fault, args in [
        ("status", {"status": 429, "retry_after": 2}),
        ("status", {"status": 503}),
        ("reset", {}),
        ("lost_answer", {}),
        ("not_json", {}),
        ("status", {"status": 200, "body": {"message": "please wait"}}),
    ]:
        sandbox.arm("mingyan", "query", fault, **args)
        with pytest.raises(ProviderError) as caught:
            await provider.query(job_id)
        assert may_repeat_poll(caught.value), fault
        assert caught.value.job_id == job_id
        assert (await provider.query(job_id)).phase in {"queued", "running"}

    sandbox.arm("mingyan", "query", "business", code=403, message="no")
    with pytest.raises(ProviderRejected, match="code 403: no") as caught:
        await provider.query(job_id)
    assert not may_repeat_poll(caught.value)


async def test_unknown_jobs_are_told_from_wrong_addresses(
    quick: tuple[MingyanProvider, SubmitOrder],
    sandbox: SandboxServer,
) -> None:
    """Only a job that the vendor denies is unknown; a wrong address must not write off a paid job."""
    provider, _ = quick
    for job_id in ("dh-nothing", "a b?c#d", "任务"):
        with pytest.raises(JobUnknown) as caught:
            await provider.query(job_id)
        assert caught.value.job_id == job_id

    sandbox.arm("mingyan", "query", "status", status=404, body={"message": "No handler found for GET /v1/result/x"})
    with pytest.raises(ProviderRejected) as caught_address:
        await provider.query("dh-nothing")
    assert not isinstance(caught_address.value, JobUnknown)
    assert "base URL" in caught_address.value.fix


async def test_odd_words_keep_running(
    quick: tuple[MingyanProvider, SubmitOrder],
    sandbox: SandboxServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A word that the pages do not have never ends a job; it is told once."""
    provider, order = quick
    sandbox.arm("mingyan", "submit", "stuck")
    job_id = await provider.submit(order)
    sandbox.arm("mingyan", "query", "unknown_word", times=2, word="Pondering")

    seen = [await provider.query(job_id) for _ in range(2)]

    assert seen == [JobStatus(phase="running", word="pondering", odd=True)] * 2
    told = [record.getMessage() for record in caplog.records if record.name == "studio.contract"]
    assert told == ["contract difference provider=mingyan call=query what=unknown status 'pondering'"]


async def test_inputs_that_cannot_be_fetched_fail_the_job(quick: tuple[MingyanProvider, SubmitOrder]) -> None:
    """The vendor's reason comes through; whether it cost money nobody documents."""
    provider, order = quick

    status = await ended(provider, await provider.submit(order))

    assert status.phase == "failed"
    assert "not reachable" in status.reason
    assert status.charged is None


async def test_failed_renders_say_why(quick: tuple[MingyanProvider, SubmitOrder], sandbox: SandboxServer) -> None:
    """A render that the vendor gives up ends with its words."""
    provider, order = quick
    sandbox.arm("mingyan", "submit", "fail", reason="no face found")

    status = await ended(provider, await provider.submit(order))

    assert (status.phase, status.reason, status.odd) == ("failed", "no face found", False)


async def test_results_are_checked_and_resumed(sandbox: SandboxServer, inputs: dict[str, Path], tmp_path: Path) -> None:
    """A video that is damaged on its way is noticed or mended, and a fresh link replaces a dead one."""
    async with finished(sandbox, inputs) as (provider, job_id, result):
        good = (await bring(provider, result, tmp_path)).read_bytes()

        for fault in ("short", "html", "empty"):
            sandbox.arm("mingyan", "result", fault)
            with pytest.raises(DownloadBroken, match="MD5"):
                await bring(provider, result, tmp_path)

        sandbox.arm("mingyan", "query", "wrong_md5")
        wrong = (await provider.query(job_id)).result
        assert wrong is not None
        with pytest.raises(DownloadBroken, match="MD5"):
            await bring(provider, wrong, tmp_path)

        sandbox.arm("mingyan", "result", "truncated", times=2)
        assert (await bring(provider, result, tmp_path)).read_bytes() == good

        sandbox.arm("mingyan", "result", "expired")
        with pytest.raises(ResultExpired):
            await bring(provider, result, tmp_path)
        fresh = (await provider.query(job_id)).result
        assert fresh is not None
        assert (await bring(provider, fresh, tmp_path)).read_bytes() == good

        for target in ("http://169.254.169.254/latest", "http://127.0.0.1:9/", "file:///etc/passwd"):
            sandbox.arm("mingyan", "result", "redirect", location=target)
            with pytest.raises((FetchRefused, DownloadBroken)):
                await bring(provider, result, tmp_path)
    assert len(sandbox.submissions("mingyan")) == 1


def saying(body: object, status: str = "200 OK") -> Answer:
    async def answer(_path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        reply_json(writer, body, status)

    return answer


# Each row: answer to a submission that is no plain acceptance, what it becomes, and words of it.
ANSWERS: list[tuple[object, type[ProviderError] | str, str]] = [
    # Failed at once: the job has an id, so the first query finds the reason.
    ({"id": "j1", "status": "failed", "error": "no face"}, "j1", ""),
    ({"projectId": "p1", "status": "queued"}, "p1", ""),
    ({"data": {"task_id": "t1"}}, "t1", ""),
    ({"code": 200, "data": {"id": "j2", "status": "queued"}}, "j2", ""),
    ({"status": "failed", "error": "bad clip"}, ProviderRejected, "bad clip"),
    ({"status": "FAILED"}, ProviderRejected, "no reason given"),
    ({"error": "insufficient balance"}, ProviderRejected, "Top up"),
    ({"code": -1, "msg": "busy"}, ProviderUnavailable, "busy"),
    ({"code": 500, "msg": "Read timed out"}, ProviderUnavailable, "Read timed out"),
    ({"code": 429, "msg": "too fast"}, ProviderBusy, "too fast"),
    ({"code": 403, "msg": "not enabled"}, ProviderRejected, "not enabled"),
    ({"code": 200, "msg": "success", "data": {"taskId": "t-1"}}, "t-1", ""),
    # These may all hide a job.
    ({"status": "queued"}, ProviderUnavailable, "without a job id"),
    ({"error": "timeout while queueing"}, ProviderUnavailable, "timeout while queueing"),
    ({"code": 0, "data": None}, ProviderUnavailable, "without a job id"),
    ({}, ProviderUnavailable, "without a job id"),
    ([], ProviderUnavailable, "without a job id"),
    (None, ProviderUnavailable, "without a job id"),
    ({"id": ""}, ProviderUnavailable, "without a job id"),
]


@pytest.mark.parametrize(("body", "outcome", "said"), ANSWERS, ids=[str(row[0]) for row in ANSWERS])
async def test_answers_to_a_submission(
    inputs: dict[str, Path], body: object, outcome: type[ProviderError] | str, said: str
) -> None:
    """An id is an accepted job; a clear refusal is final; anything else may have been accepted."""
    async with serving(saying(body)) as web:
        provider = provider_at(web.url)
        order = await order_at(provider, inputs)
        if isinstance(outcome, str):
            assert await provider.submit(order) == outcome
            return
        error = await refusal(provider, order)

    assert type(error) is outcome
    assert said in str(error)
    assert getattr(error, "sent", True)


DONE = {"id": "j1", "object": "video", "created": 1, "model": "kyy_digitalHuman", "status": "completed"}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"status": "QUEUED"}, JobStatus(phase="queued", word="queued")),
        ({"status": "Processing"}, JobStatus(phase="running", word="processing")),
        ({}, JobStatus(phase="running", word="completed", odd=True)),
        ({"video_url": ""}, JobStatus(phase="running", word="completed", odd=True)),
        ({"status": "success", "video_url": "https://x/v"}, JobStatus(phase="running", word="success", odd=True)),
        ({"status": "failed"}, JobStatus(phase="failed", word="failed", reason="mingyan gave no reason")),
        (
            {"status": "cancelled", "error": "by operator"},
            JobStatus(phase="failed", word="cancelled", odd=True, reason="by operator"),
        ),
        (
            {"status": "failed", "error": "余额不足"},
            JobStatus(
                phase="failed", word="failed", reason="余额不足. Top up the account, then run the request again."
            ),
        ),
    ],
    ids=str,
)
async def test_status_words(changes: dict[str, Any], status: JobStatus) -> None:
    """Every word ends in one of the studio's phases, and only 'completed' with a link is a success."""
    async with serving(saying(DONE | changes)) as web:
        assert await provider_at(web.url).query("j1") == status


@pytest.mark.parametrize(
    ("md5", "used"),
    [("ABCDEF0123456789abcdef0123456789", "abcdef0123456789abcdef0123456789"), ("q80BI0VniauN", None), (None, None)],
)
async def test_only_a_digest_is_compared(md5: str | None, used: str | None) -> None:
    """32 hex digits in any case are the MD5; anything else is left alone with a remark for people."""
    async with serving(saying(DONE | {"video_url": "https://x/v.mp4", "md5": md5})) as web:
        result = (await provider_at(web.url).query("j1")).result

    assert result is not None
    assert result.md5 == used
    assert (result.notes == []) is (used is not None)


async def test_newer_facts_are_shown_to_people() -> None:
    """What newer endpoints of the gateway tell about cost is kept as a remark, in a wrapper or not."""
    body = DONE | {"result_url": "https://x/v.mp4", "md5": "0" * 32, "amount": 3, "actualDuration": 2.5}
    async with serving(saying({"code": 0, "data": body})) as web:
        result = (await provider_at(web.url).query("j1")).result

    assert result is not None
    assert result.location == "https://x/v.mp4"
    assert result.notes == ["mingyan says amount=3.", "mingyan says actualDuration=2.5."]


async def test_the_key_goes_to_the_gateway_only(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Every call carries the key; the download of the video, on the very same host, does not."""

    async def answer(path: str, _headers: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path.startswith("/video"):
            reply(writer, b"video")
        else:
            reply_json(writer, DONE | {"video_url": f"{web.url}/video.mp4?sig=1"})

    async with serving(answer) as web:
        provider = provider_at(web.url, key=PLANTED)
        await provider.submit(await order_at(provider, inputs))
        result = (await provider.query("j1")).result
        assert result is not None
        assert (await bring(provider, result, tmp_path)).read_bytes() == b"video"

    sent = [headers.get("authorization") for _, headers in web.asked]
    assert sent == [f"Bearer {PLANTED}", f"Bearer {PLANTED}", None]


async def test_a_key_that_the_vendor_repeats_stays_unseen(
    inputs: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    """Vendors quote keys in their refusals; no error, log line or representation of ours passes that on."""
    caplog.set_level(logging.DEBUG)
    quoting = [
        ("401 Unauthorized", {"message": f"invalid key {PLANTED}"}),
        ("400 Bad", f"Bearer {PLANTED} is not allowed"),
        ("200 OK", {"code": 9, "msg": f"no funds for {PLANTED}"}),
        ("200 OK", {"status": "failed", "error": f"key {PLANTED} is blocked"}),
        ("200 OK", {"error": {"message": f"odd {PLANTED}"}}),
        ("200 OK", {"id": "j1", "status": f"odd {PLANTED}", PLANTED: [PLANTED]}),
        ("500 Oops", {"message": PLANTED}),
    ]
    for status, body in quoting:
        async with serving(saying(body, status)) as web:
            provider = provider_at(web.url, key=PLANTED)
            order = await order_at(provider, inputs)
            errors: list[ProviderError] = []
            for call in (provider.submit(order), provider.query("j1")):
                try:
                    assert PLANTED not in repr(await call), body
                except ProviderError as error:
                    errors.append(error)
        for error in errors:
            told = f"{error!r} {error} {error.message}" + "".join(traceback.format_exception(error))
            assert PLANTED not in told, body
    assert PLANTED not in f"{provider!r} {vars(provider)!r}"
    assert PLANTED not in caplog.text
