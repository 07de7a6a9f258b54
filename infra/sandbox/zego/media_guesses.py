"""What the vendor's page leaves open about sound and the drive socket. None of this is a promise about the vendor.

Guessed as well, but woven in: a token opens one socket and no second one; a stream's second socket is refused while one
is open and its drive fails, though the page forbids only that both send; fields of a message that the page does not
name are refused, and SequenceID is one of them in Stop.
"""

JITTER_SECONDS = 0.2
"""Playout of a drive begins so long after its first byte, so that the network's jitter is not heard."""

START_SECONDS = 10.0
"""Deadline for the Start message of an open socket."""

LINGER_SECONDS = 5.0
"""A drive that was interrupted leaves its socket open so long: the client is told to close it (section 5.4)."""

LARGEST_MESSAGE = 1 << 20
"""Bytes of one message."""

UNKNOWN_TOKEN, WRONG_MESSAGE, INTERRUPTED, SECOND_SOCKET = 4403, 4400, 4409, 4423
"""Codes that a socket is closed with; the page documents none."""
