"""What a rundown is read from, and what it says of a wrong one before anybody is asked."""

import codecs
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import RequestRefused
from tasks.show.places import places
from tasks.show.reading import check_rundown, read_rundown, read_show
from tasks.show.rundown import TELLING, LoopCue, Rundown, ShowRequest, TextCue
from tests.bad_rundowns import FORM, GOOD, BadRundown

YAML = """
avatar: 0012
room: studio-1
timbre: v-public
starts_at: 2030-01-01 09:00:00+02:00
idle_seconds: 60
cues:
  - text: 2024
  - text: no
  - {script: 1.50, speed: 1.5}
  - loop:
      - pause: 1.5
      - action: 802_921474
    times: 3
"""


def refusal(values: object) -> list[tuple[str, str]]:
    """Fields and messages of a refused rundown."""
    with pytest.raises(RequestRefused) as refused:
        check_rundown(values)
    return [(problem.field, str(problem)) for problem in refused.value.problems]


@pytest.mark.parametrize("bad", FORM, ids=lambda bad: bad.name)
def test_wrong_fields_are_named(bad: BadRundown) -> None:
    """Each mistake is one message with the cue's number, the field and the way out."""
    ((field, message),) = refusal(bad.rundown())

    assert field == bad.field
    assert bad.words in message


async def test_form_and_file_get_the_same_messages(tmp_path: Path) -> None:
    """Whether a rundown came from the form or from a file, the cue is called the same."""
    bad = GOOD | {"cues": [{"text": "Hi"}, {"loop": [{"text": "Hi", "rate": 900}]}]}

    with pytest.raises(RequestRefused) as refused:
        await read_show.fn({"rundown": bad}, tmp_path)

    assert str(refused.value.problems[0]) == refusal(bad)[0][1]
    assert refused.value.problems[0].field == "cues.2.loop.1.rate"


def test_all_mistakes_are_named_at_once() -> None:
    """Somebody who got three things wrong is told of the three."""
    bad = GOOD | {"room": "a b", "cues": [{"text": ""}, {"pause": -1}]}

    assert [field for field, _ in refusal(bad)] == ["room", "cues.1.text", "cues.2.pause"]


@pytest.mark.parametrize("raw", [{}, {"rundown": GOOD, "file": "s3://staging/a.yaml"}])
async def test_one_source_is_wanted(tmp_path: Path, raw: dict[str, Any]) -> None:
    """Neither a rundown nor a file, or both, is told as such."""
    with pytest.raises(RequestRefused, match=r"rundown: .* Give one of them\."):
        await read_show.fn(raw, tmp_path)


@pytest.mark.parametrize("file", ["show.yaml", "/srv/show.yaml", "https://example.com/show.yaml", "s3://staging"])
async def test_file_must_be_an_object(tmp_path: Path, file: str) -> None:
    """A path on somebody's machine is no address for a worker."""
    with pytest.raises(RequestRefused, match=r"file: .*studio upload FILE"):
        await read_show.fn({"file": file}, tmp_path)


async def test_buckets_are_kept_apart(tmp_path: Path) -> None:
    """A rundown is read from no bucket but those that requests may name."""
    with pytest.raises(RequestRefused, match=r"file: the bucket 'secrets' may not be read from\."):
        await read_show.fn({"file": "s3://secrets/show.yaml"}, tmp_path)


def test_yaml_is_read_as_written(tmp_path: Path) -> None:
    """Ids keep their zeros, `no` is a word, a date is a moment, and numbers are numbers where a field wants them."""
    path = tmp_path / "show.yaml"
    path.write_text(YAML)

    rundown = read_rundown(path)

    assert rundown.avatar == "0012"
    assert rundown.starts_at is not None
    assert rundown.starts_at.isoformat() == "2030-01-01T09:00:00+02:00"
    said = [cue.text for cue in rundown.cues if isinstance(cue, TextCue)]
    assert said == ["2024", "no"]
    loop = rundown.cues[3]
    assert isinstance(loop, LoopCue)
    assert loop.times == 3
    assert [place.number for place in places(rundown)] == ["1", "2", "3", "4.1", "4.2"]


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE])
def test_editors_marks_are_understood(tmp_path: Path, mark: bytes) -> None:
    """A byte order mark of Windows' editors is no part of the first field's name."""
    encoding = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}.get(mark, "utf-8")
    path = tmp_path / "show.json"
    path.write_bytes(mark + json.dumps(GOOD | {"title": "Grüße 🎬"}, ensure_ascii=False).encode(encoding))

    assert read_rundown(path).title == "Grüße 🎬"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"# nothing yet\n", "does not hold a rundown"),
        (b"- text: Hi\n", "does not hold a rundown"),
        (b"Hello\n", "does not hold a rundown"),
        (b"room: a\nroom: b\n", "line 2 gives 'room' a second time"),
        (b"cues:\n  - text: Hi\n    text: Ho\n", "line 3 gives 'text' a second time"),
        (b'{"room": "a", "room": "b"}', "'room' is given twice in one group"),
        (b'{"cues": [{"text": "a", "text": "b"}]}', "'text' is given twice"),
        (b"a: &x [1]\nb: *x\n", "line 2 repeats something by an alias"),
        (b"a: &x [*x]\n", "repeats something by an alias"),
        (b"? [a, b]\n: c\n", "has a group where a name belongs"),
        (b"avatar: [\n", "the file is not valid: line 2"),
        (b"{", "the file is not valid"),
        (b"a: 1\n---\nb: 2\n", "line 2 begins a second rundown"),
        (b"a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        (b"a: " + b"[" * 100_000, "line 1 is nested too deep"),
        (b'{"a": ' * 100_000, "line 1 is nested too deep"),
        (b"title: Gr\xfc\xdfe\n", "line 1 holds bytes that are no text"),
        (b"room: a\ntitle: \xff\n", "line 2 holds bytes that are no text"),
        (b"PK\x03\x04\x00\x00", "it is not a text file"),
        (b"x" * (1024 * 1024 + 1), "the limit is 1048576"),
    ],
)
def test_unreadable_files_are_explained(tmp_path: Path, content: bytes, words: str) -> None:
    """A file that is no rundown is refused in words, whatever it is."""
    path = tmp_path / "show.yaml"
    path.write_bytes(content)

    with pytest.raises(RequestRefused) as refused:
        read_rundown(path)

    assert words in str(refused.value)
    assert refused.value.problems[0].field == "file"


def test_missing_file_is_explained(tmp_path: Path) -> None:
    """A mistyped name is told with the system's reason."""
    with pytest.raises(RequestRefused, match="cannot be read"):
        read_rundown(tmp_path / "gone.yaml")


def test_file_of_wrong_fields_names_them(tmp_path: Path) -> None:
    """A file that is valid YAML gets the words of the form."""
    path = tmp_path / "show.yaml"
    path.write_text(YAML.replace("pause: 1.5", "pause: 1:30"))

    with pytest.raises(RequestRefused, match=r"cues\.4\.loop\.1\.pause: input should be a valid number"):
        read_rundown(path)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_file_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, body: bytes) -> None:
    """Whatever lies in a file, it is a rundown or a refusal in words."""
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(body)

    with pytest.raises(RequestRefused):
        read_rundown(path)


def test_run_form_has_fields_for_cues() -> None:
    """Prefect's form shows unions in lists as raw JSON, so that a cue is one group with the fields of all kinds."""
    schema = ShowRequest.model_json_schema()

    cue = schema["$defs"]["Rundown"]["properties"]["cues"]["items"]["properties"]
    looped = cue["loop"]["items"]["properties"]
    assert set(TELLING) <= set(cue)
    assert set(TELLING) - {"loop"} <= set(looped)
    assert not [name for name, field in cue.items() if "default" in field or "anyOf" in field]
    assert cue["channel"]["title"] == "Audio file: Channel"
    assert "kind" not in cue


def test_fields_that_the_form_left_empty_are_other_kinds() -> None:
    """A field that was filled in and emptied again is sent as an empty text."""
    cue = {"text": "Hi", "timbre": "", "audio": "", "channel": None, "loop": None}

    (read,) = check_rundown(GOOD | {"cues": [cue]}).cues

    assert read == TextCue(text="Hi")


def test_kinds_need_not_be_written() -> None:
    """Every kind of cue is told by its field, also when it went through Prefect's form and back."""
    cues = [
        {"text": "Hi"},
        {"audio": "s3://staging/a.mp3"},
        {"recording": "s3://staging/a.ogg"},
        {"script": "Hi"},
        {"pipe": "live", "seconds": 5},
        {"action": "wave"},
        {"pause": 1},
        {"loop": [{"text": "Hi"}]},
    ]

    rundown = Rundown.model_validate(GOOD | {"cues": cues})

    kinds = ["text", "audio", "pcm", "speech", "pipe", "action", "pause", "loop"]
    assert [cue.kind for cue in rundown.cues] == kinds
    assert Rundown.model_validate_json(rundown.model_dump_json()) == rundown
