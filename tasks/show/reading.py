"""From what a person gave to a rundown: out of the run form, or out of a file in the archive's buckets.

In messages cues are counted from 1 as in the record of the show: ``cues.3.text``, or ``cues.3.loop.2.text``.
"""

from pathlib import Path

from tasks.blocks import load_store
from tasks.errors import Problem, RequestRefused
from tasks.models import check_media_reference
from tasks.request import Place, Wording, read_form
from tasks.settings import get_settings
from tasks.show.document import LARGEST_BYTES, read_document
from tasks.show.rundown import TELLING, Rundown, ShowRequest
from tasks.staging import split_reference
from tasks.step import step
from tasks.storage import ObjectMissing

_LETTERS = "Use letters, digits, - and _ only"


def _path(place: Place) -> str:
    """A field's name without the form around it and without pydantic's tags of the kinds."""
    parts: list[str] = []
    before: int | str = ""
    for part in place:
        if isinstance(part, int):
            parts.append(str(part + 1))
        # A kind's tag stands between the number of a cue and the cue's field.
        elif not (isinstance(before, int) and part in TELLING.values()):
            parts.append(part)
        before = part
    return ".".join(parts[1:] if parts[:1] == ["rundown"] else parts)


def _give_one_of(*, is_inner: bool) -> str:
    kinds = [field for field in TELLING if not (is_inner and field == "loop")]
    return f"Give the cue one of {', '.join(kinds)}.{' A loop cannot hold another one.' if is_inner else ''}"


_WORDING = Wording(
    whole="rundown",
    path=_path,
    telling=TELLING,
    choices=lambda field: _give_one_of(is_inner=".loop." in field),
    missing={
        "avatar": "Give the id of a digital human; `studio catalog zego` lists them.",
        "room": "Name the room that viewers join.",
        "cues": "Write what happens, as a list.",
    },
    forms={
        "room": f"{_LETTERS}, at most 128.",
        "pipe": f"{_LETTERS}, at most 60.",
        "background": "Write a colour as #rrggbb.",
    },
)


@step("read the rundown")
async def read_show(raw: object, folder: Path) -> Rundown:
    """Read what a show was asked for with.

    Args:
        raw: the form of the flow: a rundown, or the s3:// address of a rundown file.
        folder: room on this machine for the life of the run.

    Raises:
        RequestRefused: naming every field that is wrong, and the way out.
        StorageError: the object store does not answer.
    """
    request = read_form(ShowRequest, raw, _WORDING)
    if request.rundown is not None:
        return request.rundown
    return read_rundown(await _fetch(request.file, folder / "rundown"))


def read_rundown(path: Path) -> Rundown:
    """Read a rundown file on this machine.

    Raises:
        RequestRefused: naming what is wrong with the file, or every field that is wrong in it.
    """
    return check_rundown(read_document(path))


def check_rundown(values: object) -> Rundown:
    """Read the fields of a rundown.

    Raises:
        RequestRefused: naming every field that is wrong, and the way out.
    """
    return read_form(Rundown, values, _WORDING)


async def _fetch(reference: str, path: Path) -> Path:
    try:
        is_object = check_media_reference(reference).startswith("s3://")
    except ValueError:
        is_object = False
    if not is_object:
        raise _refused(f"{reference!r} is not s3://bucket/key.", "`studio upload FILE` prints such an address.")
    bucket, key = split_reference(reference)
    if bucket not in get_settings().readable_buckets:
        allowed = ", ".join(sorted(get_settings().readable_buckets))
        raise _refused(f"the bucket {bucket!r} may not be read from.", f"Put the file into one of {allowed}.")
    store = await load_store(get_settings().storage_block)
    try:
        facts = await store.head(bucket, key)
        if facts is not None and facts.size > LARGEST_BYTES:
            raise _refused(f"the file has {facts.size} bytes; the limit is {LARGEST_BYTES}.", "Divide the show.")
        return (await store.get_file(bucket, key, path, limit=LARGEST_BYTES)).path
    except ObjectMissing:
        fix = "Check the spelling; `studio upload FILE` prints the address of a file."
        raise _refused(f"{reference} does not exist.", fix) from None


def _refused(wrong: str, fix: str) -> RequestRefused:
    return RequestRefused([Problem("file", wrong, fix)])
