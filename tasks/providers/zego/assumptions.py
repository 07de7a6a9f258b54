"""What ZEGO's pages leave open and we had to decide; the section of the vendor page is named beside each.

Assumed as well, but woven in: "number" is a whole number (rates, volume, times); a text has at least one character; a
stream's status that 4.3 does not name counts as alive. Nothing else in this package is a guess. When the live service
shows something else, change it here.
"""

from datetime import timedelta

NOT_STREAMING_PAUSE = 1.0
"""Section 7, 400000006: "wait, then operate"; a stream is up within seconds, and asking costs one call."""

STREAM_LIMIT_PAUSE = 30.0
"""Section 7, 400000008 and 400010007: no time is given; a place is free when another stream ends."""

BUSY_PAUSE = 2.0
"""Section 7, 400010002: "retry later". Taken for "not accepted": were a stream made all the same, its unique StreamId
would make the repeated call fail with 400000015, and nothing would be paid twice."""

RATE_PAUSE = 1.0
"""Section 7, 400010009: the limit is counted per second."""

MOST_CLOCK_SKEW = timedelta(minutes=10)
"""Section 1.2: further off, every call is refused."""

WARNED_CLOCK_SKEW = timedelta(minutes=2)
"""A clock that is so far off is told before it is refused. The vendor's HTTP Date header is taken for its clock."""

MOST_SOURCE_ID_BYTES = 128
"""Section 5.3 gives the ids of a source no shape: the length of section 8 holds, the signs of section 4.1 do not."""

NONCE_BYTES = 8
"""Section 1.2: the documented recipe; the server seems not to enforce it."""

PAGE_SIZE = 20
"""Section 3.1: the largest page."""

MOST_ROWS = 10_000
"""No catalogue is longer; a server that never ends its pages must not keep us."""

NULL_IS_AN_EMPTY_LIST = True
"""Section 4.2 shows no empty list. One that is null counts as empty; an answer without it says nothing, as "there is no
such stream" would let a second one be paid for."""

CHARACTERS_PER_SECOND = 15.0
"""Section 5.2 gives no length of a spoken text; so fast are letters read aloud at speech rate 0. Only for the length
of a show before it is performed, from which its TTL follows."""

WIDE_CHARACTERS_PER_SECOND = 4.5
"""The same for Chinese, Japanese and Korean signs."""

SHORTEST_SHARE = 0.7
"""Section 5.2: a text takes at least this part of the time that the two rates above make of it."""

RATE_THAT_DOUBLES = 500
"""Section 5.2: SpeechRate is -500..500, "higher = faster"; its ends are taken for half and twice as fast."""
