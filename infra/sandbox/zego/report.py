"""The truth about ZEGO, as JSON; moments are in seconds since the epoch."""

from typing import Any

from infra.sandbox.truth import Truth
from infra.sandbox.zego.callbacks import CallbackSender
from infra.sandbox.zego.records import Drive
from infra.sandbox.zego.sockets import IN_PARALLEL
from infra.sandbox.zego.streams import Stream, Streams


def report(truth: Truth, streams: Streams, callbacks: CallbackSender) -> dict[str, Any]:
    """Streams, drives and callbacks, oldest first, and what was wrong with calls and sockets."""
    drives = [(stream, drive) for stream in streams.all() for drive in stream.drives]
    return {
        "streams": [
            stream.task.model_dump(mode="json", exclude={"due", "fate", "quiet_since"}) for stream in streams.all()
        ],
        "drives": sorted((_drive(stream, drive) for stream, drive in drives), key=lambda row: row["at"]),
        "second_sockets": sum(drive.reason == IN_PARALLEL for _, drive in drives),
        "callbacks": [event.model_dump(mode="json") for event in callbacks.sent],
        **truth.traffic("zego"),
    }


def _drive(stream: Stream, drive: Drive) -> dict[str, Any]:
    row = drive.model_dump(mode="json", exclude={"token"}, exclude_none=True)
    row |= {"began": drive.began, "ended": drive.ended, "seconds": drive.seconds}
    facts = stream.facts_of(drive)
    return row | ({"playout": facts} if facts else {})
