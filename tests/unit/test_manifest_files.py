"""Manifests on this machine: the media beside them, and the fields they share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.batch_files import LocalMedia, ManifestFile, read_defaults
from deployments.batches import as_problem
from tasks.batch.manifest import ManifestRow, RowProblem, given_fields
from tasks.errors import Problem, RequestRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "anna.png").write_bytes(b"x")
    (tmp_path / "sheet.csv").write_text("image,text\nfaces/anna.png,Hi\n./faces/../faces/anna.png,Ho\n")
    return tmp_path


def test_local_media_are_one_file_however_written(folder: Path) -> None:
    """Paths count from the manifest's folder; each distinct file is uploaded once and put into the rows."""
    local, file = LocalMedia(folder), ManifestFile(folder / "sheet.csv")
    checked = list(file.rows(local.stand_in))

    assert list(local.files.values()) == [folder / "faces" / "anna.png"]
    assert all(isinstance(row, ManifestRow) for row in checked)
    staged = {folder / "faces" / "anna.png": "s3://staging/uploads/1.png"}
    written = [given_fields(row.request) for row in file.rows(local.resolver(staged)) if isinstance(row, ManifestRow)]
    assert [row["avatar"]["image"] for row in written] == ["s3://staging/uploads/1.png"] * 2


@pytest.mark.parametrize(
    ("reference", "wrong"),
    [
        ("none.png", "'none.png' does not exist."),
        ("faces", "'faces' is not a file."),
        ("file:///etc/passwd", "'file:///etc/passwd' does not exist."),
    ],
)
def test_files_that_are_not_there_are_problems(folder: Path, reference: str, wrong: str) -> None:
    """A path without a file is said as such, for the field that names it."""
    found = LocalMedia(folder).stand_in("avatar.image", reference)

    assert isinstance(found, Problem)
    assert (found.field, found.wrong) == ("avatar.image", wrong)


@pytest.mark.parametrize("reference", ["s3://staging/a.png", "https://h/p.png", "https://["])
def test_addresses_stay_as_they_are(folder: Path, reference: str) -> None:
    """Only files of this machine are touched; odd addresses are left for the form to refuse."""
    assert LocalMedia(folder).stand_in("avatar.image", reference) == reference


def test_media_of_shared_fields_count_from_their_own_folder(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Shared fields may lie elsewhere than the manifest, in any shape, with templates and a matrix."""
    elsewhere = tmp_path_factory.mktemp("shared")
    shared = {
        "image": "a.png",
        "avatar": {"image": "faces/{{name}}.png", "kind": "portrait"},
        "speech.audio": "s3://staging/a.wav",
        "title": "a.png",
        "matrix": {"video": ["b.mp4", "/c.mp4"], "market": [{"audio": "d.wav", "language": "en"}]},
    }
    (elsewhere / "shared.yaml").write_text(json.dumps(shared))

    assert read_defaults(elsewhere / "shared.yaml") == {
        "image": f"{elsewhere}/a.png",
        "avatar": {"image": f"{elsewhere}/faces/{{{{name}}}}.png", "kind": "portrait"},
        "speech.audio": "s3://staging/a.wav",
        "title": "a.png",
        "matrix": {
            "video": [f"{elsewhere}/b.mp4", "/c.mp4"],
            "market": [{"audio": f"{elsewhere}/d.wav", "language": "en"}],
        },
    }


def test_shared_fields_must_be_fields(folder: Path) -> None:
    """A list is no set of shared fields."""
    (folder / "shared.yaml").write_text("[1]")

    with pytest.raises(RequestRefused, match="does not hold fields"):
        ManifestFile(folder / "sheet.csv", folder / "shared.yaml")


@pytest.mark.parametrize(
    ("name", "content", "called"), [("a b.csv", "text\n", "a b"), ("c.yaml", "name: Mine\nrows: []", "Mine")]
)
def test_batches_are_called_as_their_files(tmp_path: Path, name: str, content: str, called: str) -> None:
    """The manifest's own name counts before that of the file."""
    (tmp_path / name).write_text(content)

    assert ManifestFile(tmp_path / name).name == called


def test_problems_of_rows_are_told_in_one_form() -> None:
    """A refusal of the whole batch says the rows' problems in the same words as the preview."""
    row = RowProblem(number=17, line=18, column="speech.text", wrong="is empty.", fix="Fill it in.")

    assert str(row) == "row 17 (line 18), speech.text: is empty. Fill it in."
    assert str(as_problem(row)) == str(row)


def test_reading_manifests_needs_no_prefect() -> None:
    """Manifests can be read wherever the form's models are; neither Prefect nor SQLAlchemy is loaded for it."""
    code = "import sys, tasks.batch.manifest; print([m for m in ('prefect', 'sqlalchemy', 'av') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=dict(os.environ)
    )

    assert done.stdout.strip() == "[]"
