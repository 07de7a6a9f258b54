"""What is wrong with manifests, each in words with row, line, column and the way out."""

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.batch.manifest import RowProblem, kind_of, read_list, read_rows
from tasks.errors import RequestRefused

FACE = "s3://staging/face.png"

# Columns, cells, what the message says.
CSV_ROWS = [
    ("image,text", f"{FACE},", "row 1 (line 2), speech.text: is empty. Fill it in."),
    ("image,text", ",Hi", "row 1 (line 2), avatar.image: is empty. Fill it in."),
    ("image", FACE, "row 1 (line 2), speech: is missing. Fill speech.text or speech.audio"),
    ("text", "Hi", "row 1 (line 2), avatar: is missing. Fill one of avatar.image, avatar.video"),
    ("image,text,language", f"{FACE},,en", "speech.text: is empty. Fill it in."),
    ("image,language", f"{FACE},en", "speech.kind: is missing or unknown. Set kind to one of script, recording."),
    ("image,text", f"{FACE},...", "speech.text: there is nothing to say, only spaces or signs. Write at least"),
    ("image,text", "face.png,Hi", "Local files work from the command line only: `studio batch run` uploads them"),
    ("image,text", "s3://staging,Hi", "avatar.image: 's3://staging' does not name an object. Write s3://bucket/key."),
    ("image,text", "https://a:b@c/d.png,Hi", "avatar.image: the address carries a user name or password."),
    ("image,text", "https://[,Hi", "avatar.image: 'https://[' is no address."),
    ("image,video,text", f"{FACE},s3://staging/a.mp4,Hi", "avatar: image and video are given together. Keep one"),
    ("image,text,audio", f"{FACE},Hi,s3://staging/a.wav", "speech: text and audio are given together. Keep one"),
    ("image,audio,language", f"{FACE},s3://staging/a.wav,en", "speech.language: does not go with this kind of speech."),
    ("image,text,language", f"{FACE},Hi,English!", "'English!' does not have the right form. Write a language tag"),
    ("image,text,speed", f"{FACE},Hi,3", "speech.speed: input should be less than or equal to 2. You gave '3'."),
    ("image,text,speed", f"{FACE},Hi,fast", "speech.speed: input should be a valid number"),
    ("image,text,output.fps", f"{FACE},Hi,26", "output.fps: 26 is not allowed. Choose 24, 25 or 30."),
    ("image,text,output.resolution", f"{FACE},Hi,8k", "output.resolution: '8k' is not allowed. Choose 'source'"),
    ("image,text,provider", f"{FACE},Hi,hollywood", "provider: 'hollywood' is not allowed. Choose 'auto'"),
    ("image,text,labels.visible", f"{FACE},Hi,maybe", "labels.visible: input should be a valid boolean"),
    ("image,text,labels.seconds", f"{FACE},Hi,1", "labels.seconds: the label must stay for 2 seconds or more. Write 0"),
    ("image,text,tags", f"{FACE},Hi,a;<b>", "tags.1: '<b>' does not have the right form. Use letters"),
    ("image,text,title", f"{FACE},Hi,{'t' * 201}", "title: string should have at most 200 characters."),
    ("image,text,avatar.kind", f"{FACE},Hi,hologram", "avatar.kind: is missing or unknown. Set kind to one of"),
    ("image,text", f"{FACE},Hello {{{{name}}}}", "speech.text: {{name}} is unknown in this row. There are avatar"),
    ("image,text,names", f"{FACE},{{{{name}}}} {{{{names}}}},x", "{{name}} is unknown in this row. Did you mean names"),
    ("image,text,name", f"{FACE},Hello {{{{name}}}},", "speech.text: {{name}} is empty in this row. Fill in name."),
    ("image,text,title", f"{FACE},Hello {{{{title}}}},", "speech.text: {{title}} is empty in this row."),
    ("image,text", f"{FACE},Hello {{{{name", "speech.text: a {{ is not followed by a name and }}. Write {{name}}, or"),
    ("image,text", f"{FACE},Hello {{{{}}}}", "speech.text: a {{ is not followed by a name and }}."),
    ("image,text", f"{FACE},Hello, you", "row: 'you' has no column: the header has 2, the row 3. Put a text"),
    ("image,,text", f"{FACE},what,Hi", "row: 'what' has no column"),
    ("image,text", f'{FACE},"Hi" there', "row 1 (line 2), row: the quotes do not match, up to line 2"),
    ("image,text", f'{FACE},"Hi\n{FACE},Ho', "row 1 (line 2), row: the quotes do not match, up to line 3"),
    ("image,text", b"s3://staging/face.png,Gr\xfc\xdfe", "text: holds bytes that are not UTF-8. Save the file as"),
]  # fmt: skip


def read(folder: Path, content: str | bytes, kind: Any, defaults: Any = None) -> list[str]:
    """The problems of a manifest, as people read them."""
    path = folder / "manifest"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [str(row) for row in read_rows(path, kind, defaults or {}) if isinstance(row, RowProblem)]


@pytest.mark.parametrize(("columns", "cells", "words"), CSV_ROWS)
def test_bad_rows_are_explained(tmp_path: Path, columns: str, cells: str | bytes, words: str) -> None:
    """Each mistake is one message that names row, line and column, says what is wrong, and what to do."""
    cells = cells if isinstance(cells, bytes) else cells.encode()

    (problem,) = read(tmp_path, columns.encode() + b"\n" + cells + b"\n", "csv")

    assert words in problem
    assert problem.startswith("row 1 (line 2), ")


def test_all_problems_of_a_row_are_named(tmp_path: Path) -> None:
    """Somebody who got three cells wrong is told of the three."""
    problems = read(tmp_path, "image,text,speed,provider\nx.png,Hi,9,me\n", "csv")

    assert [problem.split(": ")[0] for problem in problems] == [
        f"row 1 (line 2), {column}" for column in ("avatar.image", "speech.speed", "provider")
    ]


def test_rows_after_a_bad_one_are_read(tmp_path: Path) -> None:
    """One row with wrong quotes, or one damaged line, takes no other row with it."""
    csv = f'image,text\n{FACE},"Hi" there\n{FACE},Hi\n{FACE},\n'

    assert [problem[:5] for problem in read(tmp_path, csv, "csv")] == ["row 1", "row 3"]
    assert [problem[:5] for problem in read(tmp_path, '{"a\n{"image": "s3://st/a"}\n', "jsonl", {"text": "x"})] == [
        "row 1",
        "row 2",
    ]


STRUCTURED_ROWS = [
    ({"image": FACE, "txt": "Hi"}, "txt: is neither a field nor used as {{txt}} in a text. Did you mean text?"),
    ({"image": FACE, "text": "Hi", "fps": 25}, "fps: is neither a field nor used as {{fps}}"),
    ({"image": FACE, "text": "Hi", "zzzzzz": 25}, "Remove it, or write {{zzzzzz}} where its value belongs."),
    ({"image": FACE, "speech": {"text": "Hi", "txt": "Ho"}}, "speech.txt: is not a field of this form. Did you mean"),
    ({"avatar": FACE, "text": "Hi"}, "avatar: must be a group of fields (a JSON object). Give its fields by name."),
    ({"image": FACE, "text": "Hi", "speech.text": "Ho"}, "speech.text: is given twice. Write it once."),
    ({"image": FACE, "avatar": "x", "text": "Hi"}, "avatar: is given twice."),
    ({"image": FACE, "text": "{{a}}", "a": [1]}, "a: must be a text or a number. Put the value in quotes."),
    ({"image": FACE, "text": "{{a}}", "variables": {"a": True}}, "a: must be a text or a number."),
    ({"image": FACE, "text": "{{a}}", "variables": {"a": 1, "A": 2}}, "A: is given twice."),
    ({"image": FACE, "text": "Hi", "variables": "a=b"}, "variables: must hold names and values."),
    ({"image": FACE, "text": 5}, "speech.text: input should be a valid string. You gave 5."),
    ({"image": FACE, "text": ["Hi"]}, "speech.text: input should be a valid string."),
    ({"image": FACE, "text": "Hi", "output": {"fps": "25"}}, "output.fps: '25' is not allowed."),
    ({"image": FACE, "text": "Hi", "title": {"a": {"b": "{{c}}"}}}, "title: input should be a valid string."),
    ({"image": FACE, "text": "\ud800"}, "speech.text: "),
    ([1], "row: must be a group of fields (a JSON object). Give its fields by name."),
    (None, "row: must be a group of fields"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "words"), STRUCTURED_ROWS)
def test_bad_structured_rows_are_explained(tmp_path: Path, row: Any, words: str) -> None:
    """JSONL and the run form get the same messages; the form has no lines."""
    (from_file,) = read(tmp_path, json.dumps(row), "jsonl")
    (from_form,) = [str(problem) for problem in read_list([row], {})]

    assert words in from_file
    assert from_file.startswith("row 1 (line 1), ")
    assert from_form == from_file.replace(" (line 1)", "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "is not valid JSON: Expecting property name"),
        ("{'text': 'x'}", "Write one object a line, in double quotes."),
        ('{"speed": NaN}', "NaN is no value of JSON"),
        ('{"a": ' + "9" * 5000 + "}", "is not valid JSON"),
        ("[" * 100_000, "is nested too deep."),
        ('{"text": ' + "[" * 500 + "]" * 500 + "}", "speech.text: input should be a valid string."),
        ('{"text": ' + '{"a":' * 500 + "1" + "}" * 501, "speech.text: input should be a valid string."),
        (b'{"text": "Gr\xfc\xdfe"}', "holds bytes that are not UTF-8."),
    ],
)
def test_bad_lines_of_json_are_explained(tmp_path: Path, line: str | bytes, words: str) -> None:
    """What is no JSON object is named with its line, however strange it is."""
    (problem,) = read(tmp_path, line, "jsonl", {"image": FACE})

    assert words in problem


FILES = [
    ("a.csv", "image,spech.text\n", "used as {{spech.text}} in a text. Did you mean speech.text?"),
    ("a.csv", "image,text,comment,owner\nx,y,z,\n", "owner: is neither a field"),
    ("a.csv", "image,text,TEXT\n", "TEXT: is given twice. Keep one of the columns."),
    ("a.csv", "image,text,script\n", "script: is given twice."),
    ("a.csv", "image,text,name,Name\n,{{name}},,\n", "Name: is given twice."),
    ("a.csv", f"{FACE},Hello\n", "names no field of the form. The first line must name the columns"),
    ("a.csv", "image,text\n", "holds no rows. Write one row per video."),
    ("a.csv", "image,text\n,\n , \n", "holds no rows."),
    ("a.csv", "\n\n", "is empty. Write a header"),
    ("a.csv", '"image,text\nx', "header: cannot be read"),
    ("a.csv", b"image,t\xe4xt\n", "header: is not UTF-8 text."),
    ("a.csv", "image,text".encode("utf-16") + b"\x00\xd8", "is no text"),
    ("a.jsonl", "\n\n", "holds no rows."),
    ("a.yaml", "rows: [", "is not valid: line 2: did not find expected node content."),
    ("a.yaml", "rows: " + "[" * 100_000, "line 1 is nested too deep"),
    ("a.yaml", "rows: &a [*b]", "found undefined alias"),
    ("a.yaml", "a: &a [*a]", "holds more than"),
    ("a.yaml", "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(8)),
     "holds more than"),
    ("a.yaml", "hello", "holds no rows."),
    ("a.yaml", "row: []", "row: is none of name, defaults, matrix, rows. Did you mean rows?"),
    ("a.yaml", "title: x\nrows: []", "title: is none of name, defaults, matrix, rows. Put fields that all rows share"),
    ("a.yaml", "name: x", "holds neither rows nor a matrix."),
    ("a.yaml", "rows: {a: b}", "rows: must be a list. Begin each row with a hyphen."),
    ("a.yaml", "rows: []", "holds no rows."),
    ("a.yaml", "defaults: [1]\nrows: []", "defaults: must hold fields and values."),
    ("a.yaml", "defaults: {txt: Hi}\nrows: [{}]", "defaults, txt: is neither a field nor used"),
    ("a.yaml", "matrix: [1]", "matrix: must hold names and lists."),
    ("a.yaml", "matrix: {language: en}", "matrix.language: must be a list"),
    ("a.yaml", "matrix: {language: []}", "matrix.language: must be a list with at least one value."),
    ("a.yaml", "matrix: {langauge: [en, de]}", "matrix, langauge: is neither a field nor used as {{langauge}} in"),
    ("a.yaml", "matrix:\n" + "".join(f"  v{i}: [{','.join('0123456789')}]\n" for i in range(7))
     + "defaults: {text: '" + "".join(f"{{{{v{i}}}}}" for i in range(7)) + "'}", "makes 10000000 videos of a row"),
    ("a.yaml", "!!python/object:os.system {}", "could not determine a constructor"),
    ("a.yaml", "!!int ''", "is not valid"),
    ("a.yaml", "!!timestamp x", "is not valid"),
    ("a.yaml", "? [a, b]\n: c", "is not valid"),
    ("a.yaml", "[" * 20_000, "is not valid"),
    ("a.yaml", b"rows:\n- text: Gr\xfc\xdfe", "a.yaml, line 2: holds bytes that are not UTF-8."),
    ("a.json", '{"rows": [}', "is not valid"),
    ("a.yaml", "x" * 17_000_000, "is longer than 16000000 signs. Write large manifests as CSV or JSONL."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), FILES, ids=range(len(FILES)))
def test_bad_files_are_refused_as_a_whole(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    """What is wrong with the file itself is said once, before any row, instead of once per row."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(RequestRefused) as refused:
        list(read_rows(path, kind_of(name, b"[x"), {}))

    assert words in str(refused.value)


def test_all_wrong_columns_are_named_at_once(tmp_path: Path) -> None:
    """Somebody who mistyped two columns is told of both."""
    (tmp_path / "a.csv").write_text("image,txet,titel,text\n")

    with pytest.raises(RequestRefused) as refused:
        list(read_rows(tmp_path / "a.csv", "csv", {}))

    assert [problem.field for problem in refused.value.problems] == ["txet", "titel"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{language: de}", "row 1, speech.language: is set twice, by the row and by the matrix. Set it in one place."),
        ("{speech: {language: de}}", "row 1, speech.language: is set twice"),
        ("{name: Bo}", "row 1, name: is set twice"),
        ("{variables: {name: Bo}}", "row 1, name: is set twice"),
    ],
)
def test_rows_that_fight_with_the_matrix_are_refused(tmp_path: Path, row: str, words: str) -> None:
    """Where row and matrix set the same, one of them would be lost, and rows would be rendered in vain."""
    content = f"defaults: {{image: '{FACE}', text: '{{{{name}}}}'}}\nmatrix: {{language: [en, de], name: [Anna]}}\n"

    problems = read(tmp_path, f"{content}rows: [{row}]", "yaml")

    assert len(problems) == 2
    assert words in problems[0]


def test_missing_files_are_refused(tmp_path: Path) -> None:
    """A file that is not there is a refusal like any other."""
    with pytest.raises(RequestRefused, match="No such file"):
        list(read_rows(tmp_path / "none.csv", "csv", {}))
