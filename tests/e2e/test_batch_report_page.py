"""The report of a batch in a real browser, from a real object store, as a producer opens it."""

import asyncio
import re
import shutil
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from tasks.batch.report import WrittenReport, write_report
from tasks.ledger.batch_models import BatchRow, RowState
from tasks.settings import get_settings
from tests.e2e.test_ui import QUIET
from tests.reported_batch import BATCH_ID, each, make_batch, make_row, store_clips
from tests.servers.seaweedfs import SeaweedServer

EVIL = "<script>window.ran=1</script><img src=x onerror='window.ran=2'>"
MANY = 10_000
T = TypeVar("T")

ROWS = [
    make_row(1, RowState.DONE, title="Anna"),
    make_row(2, RowState.DONE, title="李小龙", provider="mingyan", estimate=None, reason="loudness: -27 LUFS."),
    make_row(3, RowState.FAILED, title=EVIL, provider="topview", reason=f"no face was found {EVIL}", fix="Use a face."),
    make_row(4, RowState.FAILED, title="Second", reason="the voice does not exist"),
    make_row(5, RowState.DONE, title="Anna's twin", video="s3://archive/clips/1.mp4"),
    make_row(6, RowState.BLOCKED, title="Held", provider="mingyan", reason="no answer came"),
    make_row(7, RowState.FAILED, title="Third", reason="the voice does not exist"),
    make_row(8, RowState.THERE, title="Old", video="s3://archive/clips/gone.mp4", poster="s3://archive/clips/gone.jpg"),
]


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine beside the loop that the browser's driver keeps in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@dataclass
class Reports:
    """Written reports, by their name."""

    server: SeaweedServer

    def write(self, name: str, rows: list[BatchRow], **changes: Any) -> WrittenReport:
        """A report over these rows and one more, which has no record."""

        async def make() -> WrittenReport:
            batch = make_batch(len(rows) + 1, **changes)
            return await write_report(self.server.store(), batch, each(rows), prefix=f"batches/{name}")

        return finish(make())


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reports]:
    """An object store with a few videos."""
    folder = tmp_path_factory.mktemp("reports")
    server = SeaweedServer(folder / "server")
    server.start()

    async def fill() -> None:
        store = server.store()
        await store.ensure_bucket("archive")
        await store_clips(store, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDIO_HOME", str(folder / "home"))
        get_settings.cache_clear()
        asyncio.run(fill())
        yield Reports(server)
    get_settings.cache_clear()
    server.stop()


@pytest.fixture(scope="module")
def written(reports: Reports) -> WrittenReport:
    return reports.write("small", ROWS)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[BrowserContext]:
    chromium = shutil.which("chromium")
    assert chromium, "apt-get install chromium"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=chromium, args=QUIET, viewport={"width": 1200, "height": 900}
        )
        yield context
        context.close()


@pytest.fixture
def told() -> list[str]:
    """What the browser complained about, and what it asked for."""
    return []


@pytest.fixture
def page(browser: BrowserContext, told: list[str]) -> Page:
    opened = browser.new_page()
    opened.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    opened.on("pageerror", lambda error: told.append(f"error: {error}"))
    opened.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
    return opened


@pytest.fixture
def open_report(page: Page, written: WrittenReport) -> Callable[[], Page]:
    def go() -> Page:
        page.goto(written.html_link)
        return page

    return go


def titles(page: Page) -> list[str]:
    return page.locator(".card h3").all_inner_texts()


def plays(page: Page) -> None:
    page.wait_for_function("() => document.querySelector('video').currentTime > 0.1")


def test_nothing_in_a_row_runs(open_report: Callable[[], Page], told: list[str]) -> None:
    """Hostile titles and reasons are read, not run, and the page asks nobody but the archive for anything."""
    asked: list[str] = []
    page = open_report()
    page.on("request", lambda request: asked.append(request.url))
    page.reload()

    expect(page.get_by_text(EVIL, exact=True)).to_be_visible()
    expect(page.get_by_text(f"no face was found {EVIL}")).to_be_visible()
    assert page.evaluate("window.ran") is None
    assert page.locator("script").count() == 3
    complaints = [line for line in told if "gone" not in line and "404" not in line]
    assert complaints == []
    paths = {re.sub(r"\?.*", "", url) for url in asked if not url.startswith("data:")}
    assert {path.partition("/archive/")[2].partition("/")[0] for path in paths} == {"batches", "clips"}


def test_the_policy_stops_a_script_that_got_in(open_report: Callable[[], Page]) -> None:
    """Even a script that found its way into the page would not run."""
    page = open_report()

    page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 3';"
        " document.body.append(s); const d = document.createElement('div');"
        " d.innerHTML = '<img src=x: onerror=\"window.ran = 4\">'; document.body.append(d); }"
    )
    page.wait_for_timeout(300)

    assert page.evaluate("window.ran") is None


def test_problems_come_first_and_say_what_to_do(open_report: Callable[[], Page]) -> None:
    """Rows with one reason stand together, the most urgent state first, each with its number and title."""
    page = open_report()

    groups = page.locator(".group")
    assert [text.split("\n")[0] for text in groups.all_inner_texts()] == ["failed", "failed", "blocked", "not started"]
    expect(groups.nth(0)).to_contain_text("2 rows")
    assert groups.nth(0).locator("li .row").all_inner_texts() == ["#4", "#7"]
    expect(groups.nth(1)).to_contain_text("What to do: Use a face.")
    expect(page.locator(".tile")).to_have_text([re.compile(word) for word in ("3", "1", "1", "3", "1")])
    box, wall = page.locator("#problems").bounding_box(), page.locator("#videos").bounding_box()
    assert box
    assert wall
    assert box["y"] < wall["y"]


def test_tiles_and_search_choose_rows(open_report: Callable[[], Page]) -> None:
    """A tile shows one outcome and, pressed again, all; words of title, provider, reason and number find rows."""
    page = open_report()
    failed = page.locator(".tile[data-state=failed]")

    failed.click()
    expect(failed).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#found")).to_have_text("3 of 9 rows")
    expect(page.locator("#videos")).to_be_hidden()
    failed.click()
    expect(page.locator("#found")).to_have_text("9 rows")

    for words, found in (
        ("anna", "2 of 9 rows"),
        ("#5", "1 of 9 rows"),
        ("mingyan", "2 of 9 rows"),
        ("VOICE", "2 of 9 rows"),
    ):
        page.fill("#search", words)
        expect(page.locator("#found")).to_have_text(found)
    page.fill("#search", "nobody")
    expect(page.locator("#nothing")).to_be_visible()
    page.locator("#clear").click()
    expect(page.locator("#found")).to_have_text("9 rows")


def test_rows_that_share_a_video_are_both_shown(open_report: Callable[[], Page]) -> None:
    """A duplicate row has its own card, which says whose video it is."""
    page = open_report()

    assert titles(page) == ["Anna", "李小龙", "Anna's twin", "Old"]
    expect(page.locator(".card[data-row='5']")).to_contain_text("same video as #1")
    expect(page.locator(".card[data-row='2']")).to_contain_text("cost unknown")
    expect(page.locator(".card[data-row='2']")).to_contain_text("-27 LUFS")
    expect(page.locator(".card[data-row='8'] .none")).to_have_text("picture not available")


def test_a_video_is_played_with_the_keyboard_alone(open_report: Callable[[], Page]) -> None:
    """Enter on a poster plays, the next video follows, a lost one says so, and Escape leads back to the poster."""
    page = open_report()

    page.locator(".card[data-row='1'] .poster").focus()
    page.keyboard.press("Enter")
    plays(page)
    expect(page.locator("#player-title")).to_have_text("Anna")
    page.get_by_role("button", name="Next video").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#player-title")).to_have_text("李小龙")
    plays(page)
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator(".card[data-row='2'] .poster")).to_be_focused()

    page.locator(".card[data-row='8'] .poster").click()
    expect(page.locator("#player .broken")).to_contain_text(f"studio batch report {BATCH_ID}")
    expect(page.get_by_role("button", name="Next video")).to_be_disabled()


def test_rows_are_copied_for_a_spreadsheet(browser: BrowserContext, open_report: Callable[[], Page]) -> None:
    """Number and title of one row, or of all rows with the same reason, are one click away."""
    browser.grant_permissions(["clipboard-read", "clipboard-write"])
    page = open_report()

    page.get_by_role("button", name="Copy numbers and titles of 2 rows").click()
    expect(page.locator("#told")).to_have_text("Copied")

    assert page.evaluate("navigator.clipboard.readText()") == "4\tSecond\n7\tThird"


def test_a_page_whose_links_have_ended_says_so(page: Page, written: WrittenReport) -> None:
    """After the links' life the page names the command that writes it anew; before, it does not."""
    page.goto(written.html_link)
    expect(page.locator("#expired")).to_be_hidden()

    html = page.content()
    page.clock.install(time=datetime.now(UTC) + timedelta(days=8))
    page.set_content(html)

    expect(page.locator("#expired")).to_contain_text(f"studio batch report {BATCH_ID}")


def test_a_saved_page_works_from_the_disk(page: Page, written: WrittenReport, reports: Reports, tmp_path: Path) -> None:
    """The page is one file: mailed or saved it still shows its rows and plays its videos."""
    saved = tmp_path / "report.html"
    key = written.html.removeprefix("s3://archive/")
    saved.write_bytes(finish(reports.server.store().get_bytes("archive", key, limit=1 << 24)))

    page.goto(saved.as_uri())
    page.locator(".card[data-row='1'] .poster").click()

    plays(page)


@pytest.mark.parametrize("width", [320, 390, 768])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_readable_on_a_phone(open_report: Callable[[], Page], page: Page, width: int, scheme: Any) -> None:
    """Nothing is cut off at the side, and text stands out from its ground in both colour schemes."""
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    open_report()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ink, ground = page.evaluate(
        "() => { const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]; }"
    )
    dark = sum(map(int, re.findall(r"\d+", ground)[:3])) < sum(map(int, re.findall(r"\d+", ink)[:3]))
    assert dark == (scheme == "dark")


def test_ten_thousand_rows(reports: Reports, page: Page) -> None:
    """A large batch opens with few cards, brings more as one scrolls, and any of its rows is found at once."""
    rows = [make_row(number, RowState.FAILED if number % 50 == 0 else RowState.DONE) for number in range(1, MANY)]
    link = reports.write("many", rows).html_link

    page.goto(link)

    assert page.locator(".card").count() < 200
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("() => document.querySelectorAll('.card').length > 60")
    page.fill("#search", "#9999")
    expect(page.locator(".card h3")).to_have_text(["Greeting for guest 9999"])
    page.locator(".poster").click()
    plays(page)
