"""Manifests as spreadsheets, editors and programs write them, read into requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.batch.manifest import (
    ManifestRow,
    RowProblem,
    given_fields,
    kind_of,
    manifest_line,
    name_in,
    normalise,
    read_list,
    read_rows,
    read_shard,
)
from tasks.batch.manifest.delimited import choose_delimiter
from tasks.errors import Problem, RequestRefused

FACE = "s3://staging/face.png"
SHARED = {"avatar": {"image": FACE}}
ANNA = {"avatar": {"kind": "portrait", "image": FACE}, "speech": {"kind": "script", "text": "Hello Anna"}}


def read(folder: Path, content: str | bytes, kind: Any = "csv", defaults: Any = None, **more: Any) -> list[Any]:
    path = folder / "manifest"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(path, kind, defaults or {}, **more))


def requests(rows: list[Any]) -> list[dict[str, Any]]:
    """What was given in each row; fails on problems."""
    assert [str(row) for row in rows if isinstance(row, RowProblem)] == []
    return [given_fields(row.request) for row in rows]


HEADER = "Title{d}Image{d}Text{d}Speed\r\n"
ROW = 'One{d}s3://staging/face.png{d}"Hello{d} ""Anna""\nand Bob"{d}1.5\r\n'
EXPECTED = {
    "title": "One",
    "avatar": {"kind": "portrait", "image": FACE},
    "speech": {"kind": "script", "text": 'Hello{d} "Anna"\nand Bob', "speed": 1.5},
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_and_encodings_of_spreadsheets(tmp_path: Path, delimiter: str, encoding: str) -> None:
    """Whatever a spreadsheet separates cells with and encodes them in, the rows are the same."""
    rows = read(tmp_path, (HEADER + ROW).replace("{d}", delimiter).encode(encoding))

    assert requests(rows) == [json.loads(json.dumps(EXPECTED).replace("{d}", delimiter.replace("\t", "\\t")))]


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\r\ntext;image\r\nHello Anna;s3://staging/face.png\r\n",
        '"sep=;"\ntext;image\nHello Anna;s3://staging/face.png',
        "SEP=\t\ntext\timage\nHello Anna\ts3://staging/face.png",
        "\n\n  Speech.Text ; AVATAR.image\n\nHello Anna;s3://staging/face.png\n;\n\n",
        "script,image,#note,\nHello Anna,s3://staging/face.png,for Bob,\n",
        '"text", "image"\n"Hello Anna", "s3://staging/face.png"\n',
        "text,image,title,tags\nHello Anna,s3://staging/face.png\n",
        "text,image\rHello Anna,s3://staging/face.png\r",
        "text\xa0,image\n\xa0Hello Anna ,s3://staging/face.png\n",
        "avatar.kind,image,text\nportrait,s3://staging/face.png,Hello Anna\n",
    ],
)
def test_habits_of_spreadsheets(tmp_path: Path, content: str) -> None:
    """A `sep=` line, blank lines and rows, notes, short rows, old line ends, spaces and capitals change nothing."""
    assert requests(read(tmp_path, content)) == [ANNA]


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("text", ","),
        ("text;image", ";"),
        ("title;text, or script;image", ";"),
        ('"a,b";text', ";"),
        ("text\timage,\tvideo", "\t"),
        ("text,image;x;y;z", ","),
        ("", ","),
    ],
)
def test_delimiter_is_what_makes_the_most_known_names(header: str, delimiter: str) -> None:
    """Signs inside of names do not mislead."""
    assert choose_delimiter(header) == delimiter


def test_cells_become_what_their_fields_take(tmp_path: Path) -> None:
    """Numbers, yes and no, choices of numbers and lists of tags are read from text; empty cells are not given."""
    header = "text;image;speed;output.fps;labels.visible;labels.seconds;tags;mingyan.model_version;voice;title"
    row = "Hi;s3://staging/face.png;1,25;30;FALSE;2,5;spring, promo;1;;"

    found = requests(read(tmp_path, f"{header}\n{row}\n"))

    assert found == [
        {
            "avatar": ANNA["avatar"],
            "speech": {"kind": "script", "text": "Hi", "speed": 1.25},
            "output": {"fps": 30},
            "labels": {"visible": False, "seconds": 2.5},
            "tags": ["spring", "promo"],
            "mingyan": {"model_version": 1},
        }
    ]


def test_rows_know_their_lines(tmp_path: Path) -> None:
    """A problem names the row as counted and the line where it begins, with texts of several lines before it."""
    content = 'sep=,\n\ntext,image\n"a\nb\nc",s3://staging/face.png\n\n,s3://staging/face.png\n"x"y,\n'

    rows = read(tmp_path, content)

    assert [row.number for row in rows] == [1, 2, 3]
    assert [str(row).partition(",")[0] for row in rows[1:]] == ["row 2 (line 8)", "row 3 (line 9)"]


@pytest.mark.parametrize(
    "row",
    [
        {"image": FACE, "text": "Hello Anna"},
        {"avatar": {"image": FACE}, "speech": {"text": "Hello Anna", "voice": None}, "title": "", "tags": None},
        {"avatar.image": FACE, "Speech.Text": "Hello Anna"},
        {"image": FACE, "script": "Hello {{ name }}", "variables": {"Name": "Anna"}},
        {"image": FACE, "script": "Hello {{NAME}}", "name": "Anna"},
        {"image": FACE, "script": "Hello {{first name}}", "First-Name": " Anna "},
        {"avatar": {"kind": "portrait", "image": FACE}, "speech": {"kind": "script", "text": "Hello Anna"}},
    ],
)
def test_structured_rows_in_any_form(tmp_path: Path, row: dict[str, Any]) -> None:
    """Nested, dotted and short names are one; JSONL, YAML, JSON and the run form read them alike."""
    line = json.dumps(row)

    assert requests(read(tmp_path, f"\n{line}\r\n\n", "jsonl")) == [ANNA]
    assert requests(read(tmp_path, f"- {line}\n", "yaml")) == [ANNA]
    assert requests(read(tmp_path, json.dumps({"name": "x", "rows": [row]}), "yaml")) == [ANNA]
    assert requests(list(read_list([row], {}))) == [ANNA]


def test_own_fields_win_over_shared_ones(tmp_path: Path) -> None:
    """A row changes single fields; one that chooses another kind keeps of the shared group only what goes with it."""
    defaults = {
        "avatar": {"kind": "portrait", "image": FACE},
        "speech": {"text": "Hello Anna", "language": "en-GB", "voice": "heart"},
        "title": "Shared",
    }
    content = (
        "title,text,audio,video,voice\n,,,,\nOwn,,,,bella\n,Bye,,s3://staging/clip.mp4,\n,,s3://staging/speech.wav,,\n"
    )

    rows = requests(read(tmp_path, content, defaults=defaults))

    shared = {"kind": "script", "text": "Hello Anna", "language": "en-GB", "voice": "heart"}
    clip = {"kind": "clip", "video": "s3://staging/clip.mp4"}
    assert rows == [
        {"title": "Own", "avatar": ANNA["avatar"], "speech": shared | {"voice": "bella"}},
        {"title": "Shared", "avatar": clip, "speech": shared | {"text": "Bye"}},
        {
            "title": "Shared",
            "avatar": ANNA["avatar"],
            "speech": {"kind": "recording", "audio": "s3://staging/speech.wav"},
        },
    ]


TEMPLATES = [
    ("Hello {{name}}", "Hello Anna"),
    ("{{ Name }}{{NAME}}", "AnnaAnna"),
    ("{{{{name}} is {{name}}", "{{name}} is Anna"),
    ("{ {name} } }}", "{ {name} } }}"),
    ("{{title}} {{speech.language}} {{language}}", "One en en"),
    ("{{odd}}", "{{name}} {{{{"),
    ("{{company}} {{city}}", "Acme Köln"),
]


@pytest.mark.parametrize(("text", "filled"), TEMPLATES)
def test_templates_are_filled_once(tmp_path: Path, text: str, filled: str) -> None:
    """Variables stand for the row's columns and the shared variables; what was put in is not looked at again."""
    row = {"title": "One", "text": text, "language": "en", "variables": {"name": "Anna", "odd": "{{name}} {{{{"}}
    defaults = SHARED | {"variables": {"company": "Acme", "city": "Köln", "name": "nobody"}}

    (found,) = requests(read(tmp_path, json.dumps(row), "jsonl", defaults))

    assert found["speech"]["text"] == filled


def test_templates_work_in_all_texts(tmp_path: Path) -> None:
    """Titles, labels, media addresses and tags of the shared fields are personal too."""
    defaults = {
        "title": "For {{name}}",
        "avatar": {"image": "s3://staging/{{id}}.png"},
        "speech": {"text": "Hello {{name}}"},
        "labels": {"text": "AI for {{name}}"},
        "tags": ["{{name}}", "all"],
    }

    (found,) = requests(read(tmp_path, "Name,ID\nAnna,007\n", defaults=defaults))

    assert found == {
        "title": "For Anna",
        "avatar": {"kind": "portrait", "image": "s3://staging/007.png"},
        "speech": {"kind": "script", "text": "Hello Anna"},
        "labels": {"text": "AI for Anna"},
        "tags": ["Anna", "all"],
    }


MATRIX = """
name: Spring greetings
defaults:
  title: "{{name}} {{language}}"
matrix:
  market:
  - {language: en, text: "Hello {{name}}", voice: heart}
  - {language: no, text: "Hei {{name}}"}
  image: [s3://staging/a.png, s3://staging/b.png]
  avatar.kind: [portrait]
rows:
- name: Anna
- {name: Bo, speed: 1.5}
"""


def test_matrix_multiplies_rows(tmp_path: Path) -> None:
    """One script, times names, times languages with their own texts and voices, times avatars, in the written order."""
    rows = read(tmp_path, MATRIX, "yaml")
    found = requests(rows)

    assert [row.number for row in rows] == list(range(1, 9))
    assert [row["title"] for row in found[::2]] == ["Anna en", "Anna no", "Bo en", "Bo no"]
    assert [row["avatar"]["image"][-5] for row in found] == list("abababab")
    assert found[0]["speech"] == {"kind": "script", "text": "Hello Anna", "language": "en", "voice": "heart"}
    assert found[-1]["speech"] == {"kind": "script", "text": "Hei Bo", "language": "no", "speed": 1.5}
    assert name_in(tmp_path / "manifest", "yaml") == "Spring greetings"


def test_matrix_alone_and_over_a_spreadsheet(tmp_path: Path) -> None:
    """A matrix needs no rows; as a shared field it multiplies the rows of a spreadsheet as well."""
    matrix = {"name": ["Anna", "Bo"], "speech": [{"text": "Hi {{name}}"}, {"audio": "s3://staging/{{name}}.wav"}]}

    alone = requests(read(tmp_path, json.dumps({"defaults": SHARED, "matrix": matrix}), "yaml"))
    over = requests(read(tmp_path, "title\nOne\nTwo\n", defaults=SHARED | {"matrix": matrix}))

    assert [list(row["speech"].values())[-1] for row in alone] == [
        "Hi Anna",
        "s3://staging/Anna.wav",
        "Hi Bo",
        "s3://staging/Bo.wav",
    ]
    assert [row["title"] for row in over] == ["One"] * 4 + ["Two"] * 4


def test_shared_fields_of_a_document_win_over_those_of_the_run(tmp_path: Path) -> None:
    """What is written closer to the rows counts; variables and fields of both are there."""
    document = {"defaults": {"title": "Mine", "variables": {"a": "2"}}, "rows": [{"text": "{{a}} {{b}}"}]}
    defaults = SHARED | {"title": "Theirs", "provider": "local", "variables": {"a": "1", "b": "3"}}

    (found,) = requests(read(tmp_path, json.dumps(document), "yaml", defaults))

    assert found["title"] == "Mine"
    assert found["provider"] == "local"
    assert found["speech"]["text"] == "2 3"


def test_yaml_means_what_people_write(tmp_path: Path) -> None:
    """Norwegian is no boolean, a date is a text, and ids stay as they are."""
    content = "- {avatar_id: 0123, text: 'On {{day}}', day: 2026-05-01, language: no, labels: {visible: no}}\n"

    (found,) = requests(read(tmp_path, content, "yaml"))

    assert found["speech"] == {"kind": "script", "text": "On 2026-05-01", "language": "no"}
    assert found["labels"] == {"visible": False}


def test_media_references_can_be_replaced(tmp_path: Path) -> None:
    """Whoever knows where files are puts addresses in their place, after templates are filled; its no is a problem."""
    seen = []

    def resolve(field: str, reference: str) -> str | Problem:
        seen.append((field, reference))
        return Problem(field, "is gone.", "Bring it.") if "gone" in reference else FACE

    rows = read(tmp_path, "name,text\nanna,Hello Anna\ngone,x\n", defaults={"image": "{{name}}.png"}, resolve=resolve)

    assert requests(rows[:1]) == [ANNA]
    assert str(rows[1]) == "row 2 (line 3), avatar.image: is gone. Bring it."
    assert seen == [("avatar.image", "anna.png"), ("avatar.image", "gone.png")]


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.CSV", b"x", "csv"),
        ("a.tsv", b"x", "csv"),
        ("a.jsonl", b"x", "jsonl"),
        ("a.ndjson", b"x", "jsonl"),
        ("a.yml", b"x", "yaml"),
        ("a.json", b'[{"text": "x"}]', "yaml"),
        ("a.json", b'{\n  "rows": []\n}', "yaml"),
        ("a.json", b'{"text": "x"}\n{"text": "y"}\n', "jsonl"),
        ("upload", b'\n{"text": "x"}\n', "jsonl"),
        ("upload.txt", b"title\ttext\r\n", "csv"),
        ("upload", "\ufeffsep=;\r\n".encode(), "csv"),
        ("upload", "text;image".encode("utf-16"), "csv"),
        ("upload", b"# greetings\nrows:\n- text: x", "yaml"),
        ("upload", b"- text: x", "yaml"),
        ("a.csv", b"\xffnot utf-8", "csv"),
    ],
)
def test_kinds_of_files(name: str, head: bytes, kind: str) -> None:
    """The extension decides, and the content where it says nothing."""
    assert kind_of(name, head) == kind


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("a.xlsx", b"PK\x03\x04rest", "CSV UTF-8"),
        ("a.csv", b"PK\x03\x04rest", "Excel workbook"),
        ("a.xls", b"\xd0\xcf\x11\xe0rest", "old Excel"),
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \r\n", "is empty"),
        ("a.csv", b"t\x00e\x00x\x00t\x00", "not a text file"),
        ("a.csv", b"\xff\xfe\x00\x00t", "UTF-32"),
        ("photo.png", b"\x89PNG\r\n", "no manifest"),
        ("notes.txt", b"Dear all,\nthanks", "no manifest"),
    ],
)
def test_other_files_are_refused(name: str, head: bytes, words: str) -> None:
    """A workbook, a picture or a letter is told from a manifest, with the way out."""
    with pytest.raises(RequestRefused, match=words):
        kind_of(name, head)


# Normalised rows


def test_normalised_rows_are_deterministic(tmp_path: Path) -> None:
    """The same requests, however written, are the same lines and the same batch; duplicates stay."""
    csv = read(tmp_path, "image,text,title\n" + f"{FACE},Hello Anna,\n" * 3)
    yaml = read(tmp_path, "[{text: Hello Anna}, {}, {speech: {text: Hello Anna}}]".replace("{}", "{text: Hello Anna}"),
                "yaml", SHARED)  # fmt: skip
    other = read(tmp_path, f"image,text,title\n{FACE},Hello Anna,\n{FACE},Hello Anna,x\n")

    one = normalise(csv, tmp_path / "one", 2)
    two = normalise(yaml, tmp_path / "two", 100)

    assert one.batch_id == two.batch_id
    assert len(one.batch_id) == 32
    assert normalise(other, tmp_path / "three", 2).batch_id != one.batch_id
    assert [path.name for path in one.shards] == ["rows-0001.jsonl", "rows-0002.jsonl"]
    assert one.rows == 3
    assert b"".join(path.read_bytes() for path in one.shards) == two.shards[0].read_bytes()
    assert json.loads(two.shards[0].read_bytes().splitlines()[0]) == {"number": 1, "request": ANNA}


def test_shards_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Rows survive the way through the files, unusual letters included."""
    rows = read(tmp_path, json.dumps({"image": FACE, "text": "Grüße 你好 \u2028 😀 {{{{ \n\tend"}), "jsonl")

    found = normalise(rows, tmp_path / "out", 10)

    assert [row for path in found.shards for row in read_shard(path)] == rows
    assert "{{ " in rows[0].request.speech.text


def test_damaged_shards_are_refused(tmp_path: Path) -> None:
    """A file of another version is refused in words, with its line."""
    (tmp_path / "rows-0001.jsonl").write_text('{"number": 1, "request": {"avatar": 1}}\n')

    with pytest.raises(RequestRefused, match=r"rows-0001.jsonl, line 1"):
        list(read_shard(tmp_path / "rows-0001.jsonl"))


def test_problems_are_counted_and_the_first_kept(tmp_path: Path) -> None:
    """Bad rows are left out of the files; problems and the rows that have them are counted to the end."""
    rows = read(tmp_path, "image,text,speed\n" + "x.png,Hi,9\n" * 150 + f"{FACE},Hi,1\n")

    found = normalise(iter(rows), tmp_path / "out", 10)
    whole = normalise(iter(rows), tmp_path / "out", 10, most_problems=None)

    assert (found.rows, found.bad_rows, found.problem_count, len(found.problems)) == (1, 150, 300, 100)
    assert len(whole.problems) == 300
    assert [row.number for path in found.shards for row in read_shard(path)] == [151]


def test_manifest_lines_are_read_back(tmp_path: Path) -> None:
    """A request that is written as a manifest line is the same when it is read, braces in texts included."""
    (row,) = read(tmp_path, json.dumps({"image": FACE, "text": "{{{{a}} {{{{{{{{ {"}), "jsonl")

    (again,) = read(tmp_path, manifest_line(row.request), "jsonl")

    assert row.request.speech.text == "{{a}} {{{{ {"
    assert again == row


def test_lines_without_end_are_refused(tmp_path: Path) -> None:
    """A file that is one endless line does not fill the memory."""
    with pytest.raises(RequestRefused, match="line 3: is longer"):
        read(tmp_path, f"image,text\n{FACE},Hi\n" + "x" * 2_000_000)


def test_reading_streams(tmp_path: Path) -> None:
    """Rows come one by one: what is asked for is read, not the whole file."""
    rows = read_rows(tmp_path / "manifest", "jsonl", SHARED)
    (tmp_path / "manifest").write_text('{"text": "Hello Anna"}\n' * 1000)
    first = next(rows)
    (tmp_path / "manifest").write_text("")

    assert isinstance(first, ManifestRow)
    assert sum(1 for _ in rows) < 999
