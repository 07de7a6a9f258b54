"""How the command line puts a request together."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.requests import is_local, local_files, merge, read_request_file
from tasks.errors import RequestRefused


@pytest.mark.parametrize(
    ("reference", "local"),
    [
        ("face.png", True),
        ("/data/face.png", True),
        ("s3://b/k", False),
        ("https://h/p", False),
        (None, False),
        ("", False),
    ],
)
def test_local_files_are_told_from_addresses(reference: Any, local: bool) -> None:
    """Only what names a file on this machine is uploaded."""
    assert is_local(reference) is local


@pytest.mark.parametrize("name", ["request.yaml", "request.json"])
def test_paths_in_a_request_file_count_from_its_folder(tmp_path: Path, name: str) -> None:
    """A request and its media can be moved together."""
    request = {
        "avatar": {"kind": "portrait", "image": "face.png"},
        "speech": {"kind": "recording", "audio": "s3://a/b"},
    }
    (tmp_path / name).write_text(json.dumps(request))

    read = read_request_file(tmp_path / name)

    assert read["avatar"]["image"] == str(tmp_path / "face.png")
    assert read["speech"]["audio"] == "s3://a/b"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.yaml", None, "cannot be read"),
        ("list.yaml", "- a\n- b\n", "does not hold a request"),
        ("odd.yaml", "avatar: [", "is not valid"),
        ("odd.json", "{", "is not valid"),
        ("latin.yaml", b"title: \xe9\xff", "cannot be read"),
    ],
)
def test_unreadable_request_files_are_refused_in_words(
    tmp_path: Path, name: str, content: str | bytes | None, words: str
) -> None:
    """A wrong file is named, with what is wrong with it."""
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(RequestRefused, match=words):
        read_request_file(tmp_path / name)


def test_flags_win_and_another_kind_replaces_the_group() -> None:
    """A flag changes a field of the same kind, and swaps the group when it chooses another kind."""
    base = {"title": "a", "speech": {"kind": "script", "text": "hi", "speed": 1.1}, "output": {"fps": 30}}

    assert merge(base, {"speech": {"kind": "script", "text": "ho"}})["speech"] == {
        "kind": "script",
        "text": "ho",
        "speed": 1.1,
    }
    assert merge(base, {"speech": {"kind": "recording", "audio": "x"}})["speech"] == {"kind": "recording", "audio": "x"}
    assert merge(base, {"output": {"resolution": "512p"}})["output"] == {"fps": 30, "resolution": "512p"}


def test_all_missing_files_are_named_at_once() -> None:
    """Somebody who mistyped two paths is told of both."""
    request = {"avatar": {"kind": "portrait", "image": "no.png"}, "speech": {"kind": "recording", "audio": "no.wav"}}

    with pytest.raises(RequestRefused) as refused:
        local_files(request)

    assert [problem.field for problem in refused.value.problems] == ["avatar.image", "speech.audio"]
