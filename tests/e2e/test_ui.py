"""The Prefect UI in a real browser: the form is a form, and the run's page shows the video."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.api import StudioApi

# Without these Chromium asks the world at every start.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """A page of Debian's Chromium."""
    chromium = shutil.which("chromium")
    assert chromium, "apt-get install chromium"
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=chromium, args=QUIET, viewport={"width": 1400, "height": 1500}
        )
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        yield opened
        context.close()


def _fill(page: Page, label: str, text: str) -> None:
    page.locator(f"xpath=//*[normalize-space(.)='{label}']/following::textarea[1]").first.fill(text)


def test_a_person_makes_a_video_with_the_form(api: StudioApi, page: Page) -> None:
    """Choose, fill in, press Submit; then the run's page names the steps and shows what they left."""
    page.goto(f"{api.studio.config.ui_url}/deployments/deployment/{api.deployment()['id']}/run")
    for choice in ("Portrait", "Clip", "Script", "Recording"):
        expect(page.get_by_text(choice, exact=True).first).to_be_visible(timeout=PATIENCE)
    _fill(page, "Title (Optional)", "Made in the browser")
    _fill(page, "Picture", "s3://staging/good/face.png")
    # Another kind than the one that is shown first, by one click.
    page.get_by_text("Recording", exact=True).first.click()
    _fill(page, "Recording", "s3://staging/good/speech.wav")
    with page.expect_response(lambda response: "create_flow_run" in response.url) as started:
        page.get_by_role("button", name="Submit").last.click()
    run = api.wait(started.value.json()["id"])

    assert run["state"]["type"] == "COMPLETED", run["state"]
    assert run["parameters"]["request"]["speech"] == {"audio": "s3://staging/good/speech.wav"}
    page.goto(f"{api.studio.config.ui_url}/runs/flow-run/{run['id']}?tab=Artifacts")
    expect(page.get_by_text("Made in the browser").first).to_be_visible(timeout=PATIENCE)
    page.get_by_text("Artifacts", exact=True).last.click()
    for artifact in ("video-link", "poster", "archived-video", "inspection"):
        expect(page.get_by_text(artifact, exact=True).first).to_be_visible(timeout=PATIENCE)
