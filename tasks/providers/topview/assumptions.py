"""What TopView's pages leave open and we had to decide; the section of the vendor page is named beside each.

Nothing else in this package is a guess. When the live service shows something else, change it here.
"""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation

from tasks.providers.base import Pace

FAILED_JOBS_ARE_CHARGED = False
"""Section 10: failed tasks are not charged; stated on sibling pages only."""

CREDIT_UNIT = "credits"
"""Section 10: costs are counted in credits."""

LOGGED_TASK_TYPE = "video_avatar"
"""Section 10: the credit log's word for our jobs, from the page's own example."""

AVATAR2_SECONDS = 28
"""Section 10: longest speech of avatar2; stated for Photo and Product Avatar, assumed for Video Avatar."""

AVATAR4_SECONDS = 120
"""Section 8: longest speech of avatar4; stated for Photo Avatar."""

AVATAR4_AVATARS = frozenset({"portrait"})
"""Sections 4 and 8: modeType 2 is undocumented, and Avatar 4 is described for photos only."""

PACE = Pace(first=5, growth=1.3, longest=30)
"""Section 5: no advice on this endpoint; a sibling's page says 3 to 5 s, and long renders deserve longer pauses."""

OWN_NETWORK_PACE = Pace(first=0.3, growth=1.3, longest=2, per_second=40)
"""The same for an endpoint on this machine or network, such as the sandbox, where nobody minds."""

CHECK_PAUSE_SECONDS = 1.0
OWN_NETWORK_CHECK_PAUSE_SECONDS = 0.1
CHECK_SECONDS = 30.0
"""Section 3.3: public clients look for a stored upload every 1 to 2 s, up to 30 times."""

STALE_UPLOAD_STATUSES = frozenset({400, 401, 403, 404, 410})
"""Section 3: life and refusals of an upload address are not documented; S3 answers like this to a stale one."""

PAGE_SIZE = 50
"""Section 7: pages may be larger than the default of 20; a server that gives less is followed all the same."""

MOST_PAGES = 1000
"""No catalogue or log is longer; a server that never ends its pages must not keep us."""

CLOCK_SKEW = timedelta(minutes=20)
"""How far TopView's clock and ours may differ when a job is looked for in the credit log."""

MOST_LOOK_UP_QUERIES = 50
"""Section 10: rate limits are not documented, so a look-up asks for no more tasks than this."""

MOST_HINTS = 10
"""Notices are not signed: whoever sends many must not use up the queries that find the task."""

_FILE_ID_FIELD = re.compile(r"^input\w*FileId$")
_EPOCH_MILLISECONDS_FROM = 100_000_000_000


def named_files(facts: dict[str, object]) -> frozenset[str]:
    """The uploads that a query's answer names.

    Section 5: ``inputVideoFileId`` and ``inputAudioFileId`` were seen in a client; others by analogy.
    """
    return frozenset(
        str(value) for name, value in facts.items() if _FILE_ID_FIELD.match(name) and value not in (None, "")
    )


def log_time(moment: datetime) -> str:
    """A moment as the credit log takes it: ISO 8601 in UTC. Section 10 documents that form for the balance only."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(value: object) -> datetime | None:
    """A date of the credit log: ISO 8601, without a zone taken as UTC, or seconds or milliseconds since the epoch.

    Section 10 does not give the form. None where it is none of these.
    """
    text = str(value).strip()
    try:
        if text.isdigit():
            number = int(text)
            return datetime.fromtimestamp(number / 1000 if number >= _EPOCH_MILLISECONDS_FROM else number, UTC)
        moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_credits(value: object) -> Decimal | None:
    """An amount of credits, which may come as number or text; None where it is neither."""
    if value is None or isinstance(value, bool):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None
