"""What the vendors' pages leave open and the sandbox had to decide. None of this is a promise about a vendor.

Everything else in the sandbox follows a documented rule. When a live vendor shows something else, change it here.
"""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

# TopView

CREDITS_PER_SECOND = {"0": Decimal("0.1"), "1": Decimal("0.4"), "2": Decimal("0.1")}
"""Price of a started second by ``modeType``; the pages give none. Modes 1 and 2 follow the sibling Photo Avatar."""

MODES_FOR_PHOTOS = frozenset({"1", "2"})
"""``modeType`` 2 is seen in public clients only; it is taken for photos and nowhere else."""

SPEED_FIELD = "voiceSpeed"
"""Name of the speed field in public clients; 0.8 to 1.2."""

HTTP_STATUS = {"401": 401, "429": 429}
"""Codes that come with an HTTP status of their own; all others come with 200."""

LARGEST_PAGE = 100
"""Largest ``pageSize``."""

BIZ_TYPES = {"submit": "ZERO_SHOT_AVATAR", "avatar_submit": "COMMON_TASK_VIDEO2AIAVATAR"}
"""``bizType`` of the notice about a job."""

NOTICE_ATTEMPTS = 3
"""How often a notice is sent that nobody answers properly."""

LOG_TASK_TYPE = "video_avatar"
"""``taskType`` of a row in the credit log."""


def vendor_time(seconds: float) -> str:
    """Date in credit log and balance: ISO 8601 in UTC, as documented for the balance only."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def echoed_inputs(body: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a query repeats. Those of video and audio were seen in a client; the picture's is by analogy."""
    echoed = {"inputVideoFileId": body.get("videoFileId"), "inputAudioFileId": body.get("audioFileId")}
    if body.get("imageFileId"):
        echoed["inputImageFileId"] = body["imageFileId"]
    return echoed


def key_map(key: str) -> dict[str, str]:
    """``apiKeyMap`` of the balance: keys with their names."""
    return {key: "default"}


# mingyan

MINGYAN_PRICE_PER_SECOND = Decimal("0.05")
"""Price of a started second; no unit or price is published."""


def mingyan_error(message: str) -> dict[str, Any]:
    """Body of a refused call; only that of an unknown path was ever seen."""
    return {"message": message}
