"""The page of a batch: one HTML file with everything in it, which loads only pictures and videos.

Titles and reasons come from other people's spreadsheets. They travel as JSON, become text nodes in the browser, and the
page's own policy lets no script run but the one that is printed here.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from tasks.batch.report.outcomes_csv import amount_text
from tasks.batch.report.rows import Tally
from tasks.ledger.batch_models import HAS_VIDEO, Batch, BatchRow, RowState
from tasks.staging import split_reference
from tasks.storage import ObjectStore

MOST_VIDEOS = 10_000
"""Videos on one page, about 1 KB each; a larger page opens slowly on a phone. Rows without a video are all shown."""

ORDER = (
    RowState.FAILED,
    RowState.BLOCKED,
    RowState.UNFINISHED,
    RowState.RENDERING,
    RowState.NOT_STARTED,
    RowState.DONE,
    RowState.THERE,
)
"""The most urgent first."""


@dataclass(frozen=True)
class Links:
    """Makes links that work for a while."""

    store: ObjectStore
    lifetime: timedelta
    expire_at: datetime

    def to(self, address: str) -> str:
        """A link to an s3:// address; nothing for anything else."""
        if not address.startswith("s3://"):
            return ""
        bucket, key = split_reference(address)
        return self.store.presign_get(bucket, key, expires=self.lifetime) if bucket and key else ""


class PageRows:
    """Writes the rows that the page shows, one JSON object a line, safe inside a script element."""

    def __init__(self, file: TextIO, links: Links) -> None:
        self._file = file
        self._links = links
        self._videos = 0

    def add(self, rows: Iterable[BatchRow]) -> None:
        """Append rows; videos beyond ``MOST_VIDEOS`` are left to the table."""
        for row in rows:
            if row.state in HAS_VIDEO:
                self._videos += 1
                if self._videos > MOST_VIDEOS:
                    continue
            self._file.write(f"{htmlsafe_json_dumps(_cells(row, self._links))}\n")


def _cells(row: BatchRow, links: Links) -> dict[str, Any]:
    """What the page needs of a row, under short names; what is empty is left out."""
    cells = {
        "n": row.number,
        "s": row.state.value,
        "t": row.title,
        "p": row.provider,
        "k": row.render_key,
        "r": row.reason,
        "f": row.fix,
        "sec": row.seconds,
        "c": amount_text(row.estimate),
        "u": row.unit,
    }
    if row.state in HAS_VIDEO:
        cells |= {"a": row.video, "v": links.to(row.video), "i": links.to(row.poster)}
    return {name: value for name, value in cells.items() if value not in {"", None}}


def write_page(path: Path, batch: Batch, tally: Tally, *, lines: Path, csv_link: str, links: Links) -> None:
    """Write the page.

    Args:
        path: file to write.
        batch: its name and origin.
        tally: figures of all its rows.
        lines: what ``PageRows`` wrote.
        csv_link: link to the table.
        links: says until when they work, and where they lead.
    """
    public = urlsplit(links.store.public_address)
    style, script = _asset("report.css"), _asset("report.js")
    facts = {"order": ORDER, "hasVideo": sorted(HAS_VIDEO), "expires": int(links.expire_at.timestamp() * 1000)}
    with lines.open(encoding="utf-8") as rows:
        stream = _template().stream(
            batch=batch,
            title=batch.name or f"Batch {batch.id[:12]}",
            tiles=_tiles(tally),
            costs=_costs(tally),
            videos=tally.videos,
            shown_videos=min(tally.videos, MOST_VIDEOS),
            length=_length(tally.seconds),
            written_at=datetime.now(UTC),
            expire_at=links.expire_at,
            command=f"studio batch report {batch.id}",
            csv_link=csv_link,
            facts=facts,
            rows=_joined(rows),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            style_digest=_digest(style),
            script_digest=_digest(script),
            origin=f"{public.scheme}://{public.netloc}",
        )
        stream.enable_buffering(200)
        stream.dump(str(path))


def _joined(lines: Iterable[str]) -> Iterator[Markup]:
    """The lines as the inside of a JSON array."""
    separator = ""
    for line in lines:
        yield Markup(separator + line)  # noqa: S704 - written by PageRows
        separator = ","


def _tiles(tally: Tally) -> list[dict[str, Any]]:
    """A tile for each outcome that has rows; ``x`` and ``width`` in thousandths of the bar above them."""
    total = max(1, tally.counts.total())
    tiles, x = [], 0.0
    for state in (state for state in ORDER if tally.counts[state]):
        width = tally.counts[state] * 1000 / total
        tiles.append({"state": state.value, "rows": tally.counts[state], "x": round(x, 2), "width": round(width, 2)})
        x += width
    return tiles


def _costs(tally: Tally) -> list[dict[str, Any]]:
    """A line for each provider and unit, what is known first."""
    return [
        {
            "provider": provider or "unknown",
            "renders": cost.renders,
            "expected": "unknown" if unit is None else f"{amount_text(cost.expected)} {unit}".strip(),
        }
        for (provider, unit), cost in sorted(tally.costs.items(), key=lambda item: (item[0][0], item[0][1] or "~"))
    ]


def _length(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("tasks.batch.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """As a content security policy names an inline script: https://www.w3.org/TR/CSP3/#match-element-to-source-list."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
