"""The sandbox's preview page in a real browser: a person sees and hears what the digital human would say."""

import asyncio
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import uvicorn
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from infra.sandbox.speech import RATE, murmur
from infra.sandbox.zego.playout import Playout
from infra.sandbox.zego.preview import Preview
from infra.sandbox.zego.records import Action, Drive, DriveStatus, StreamStatus, StreamTask
from tests.contract.zego_calls import Zego
from tests.e2e.test_ui import QUIET
from tests.servers.sandbox import SandboxServer, one_sandbox  # noqa: F401 - a fixture

EVIL = "<script>window.ran=1</script><img src=x onerror='window.ran=2'>"
TEXT = "Good evening, and welcome to the show."
PATIENCE = 30_000
LEVEL = "() => Number(document.querySelector('#meter').getAttribute('aria-valuenow'))"


class Stage:
    """One stream and its preview, served from a thread. What changes it runs in the server's loop."""

    def __init__(self) -> None:
        self.playout: Playout
        self.drives: list[Drive] = []
        self.task = StreamTask(
            task_id="task-1", stream_id="stream-1", room_id="evening-show", digital_human_id="dh-anna",
            background="#000000", ttl=3600, max_idle=120, due=time.time(), status=StreamStatus.STREAMING,
            started=time.time() - 65, quiet_since=time.time(),
        )  # fmt: skip
        preview = Preview(lambda: [self.task], lambda _: self.drives, lambda _: self.playout)
        app = Starlette(routes=[Mount("/zego", routes=preview.routes())])
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(30)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.playout = Playout()
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/zego/preview"
        self._ready.set()
        await serving

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)

    def do(self, work: Callable[[], None]) -> None:
        """Run something in the server's loop, and wait for it."""
        done = threading.Event()
        self._loop.call_soon_threadsafe(lambda: (work(), done.set()))
        assert done.wait(10)

    def add(self, kind: Literal["text", "audio", "ws", "rtc"], text: str = "", **changes: Any) -> Drive:
        drive = Drive(drive_id=f"d{len(self.drives)}", task_id="task-1", kind=kind, text=text, **changes)
        self.drives.append(drive)
        return drive

    def say(self, text: str) -> Drive:
        """Speak a text with the sandbox's murmur."""
        wave = murmur(text * 4)
        drive = self.add("text", text, status=DriveStatus.SPEAKING, began=time.time(), seconds=len(wave) / RATE)

        def speak() -> None:
            self.playout.begin(drive.drive_id, RATE)
            self.playout.feed(drive.drive_id, (wave * 32_767).astype("<i2").tobytes())
            self.playout.finish(drive.drive_id)

        self.do(speak)
        return drive


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.stop()


@pytest.fixture
def told() -> list[str]:
    """What the browser complained about."""
    return []


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    chromium = shutil.which("chromium")
    assert chromium, "apt-get install chromium"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=chromium, args=QUIET
        )
        yield context
        context.close()
    # Back to Playwright's own, as it holds for all modules of the process.
    expect.set_options(timeout=None)


@pytest.fixture
def page(browser: BrowserContext, told: list[str]) -> Iterator[Page]:
    opened = browser.new_page()
    opened.set_viewport_size({"width": 1200, "height": 900})
    opened.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: told.append(f"error: {error}"))
    yield opened
    opened.close()


def face(page: Page) -> bytes:
    """A picture of the presenter."""
    return page.locator("#face").screenshot()


def still_face(page: Page) -> bytes:
    """A picture of the presenter, who is painted and does not move."""
    expect(page.locator("#face")).to_have_attribute("aria-busy", "false")
    before = face(page)
    for _ in range(20):
        page.wait_for_timeout(200)
        if (now := face(page)) == before:
            return now
        before = now
    raise AssertionError("the presenter never stood still")


def test_a_person_sees_and_hears_the_digital_human(stage: Stage, page: Page, told: list[str]) -> None:
    """Silent at first; with a drive the meter and the mouth move, and after a click its audio is played."""
    page.goto(f"{stage.address}/task-1")
    expect(page.locator("#status")).to_have_text("streaming")
    expect(page.locator("h1")).to_contain_text("Anna")
    expect(page.locator("#now")).to_have_text("It is silent.")
    page.wait_for_function("() => performance.now() > 1000")
    assert page.evaluate(LEVEL) == 0
    closed = still_face(page)
    page.get_by_role("button", name="Listen").click()
    expect(page.get_by_role("button", name="Mute")).to_have_attribute("aria-pressed", "true")

    stage.say(TEXT)

    expect(page.locator("#now .said")).to_have_text(TEXT)
    page.wait_for_function(f"{LEVEL} > 30")
    page.wait_for_function(f"{LEVEL} < 20")
    page.wait_for_function(f"{LEVEL} > 30")
    assert any(face(page) != closed for _ in range(20))
    before = int(page.locator("#listen").get_attribute("data-buffers") or 0)
    page.wait_for_function(f"() => Number(document.querySelector('#listen').dataset.buffers) > {before + 5}")
    assert told == []


def test_the_sound_that_is_played_is_the_sound_that_was_said(stage: Stage, page: Page) -> None:
    """What reaches the loudspeaker is one piece after the other, nearly all without a hole, and not silence."""
    page.add_init_script(
        "window.played = []; const start = AudioBufferSourceNode.prototype.start;"
        "AudioBufferSourceNode.prototype.start = function (at) {"
        " const wave = this.buffer.getChannelData(0);"
        " played.push([at, this.buffer.duration, Math.max(...wave), this.context.state]); start.call(this, at); };"
    )
    page.goto(f"{stage.address}/task-1")
    page.get_by_role("button", name="Listen").click()
    stage.say(TEXT)
    page.wait_for_function("() => played.filter(([, , loudest]) => loudest > 0.05).length > 10")

    played = page.evaluate("played")
    ends = [at + duration for at, duration, *_ in played]
    assert {state for *_, state in played} == {"running"}
    gaps = [abs(at - end) for (at, *_), end in zip(played[1:], ends, strict=False)]
    assert sum(gap > 0.001 for gap in gaps) <= len(gaps) / 4, gaps


def test_the_queue_and_the_past_are_told(stage: Stage, page: Page) -> None:
    """What waits, what was said and how it came in; hostile words are read, not run."""
    stage.add("text", EVIL, status=DriveStatus.ENDED, began=1.0, ended=2.0, seconds=1.0)
    stage.add("ws", status=DriveStatus.ENDED, began=1.0, ended=2.0, seconds=3.0,
              playout={"seconds": 3.0, "underruns": 2, "underrun_seconds": 0.7, "unfinished": True})  # fmt: skip
    stage.add("audio", url="http://127.0.0.1/a.mp3?X-Signature=abc", status=DriveStatus.FAILED, reason="no audio in it")
    stage.add("text", "Next one")
    page.goto(f"{stage.address}/task-1")

    expect(page.locator("#queue li")).to_have_count(1)
    expect(page.locator("#queue")).to_contain_text("Next one")
    expect(page.locator("#said li")).to_have_count(3)
    expect(page.locator("#said [data-drive=d0]")).to_contain_text(EVIL)
    expect(page.locator("#said [data-drive=d1]")).to_contain_text("2 under-runs, 0.7 s · ended without Stop")
    expect(page.locator("#said [data-drive=d2]")).to_contain_text("no audio in it")
    assert "X-Signature" not in page.content()
    assert page.evaluate("window.ran") is None
    stage.do(lambda: stage.task.actions.append(Action(action="802_921474")))
    expect(page.locator("#gesture")).to_have_text("Action 802_921474")
    expect(page.locator("#gesture")).to_be_hidden()


def test_a_stream_that_ended_says_how(stage: Stage, page: Page) -> None:
    """The page of a stream that ends meanwhile tells why, falls silent and asks no more."""
    page.goto(f"{stage.address}/task-1")
    expect(page.locator("#status")).to_have_text("streaming")

    def end() -> None:
        stage.task.status, stage.task.ended, stage.task.how_ended = StreamStatus.STOPPED, time.time(), "idle"

    stage.do(end)
    expect(page.locator("#status")).to_have_text("stopped")
    expect(page.locator("#reason")).to_contain_text("MaxIdleTime")
    expect(page.locator("#listen")).to_be_disabled()
    page.wait_for_timeout(500)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1000)
    assert asked == []


def test_the_page_survives_the_sandbox(stage: Stage, page: Page) -> None:
    """While the sandbox is away the page says so, and goes on when it is back."""
    page.goto(f"{stage.address}/task-1")
    expect(page.locator("#status")).to_have_text("streaming")
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_be_visible()
    page.context.set_offline(False)
    expect(page.locator("#lost")).to_be_hidden()
    stage.say(TEXT)
    page.wait_for_function(f"{LEVEL} > 30")


def test_the_list_leads_to_the_stream(stage: Stage, page: Page) -> None:
    """Live streams are listed, and a click opens one; an unknown one is not there."""
    page.goto(stage.address)
    page.get_by_role("link", name=re.compile("Anna")).click()
    expect(page).to_have_url(f"{stage.address}/task-1")
    expect(page.locator("#status")).to_have_text("streaming")
    answer = page.goto(f"{stage.address}/unknown")
    assert answer
    assert answer.status == 404


def test_a_show_on_the_sandbox(sandbox_server: SandboxServer, page: Page) -> None:
    """The sandbox serves the page itself: an accepted text is seen and heard, and the stream's end is told."""
    zego = Zego(sandbox_server)
    task_id = zego.create("preview-1")
    page.goto(f"{sandbox_server.url}/zego/preview/{task_id}")
    expect(page.locator("#status")).to_have_text("streaming")
    page.get_by_role("button", name="Listen").click()

    zego.data("DriveByText", {"TaskId": task_id, "Text": TEXT, "TTSConfig": {"TimbreId": "tb-en-calm"}})
    expect(page.locator("#now .said")).to_have_text(TEXT)
    page.wait_for_function(f"{LEVEL} > 30")
    expect(page.locator("#listen")).to_have_attribute("data-buffers", re.compile("[1-9]"))
    expect(page.locator("#said li")).to_contain_text(["ended"])
    zego.data("StopDigitalHumanStreamTask", {"TaskId": task_id})
    expect(page.locator("#status")).to_have_text("stopped")
    expect(page.locator("#reason")).to_have_text("It was stopped.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_everywhere(stage: Stage, page: Page, scheme: Any) -> None:
    """Nothing is cut off at the side, and text stands out from its ground in both colour schemes."""
    page.emulate_media(color_scheme=scheme)
    stage.task.stream_id = "a" * 128
    stage.say("An-unbroken-word-" * 12)
    page.goto(f"{stage.address}/task-1")
    expect(page.locator("#now .said")).to_be_visible()

    for width in (320, 768, 1200):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, ground = page.evaluate(
        "() => { const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]; }"
    )
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < sum(map(int, re.findall(r"\d+", ink)[:3]))
    assert dark == (scheme == "dark")
