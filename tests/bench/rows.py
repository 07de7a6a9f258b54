"""What a bench found: one row per figure, with its baseline from the same run."""

from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True)
class Limit:
    """A wanted upper bound, on the worst sample or on the ratio."""

    at_most: float
    of: Literal["measured", "ratio"] = "measured"


@dataclass(frozen=True)
class Row:
    """One figure, measured in one or more rounds.

    Args:
        what: what was measured, for people.
        samples: one figure per round, in ``unit``.
        unit: of samples and baseline alike.
        baseline: what the figure is held against, for people.
        baseline_samples: measured in the same rounds, between the samples.
        wanted: the bound, where there is one.
        note: what else a reader should know.
    """

    what: str
    samples: list[float]
    unit: str = "s"
    baseline: str = ""
    baseline_samples: list[float] = field(default_factory=list)
    wanted: Limit | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """The middle of the samples."""
        return median(self.samples)

    @property
    def worst(self) -> float:
        """The largest sample."""
        return max(self.samples)

    @property
    def ratio(self) -> float | None:
        """Measured over baseline, the middle over the rounds: load of the machine is alike within a round."""
        if not self.baseline_samples:
            return None
        return median(mine / base for mine, base in zip(self.samples, self.baseline_samples, strict=True))

    @property
    def met(self) -> bool | None:
        """Whether the wanted bound is kept; None without one."""
        if self.wanted is None:
            return None
        found = self.worst if self.wanted.of == "measured" else self.ratio
        return found is not None and found <= self.wanted.at_most

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "what": self.what,
            "unit": self.unit,
            "samples": self.samples,
            "median": self.median,
            "worst": self.worst,
            "baseline": self.baseline,
            "baseline_samples": self.baseline_samples,
            "ratio": self.ratio,
            "wanted": {"at_most": self.wanted.at_most, "of": self.wanted.of} if self.wanted else None,
            "met": self.met,
            "note": self.note,
        }
