"""What mingyan's pages leave open and this client had to decide. None of this is a promise of the vendor.

When a live vendor shows something else, change it here.
"""

import re

AUDIO_SURE = frozenset({"m4a", "mp3", "mp4", "wav"})
"""Recordings that the create page lists."""

AUDIO_UNSURE = frozenset({"aac"})
"""The page also lists ``aar``, which nobody has; taken for a slip of the pen."""

CLIP_CONTAINERS = frozenset({"mp4"})
CLIP_CODECS = frozenset({"h264"})
"""No format of clips is listed. All others are refused: a job that fails over its clip may cost money."""

SIBLING_FAILURES = frozenset({"cancelled"})
"""Status words of a sibling model that mean the end without a video."""

SIBLING_IDS = ("projectId", "task_id", "taskId")
"""Where other brands and models of the gateway put the job id, in the order in which they are read."""

SIBLING_LINKS = ("result_url",)
"""Where newer endpoints of the gateway put the link to the video."""

SIBLING_REMARKS = ("amount", "actualDuration", "totalTokens")
"""Facts of newer endpoints that are shown to people if they appear."""

MILLISECONDS_FROM = 10**11
"""The unit of ``created`` is not stated: larger values are milliseconds, smaller ones seconds."""

CHARGED_FOR_FAILURE = None
"""Whether a failed job costs money is not documented."""

REFUSING_CODES = range(400, 500)
"""Section 7 gives no codes. In an envelope that leaks from the gateway only these, but for 408 and 429, are taken for
"not accepted"; after any other one nobody knows."""

NO_FUNDS = re.compile(r"\bbalance\b|insufficient (?:credits?|funds|quota)|余额|欠费|充值", re.IGNORECASE)
"""No error codes are published; an account without funds is recognised by words like these."""

WRONG_ADDRESS = "No handler found"
"""Beginning of the gateway's answer to a path that it does not have, as seen; any other 404 means an unknown job."""

MD5_DIGITS = re.compile(r"[0-9a-f]{32}")
"""The encoding of ``md5`` is not stated; anything that is not hex, once lower-cased, is not compared."""
