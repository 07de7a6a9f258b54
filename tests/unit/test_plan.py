"""Who renders, and the render key: the identity of a video."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tasks.errors import RequestRefused
from tasks.plan import plan_for, plan_renders, render_key
from tasks.providers.base import MediaRole, ProbedMedia
from tasks.providers.local.provider import LocalProvider
from tasks.request import read_request
from tests.bad_requests import GOOD


@pytest.fixture
def provider(tmp_path: Path) -> LocalProvider:
    return LocalProvider(tmp_path / "spool")


def _media(digest: str = "a" * 64) -> dict[MediaRole, ProbedMedia]:
    face = ProbedMedia(
        role="avatar", reference="s3://staging/x", path=Path("x"), sha256=digest, size=1, kind="image", extension="png"
    )
    return {"avatar": face}


def _key(provider: LocalProvider, change: dict[str, Any], digest: str = "a" * 64) -> str:
    return plan_for(provider, read_request({**GOOD, **change}), _media(digest)).render_key


@pytest.mark.parametrize("change", [{"title": "Other"}, {"tags": ["x"]}, {"labels": {"text": "Made by AI"}}])
def test_names_and_labels_do_not_make_another_render(provider: LocalProvider, change: dict[str, Any]) -> None:
    """A new title, tag or label must never cost a second render."""
    assert _key(provider, change) == _key(provider, {})


@pytest.mark.parametrize(
    "change",
    [
        {"output": {"resolution": "720p"}},
        {"output": {"resolution": "512p", "fps": 30}},
        {"speech": {"kind": "script", "text": "Hello, there."}},
        {"speech": {"kind": "script", "text": "Hello there.", "speed": 1.1}},
    ],
)
def test_what_is_seen_or_heard_makes_another_render(provider: LocalProvider, change: dict[str, Any]) -> None:
    """Everything that changes the video changes its key."""
    assert _key(provider, change) != _key(provider, {})


def test_other_picture_makes_another_render(provider: LocalProvider) -> None:
    """The content of the media counts, not the name of the file."""
    assert _key(provider, {}, "b" * 64) != _key(provider, {})


def test_key_is_the_same_in_every_process() -> None:
    """A restarted run must come to the same key, whatever the hash seed and the order of the fields."""
    code = "from tasks.plan import render_key; print(render_key('p', 'a', {'y': [1, 2], 'x': 'ü'}))"
    made = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
        for _ in range(2)
    }

    assert made == {render_key("p", "a", {"x": "ü", "y": [1, 2]})}


def test_account_is_part_of_the_key() -> None:
    """Another account pays for another video."""
    assert render_key("p", "a", {}) != render_key("p", "b", {})


async def test_no_provider_that_can_is_a_refusal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """When nobody can render it, the reasons of all of them are told before anything is uploaded."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path))
    request = read_request({**GOOD, "provider": "local", "avatar": {"kind": "stock", "avatar_id": "7"}})

    with pytest.raises(RequestRefused, match=r"avatar\.kind"):
        await plan_renders.fn(request, {})
