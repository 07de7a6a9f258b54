"""What one sandbox consists of, and where it keeps it."""

from dataclasses import dataclass
from pathlib import Path

from infra.sandbox.faults import FaultBook, Holds
from infra.sandbox.rate import RateMeter
from infra.sandbox.renders import Workshop
from infra.sandbox.truth import Truth
from infra.sandbox.zego.vendor import Zego


@dataclass(frozen=True)
class Folders:
    """The places below the sandbox's folder.

    truth.db     jobs, uploads, charges, streams, settings
    link.key     signs upload addresses and result links
    uploads/     files that customers uploaded
    inputs/      files that were fetched from customers
    results/     finished videos, by vendor
    clips/       ready clips, where the clip renderer is used
    """

    root: Path

    @property
    def uploads(self) -> Path:
        """Uploaded files."""
        return self.root / "uploads"

    @property
    def inputs(self) -> Path:
        """Fetched files."""
        return self.root / "inputs"

    @property
    def results(self) -> Path:
        """Finished videos."""
        return self.root / "results"

    def media(self) -> list[Path]:
        """The folders that hold media."""
        return [self.uploads, self.inputs, self.results]

    def prepare(self) -> None:
        """Create what is missing."""
        for folder in self.media():
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class House:
    """What the control side steers."""

    folders: Folders
    truth: Truth
    rate: RateMeter
    faults: FaultBook
    holds: Holds
    workshop: Workshop
    zego: Zego
