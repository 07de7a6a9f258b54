"""Manifests under generated input: nonsense is refused in words, and good rows come through every form unchanged."""

import contextlib
import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.batch.manifest import (
    ManifestRow,
    RowProblem,
    given_fields,
    kind_of,
    manifest_line,
    normalise,
    read_list,
    read_rows,
    read_shard,
)
from tasks.batch.manifest.columns import SHORT_NAMES
from tasks.batch.manifest.templates import Values, escape, fill
from tasks.errors import RequestRefused
from tests.unit.test_request_fuzz import NONSENSE, REQUESTS

NAMES = st.sampled_from(
    [*SHORT_NAMES, *SHORT_NAMES.values(), "title", "tags", "avatar", "speech", "variables", "name", "matrix", "rows"]
)
DEFAULTS = st.none() | st.dictionaries(NAMES | st.text(max_size=5), NONSENSE, max_size=4)
PIECES = st.sampled_from(
    ["text", "image", "title", "sep=", ";", ",", "\t", '"', "\n", "\r\n", "\r", "{{", "}}", "{{name}}", "name", "{",
     "}", "[", "]", ":", "- ", "  ", "&a ", "*a", "!!int ", "s3://staging/a.png", "Hi", "\ufeff", "\x00", "#", "|",
     "rows:\n"]
)  # fmt: skip
KINDS = st.sampled_from(["csv", "jsonl", "yaml"])
SIGNS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def outcome(rows: Any) -> list[ManifestRow | RowProblem] | RequestRefused:
    """What reading ends with; anything else than rows, problems and refusals fails the test."""
    refusal = None
    try:
        found = list(rows)
    except RequestRefused as refused:
        refusal = refused
    if refusal is not None:
        assert refusal.problems
        assert all(problem.field and problem.wrong and problem.fix for problem in refusal.problems), refusal
        str(refusal).encode()
        return refusal
    assert found
    for row in found:
        assert isinstance(row, ManifestRow | RowProblem)
        if isinstance(row, RowProblem):
            assert row.column
            assert row.wrong
            assert row.fix
            str(row).encode()
    return found


def read_bytes(content: bytes, kind: Any, defaults: Any = None) -> list[ManifestRow | RowProblem] | RequestRefused:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest"
        path.write_bytes(content)
        return outcome(read_rows(path, kind, defaults or {}))


@given(
    st.binary(max_size=200) | st.lists(PIECES | SIGNS, max_size=30).map(lambda parts: "".join(parts).encode()), KINDS
)
@example(b"\xff\xfe\x00", "csv")
@example(b"\xff\xfe\x00\xd8", "yaml")
@example(b'""\n', "csv")
@settings(max_examples=400)
def test_any_file_is_read_or_refused_in_words(content: bytes, kind: str) -> None:
    """Whatever bytes a file holds, the answer is rows, problems with rows, or a refusal."""
    with contextlib.suppress(RequestRefused):
        kind_of("upload", content)

    read_bytes(content, kind)


@given(st.lists(st.dictionaries(NAMES | SIGNS, NONSENSE | SIGNS, max_size=5) | NONSENSE, max_size=4), DEFAULTS)
@settings(max_examples=300)
def test_any_list_is_read_or_refused_in_words(rows: list[Any], defaults: Any) -> None:
    """Whatever the run form sends as rows and shared fields, nothing else comes out."""
    outcome(read_list(rows, defaults or {}))


@given(st.lists(st.dictionaries(NAMES, NONSENSE, max_size=5), max_size=3), NONSENSE, NONSENSE)
@settings(max_examples=200)
def test_any_document_is_read_or_refused_in_words(rows: list[Any], defaults: Any, matrix: Any) -> None:
    """The same of a YAML document, with anything in the place of its parts."""
    document = {"rows": rows, "defaults": defaults, "matrix": matrix}

    read_bytes(json.dumps(document).encode(), "yaml")


CELLS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="{\u2028\u2029"), min_size=1, max_size=15
)
LINES = st.lists(CELLS, min_size=1, max_size=3).map("\n".join).filter(lambda text: any(map(str.isalnum, text)))


@given(
    st.lists(st.tuples(LINES, CELLS), min_size=1, max_size=5),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_a_spreadsheet_writes_is_read(
    rows: list[tuple[str, str]], delimiter: str, end: str, quoting: Any, encoding: str
) -> None:
    """Texts come out of a CSV file as they went in, in every dialect, apart from the spaces around them."""
    sheet = io.StringIO()
    writer = csv.writer(sheet, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(["text", "title"])
    writer.writerows(rows)

    found = read_bytes(sheet.getvalue().encode(encoding), "csv", {"image": "s3://staging/a.png"})

    assert isinstance(found, list)
    assert [(row.request.speech.text, row.request.title) for row in found if isinstance(row, ManifestRow)] == [
        (text.strip(), title.strip()) for text, title in rows
    ]


def without_braces(request: Any) -> bool:
    return "{{" not in json.dumps(request)


@given(st.lists(REQUESTS.filter(without_braces), min_size=1, max_size=4))
def test_good_requests_come_through_every_form(raw: list[dict[str, Any]]) -> None:
    """What the form of one video takes, a row takes too; JSONL, YAML and the run form agree, and shards keep it."""
    lines = "\n".join(map(json.dumps, raw)).encode()
    listed = outcome(read_list(raw, {}))

    assert isinstance(listed, list)
    assert all(isinstance(row, ManifestRow) for row in listed)
    assert read_bytes(lines, "jsonl") == listed
    assert read_bytes(yaml.safe_dump(raw).encode(), "yaml") == listed
    with tempfile.TemporaryDirectory() as folder:
        found = normalise(listed, Path(folder), 3)
        assert [row for path in found.shards for row in read_shard(path)] == listed
    assert (
        outcome(read_list([given_fields(row.request) for row in listed if isinstance(row, ManifestRow)], {})) == listed
    )


@given(REQUESTS, st.text(st.sampled_from("{}a "), min_size=1, max_size=12))
def test_braces_come_through_a_written_manifest(raw: dict[str, Any], text: str) -> None:
    """A request that was filled in already is not filled in again when its line is read."""
    (row,) = read_list([raw | {"title": escape(f"a{text}")}], {})
    assert isinstance(row, ManifestRow)

    assert row.request.title == f"a{text}".strip()
    assert read_bytes(manifest_line(row.request).encode(), "jsonl") == [row]


@given(st.text(st.sampled_from("{}ab ") | st.characters(exclude_categories=["Cs"])))
def test_escaped_texts_are_filled_back(text: str) -> None:
    """Four braces are two, wherever they stand."""
    assert fill(escape(text), Values(lambda _: None, list)) == text
