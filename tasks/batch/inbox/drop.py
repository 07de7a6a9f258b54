"""A file that somebody dropped under `inbox/`, and where it goes from there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from uuid import NAMESPACE_URL, UUID, uuid5

from tasks.storage import ObjectFacts

INBOX, DONE, REJECTED = "inbox/", "done/", "rejected/"


@dataclass(frozen=True)
class Drop:
    """One file, at the moment at which it was dropped.

    Args:
        facts: as the store listed it.
    """

    facts: ObjectFacts

    @property
    def path(self) -> str:
        """Below `inbox/`, with the folders that people made there."""
        return self.facts.key.removeprefix(INBOX)

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(self.path).name

    @property
    def stem(self) -> str:
        """File name without its extension."""
        return PurePosixPath(self.path).stem

    @property
    def claim(self) -> str:
        """Names this drop and no other: the same file, dropped again later, is a new one and is run again."""
        when = f"{self.facts.modified:%Y%m%dT%H%M%SZ}" if self.facts.modified else "unknown"
        return f"inbox:{self.facts.bucket}/{self.facts.key}:{self.facts.etag}@{when}"

    @property
    def id(self) -> UUID:
        """The same, short enough for the metadata of an object."""
        return uuid5(NAMESPACE_URL, self.claim)

    def is_still(self, found: ObjectFacts | None) -> bool:
        """Whether what is under its key now is this drop; a HEAD tells times in whole seconds."""
        return (
            found is not None
            and (found.size, found.etag) == (self.facts.size, self.facts.etag)
            and (found.modified is None or Drop(found).claim == self.claim)
        )

    def places(self, folder: str) -> Iterator[str]:
        """Keys under which it may end, the first that is free is taken; the day is that of the drop, for a repeat."""
        day = f"{self.facts.modified:%Y-%m-%d}" if self.facts.modified else "undated"
        path = PurePosixPath(f"{folder}{day}/{self.path}")
        yield str(path)
        number = 2
        while True:
            yield str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
            number += 1


def is_manifest_drop(facts: ObjectFacts) -> bool:
    """Whether a person dropped it: not the mark of a folder, nor a file that programs keep beside their own."""
    name = facts.key.rpartition("/")[2]
    return bool(name) and not name.startswith((".", "~$"))
