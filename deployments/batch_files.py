"""A manifest on this machine: its kind, its shared fields, and the media files that its rows name beside it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deployments.requests import is_local
from tasks.batch.manifest import HEAD_BYTES, ManifestKind, Resolve, Rows, kind_of, name_in, read_rows
from tasks.batch.manifest.assembly import MEDIA
from tasks.batch.manifest.columns import GROUPS, normal, place_of
from tasks.batch.manifest.documents import read_values
from tasks.errors import Problem, RequestRefused

_STAND_INS = "s3://staging/on-this-machine/"


class ManifestFile:
    """A manifest on this machine.

    Args:
        path: of the file.
        defaults: file of shared fields, YAML or JSON.

    Raises:
        RequestRefused: one of the files is missing, or not what it should be.
    """

    def __init__(self, path: Path, defaults: Path | None = None) -> None:
        self.path = path
        self.kind: ManifestKind = kind_of(path.name, _head(path))
        self.defaults = {} if defaults is None else read_defaults(defaults)

    @property
    def name(self) -> str:
        """What people call the batch: as the manifest says, else as the file is called."""
        return name_in(self.path, self.kind) or self.path.stem

    def rows(self, resolve: Resolve) -> Rows:
        """Read the rows. Arguments and errors as for `read_rows`."""
        return read_rows(self.path, self.kind, self.defaults, resolve=resolve)


def read_defaults(path: Path) -> dict[str, Any]:
    """Read shared fields; local media in them count from the file's folder.

    Raises:
        RequestRefused: the file is missing or does not hold fields.
    """
    raw = read_values(path)
    if not isinstance(raw, dict):
        raise RequestRefused([Problem(path.name, "does not hold fields.", "Write fields such as avatar and speech.")])
    anchored: dict[str, Any] = _anchored(raw, path.parent)
    return anchored


class LocalMedia:
    """Tells files on this machine from addresses, and keeps the files that rows name.

    Args:
        folder: where relative paths begin.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str | Problem] = {}
        self.files: dict[str, Path] = {}
        """The files that are there, by the address that stands for each until it is uploaded."""

    def stand_in(self, field: str, reference: str) -> str | Problem:
        """The address that stands for a local file; other references stay as they are."""
        if reference not in self._known:
            self._known[reference] = self._look(field, reference)
        found = self._known[reference]
        return Problem(field, found.wrong, found.fix) if isinstance(found, Problem) else found

    def resolver(self, staged: Mapping[Path, str]) -> Resolve:
        """Like `stand_in`, with the addresses at which the files are now."""

        def resolve(field: str, reference: str) -> str | Problem:
            found = self.stand_in(field, reference)
            return staged[self.files[found]] if isinstance(found, str) and found in self.files else found

        return resolve

    def _look(self, field: str, reference: str) -> str | Problem:
        if not _names_file(reference):
            return reference
        path = self._folder / Path(reference).expanduser()
        if not path.is_file():
            wrong = f"{reference!r} {'is not a file' if path.exists() else 'does not exist'}."
            return Problem(
                field, wrong, "Give the path of a file, counted from the manifest's folder, without file://."
            )
        # Resolved, so that two ways of writing a path are one file.
        path = path.resolve()
        address = _STAND_INS + hashlib.sha256(str(path).encode()).hexdigest()
        self.files[address] = path
        return address


def _names_file(reference: str) -> bool:
    try:
        return is_local(reference)
    except ValueError:
        # No address either, which the form says better.
        return False


def _anchored(value: Any, folder: Path, group: str = "", *, is_media: bool = False) -> Any:
    """A copy in which local media count from a folder, however deep they are."""
    if isinstance(value, dict):
        return {
            name: _anchored(
                one,
                folder,
                normal(name) if normal(name) in GROUPS else "",
                is_media=place_of(f"{group}.{name}" if group else name) in MEDIA,
            )
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_anchored(one, folder, group, is_media=is_media) for one in value]
    if is_media and isinstance(value, str) and value.strip() and _names_file(value):
        return str(folder.absolute() / Path(value.strip()).expanduser())
    return value


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})."
        raise RequestRefused([Problem(str(path), wrong, "Name a CSV, JSONL or YAML file.")]) from None
