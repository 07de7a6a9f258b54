"""What the vendor's page leaves open about its HTTP side. None of this is a promise about the vendor.

Everything else in this package follows a documented rule; what concerns sound and the drive socket is in
``media_guesses.py``; how long a text takes to say, in ``infra/sandbox/speech.py``. When the live vendor shows something
else, change it here. Guessed as well, but woven in: a socket drive silences the others when it is asked for, not when
its socket opens; an RTC drive speaks until it is cut; a file is fetched when its turn comes; an unknown AppId counts as
a wrong signature; gestures do not count as drives for the idle time; common parameters that are missing or malformed
give 400000001; a call counts against the rate before its signature is checked; each try of a callback is signed anew;
"number" is a whole number (rates, volume, times); a text has at least one character; after the end of a stream the
status API says 5, though section 4.3 lacks it there, and after 600 s 400000005: the settings ``zego_end_is_a_status``
and ``stream_memory_seconds`` change both.
"""

from typing import Literal

HTTP_STATUS = 200
"""Of every answer, refusals included: the page tells to decide on ``Code``."""

UNKNOWN_FIELDS: Literal["forbid", "ignore"] = "forbid"
"""Fields that the page does not name are invalid parameters, removed ones among them, and so is null."""

UNKNOWN_ACTION = UNKNOWN_GESTURE = "400000001"
"""Codes for a call that does not exist, and for a gesture that the digital human does not know."""

REPEATED_NONCE = "100000005"
"""Code for a nonce that came before."""

NONCE_MEMORY_SECONDS = 1200
"""A nonce may not come again while its timestamp could still be accepted: ten minutes either way."""

ENDED_STREAM_IDS_ARE_FREE = True
"""A StreamId can be used again once its stream has ended: the page advises to end the task that holds it."""

SPEED_OF_500 = 2.0
"""How much faster a text is spoken at SpeechRate 500 than at 0; at -500 it is as much slower."""

SOCKET_OPEN_SECONDS = 30.0
"""A drive whose socket nobody opens fails so long after it was asked for."""

INTERRUPTED_DRIVE_STATUS = 5
"""Callback of a drive that was cut or dropped from the queue: the overview names 5, the callback page does not."""

MODE_1_DROPS_QUEUE = False
"""Whether InterruptMode 1 also drops what waits; it says only that the running drive is cut."""

CALLBACK_TIMEOUT_SECONDS = 5.0
"""How long the vendor waits for the answer to a callback."""


def lifetime_end(created: float, seconds: float) -> float:
    """TTL counts from the creation, not from the beginning of the stream; moments in seconds since the epoch."""
    return created + seconds


def idle_end(quiet_since: float, seconds: float) -> float:
    """MaxIdleTime counts from the end of the last drive, or from the beginning of the stream."""
    return quiet_since + seconds
