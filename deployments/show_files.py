"""A rundown on this machine: the recordings that its cues name beside it, and its way to where a run can read it."""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from deployments.requests import is_local
from tasks.errors import Problem, RequestRefused
from tasks.show.document import read_document
from tasks.show.reading import check_rundown
from tasks.show.rundown import Rundown
from tasks.staging import stage_file
from tasks.storage import ObjectStore

MEDIA_FIELDS = ("audio", "recording")
"""The fields of a cue that name media."""
_STAND_IN = "s3://staging/on-this-machine"


class RundownFile:
    """A rundown on this machine, whose fields have been checked; its recordings are there.

    Args:
        path: of the file, YAML or JSON.

    Raises:
        RequestRefused: naming everything that is wrong with the file, its fields, or its recordings.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._values = read_document(path)
        self._local = list(_local_media(self._values, path.parent))
        for _, cue, name, _ in self._local:
            # The form allows addresses only; each local file gets one as soon as the rundown is known to be good.
            cue[name] = _STAND_IN
        self.rundown: Rundown = check_rundown(self._values)
        missing = [
            Problem(
                f"{where}.{name}",
                f"{str(file)!r} {'is not a file' if file.exists() else 'does not exist'}.",
                "Give the path of a file, counted from the rundown's folder, without file://.",
            )
            for where, _, name, file in self._local
            if not file.is_file()
        ]
        if missing:
            raise RequestRefused(missing)

    @property
    def recordings(self) -> list[Path]:
        """The files on this machine that its cues name, each once."""
        return list(dict.fromkeys(file for *_, file in self._local))

    async def upload(self, store: ObjectStore) -> str:
        """Upload its recordings and itself; returns its s3:// address. The same content is the same object.

        Raises:
            StorageError: the object store does not answer or refuses.
        """
        staged = {file: await stage_file(store, file) for file in self.recordings}
        for _, cue, name, file in self._local:
            cue[name] = staged[file]
        body = json.dumps(self._values, ensure_ascii=False, indent=2).encode()
        digest = hashlib.sha256(body).hexdigest()[:16]
        # The run is called after its file, as a rundown in a file is read later.
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.rundown.title or self.path.stem)[:60].strip("-.") or "rundown"
        key = f"rundowns/{digest}/{name}.json"
        await store.put_bytes(store.staging_bucket, key, body, content_type="application/json")
        return f"s3://{store.staging_bucket}/{key}"


def _local_media(values: dict[str, Any], folder: Path) -> Iterator[tuple[str, dict[str, Any], str, Path]]:
    """Where, cue, field and file of all local media; whatever has another form is left to the check of the fields."""
    for where, cue in _cues(values.get("cues"), "cues"):
        for name in MEDIA_FIELDS:
            reference = cue.get(name)
            if isinstance(reference, str) and _is_path(reference):
                yield where, cue, name, folder / Path(reference).expanduser()


def _cues(given: Any, above: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, cue in enumerate(given if isinstance(given, list) else [], start=1):
        if isinstance(cue, dict):
            yield f"{above}.{number}", cue
            yield from _cues(cue.get("loop"), f"{above}.{number}.loop")


def _is_path(reference: str) -> bool:
    try:
        return is_local(reference)
    except ValueError:
        # No address either, which the form says better.
        return False
