"""The table of outcomes, as spreadsheet programs read it."""

import csv
from collections.abc import Iterable
from decimal import Decimal
from typing import TextIO

from tasks.ledger.batch_models import BatchRow

ENCODING = "utf-8-sig"
"""With a byte order mark, without which Excel takes UTF-8 for the code page of the machine."""

COLUMNS = (
    "number",
    "title",
    "outcome",
    "reason",
    "fix",
    "provider",
    "render key",
    "seconds",
    "estimate",
    "unit",
    "video",
    "manifest",
)

# Spreadsheet programs run such cells as formulas: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n")


class OutcomesCsv:
    """Writes the table row by row.

    Args:
        file: opened with ``ENCODING`` and ``newline=""``.
    """

    def __init__(self, file: TextIO) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(COLUMNS)

    def add(self, rows: Iterable[BatchRow]) -> None:
        """Append rows."""
        self._writer.writerows(_cells(row) for row in rows)


def _cells(row: BatchRow) -> list[str]:
    return [
        str(row.number),
        *map(
            harmless,
            (
                row.title,
                row.state,
                row.reason,
                row.fix,
                row.provider,
                row.render_key or "",
                "" if row.seconds is None else f"{row.seconds:.2f}",
                amount_text(row.estimate),
                row.unit,
                row.video,
                row.manifest,
            ),
        ),
    ]


def harmless(cell: str) -> str:
    """The cell as text, also where it looks like a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA_SIGNS) else cell


def amount_text(amount: Decimal | None) -> str:
    """An amount without exponent and needless zeros; nothing where it is not known."""
    return "" if amount is None else f"{amount.normalize():f}"
