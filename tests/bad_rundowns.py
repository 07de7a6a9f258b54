"""Rundowns that must be refused before a stream is created, by what is wrong with each.

Each row: name, what is different from a good rundown, the field that the message must name, and words of the message
or of the way out. Dotted names reach into groups; cues are given as a whole.
"""

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.storage import ObjectStore
from tests.media_files import write_picture, write_sound

AVATAR = "dh-anna"
ACTION = "idle_action"
PUBLIC_TIMBRE = "tb-en-calm"
MISSING = object()

HELLO: dict[str, Any] = {"text": "Hello and welcome."}
GOOD: dict[str, Any] = {
    "title": "A good show",
    "avatar": AVATAR,
    "room": "studio-1",
    "timbre": PUBLIC_TIMBRE,
    "cues": [HELLO, {"audio": "s3://staging/show/good.mp3"}, {"action": ACTION}, {"pause": 5}],
}


@dataclass(frozen=True)
class BadRundown:
    """One way to get it wrong."""

    name: str
    change: dict[str, Any]
    field: str
    words: str

    def rundown(self) -> dict[str, Any]:
        """The good rundown with the change in it."""
        rundown = deepcopy(GOOD) | self.change
        return {name: _now(value) for name, value in rundown.items() if value is not MISSING}


def _cue(name: str, cue: dict[str, Any], field: str, words: str) -> BadRundown:
    """A rundown whose second cue is wrong."""
    return BadRundown(name, {"cues": [HELLO, cue]}, f"cues.2{field and '.'}{field}", words)


def _hours(ahead: float) -> timedelta:
    """Becomes a moment when the rundown is asked for."""
    return timedelta(hours=ahead)


def _now(value: Any) -> Any:
    return (datetime.now(UTC) + value).isoformat() if isinstance(value, timedelta) else value


FORM = [
    BadRundown("no avatar", {"avatar": MISSING}, "avatar", "studio catalog zego"),
    BadRundown("no room", {"room": MISSING}, "room", "Name the room"),
    BadRundown("no cues", {"cues": MISSING}, "cues", "as a list"),
    BadRundown("empty list of cues", {"cues": []}, "cues", "at least 1 item"),
    BadRundown("more cues than fit", {"cues": [HELLO] * 501}, "cues", "at most 500"),
    BadRundown("cues are a text", {"cues": "Hello"}, "cues", "valid list"),
    BadRundown("room with spaces", {"room": "studio 1"}, "room", "Use letters, digits, - and _ only"),
    BadRundown("room name too long", {"room": "r" * 129}, "room", "at most 128"),
    BadRundown("background by name", {"background": "green"}, "background", "#rrggbb"),
    BadRundown("unknown field", {"resolution": "720p"}, "resolution", "mend its spelling"),
    BadRundown("misspelt field", {"timber": "tb-en-calm"}, "timber", "Did you mean timbre?"),
    BadRundown("odd sample rate", {"sample_rate": 44100}, "sample_rate", "16000 or 24000"),
    BadRundown("idle end too short", {"idle_seconds": 5}, "idle_seconds", "greater than or equal to 30"),
    BadRundown("unknown way to fail", {"on_failure": "retry"}, "on_failure", "'skip' or 'end'"),
    BadRundown("start without a time zone", {"starts_at": "2030-01-01T09:00"}, "starts_at", "time zone"),
    BadRundown("start is a word", {"starts_at": "tomorrow"}, "starts_at", "2026-10-01T09:00:00+02:00"),
    BadRundown("two hard ends", {"ends_at": _hours(1), "most_minutes": 5}, "rundown", "Give one of them"),
    BadRundown("end before start", {"starts_at": _hours(2), "ends_at": _hours(1)}, "rundown", "Give a later end"),
    BadRundown("longer than a day", {"most_minutes": 2000}, "most_minutes", "less than or equal to 1440"),
    _cue("cue is a text", "Hello", "", "fields"),  # type: ignore[arg-type] - that is what is wrong
    _cue("cue of no kind", {"name": "opening"}, "kind", "Give the cue one of text, audio"),
    _cue("cue of an unknown kind", {"kind": "video", "text": "Hi"}, "kind", "Give the cue one of text"),
    _cue("text and audio together", {"text": "Hi", "audio": "s3://staging/a.mp3"}, "", "Keep one of them"),
    _cue("empty text", {"text": ""}, "text", "Fill it in"),
    _cue("text too long", {"text": "a" * 1801}, "text", "at most 1800"),
    _cue("spoken too fast", {"text": "Hi", "rate": 501}, "rate", "less than or equal to 500"),
    _cue("too loud", {"text": "Hi", "volume": 101}, "volume", "less than or equal to 100"),
    _cue("field of another kind", {"pause": 3, "rate": 5}, "rate", "mend its spelling"),
    _cue("audio on this machine", {"audio": "jingle.mp3"}, "audio", "s3://bucket/key"),
    _cue("third channel", {"audio": "s3://staging/a.mp3", "channel": "rear"}, "channel", "'mixed', 'left' or 'right'"),
    _cue("pause of nothing", {"pause": 0}, "pause", "greater than 0"),
    _cue("pause is a word", {"pause": "long"}, "pause", "valid number"),
    _cue("pipe outside its folder", {"pipe": "../etc", "seconds": 5}, "pipe", "at most 60"),
    _cue("pipe without an end", {"pipe": "live"}, "seconds", "Fill it in"),
    _cue("empty loop", {"loop": []}, "loop", "at least 1 item"),
    _cue("loop of no times", {"loop": [HELLO], "times": 0}, "times", "greater than or equal to 1"),
    _cue("misspelt field of a cue", {"text": "Hi", "pich": 5}, "pich", "Did you mean pitch?"),
    _cue("loop in a loop", {"loop": [{"loop": [HELLO]}]}, "loop.1.kind", "A loop cannot hold another one"),
    _cue("wrong cue in a loop", {"loop": [HELLO, {"text": "Hi", "pitch": 900}]}, "loop.2.pitch", "500"),
]
"""Refused by the form alone."""

TIMES = [
    BadRundown("hard end is past", {"ends_at": _hours(-0.5)}, "ends_at", "Give a later end"),
    BadRundown("start is long past", {"starts_at": _hours(-3)}, "starts_at", "to begin at once"),
    BadRundown("start is a year", {"starts_at": 2027}, "starts_at", "is past"),
    BadRundown("start in a week", {"starts_at": _hours(24 * 7)}, "starts_at", "Schedule the run"),
    BadRundown("both ends are past", {"starts_at": _hours(-0.9), "ends_at": _hours(-0.5)}, "ends_at", "is past"),
    BadRundown("end after more than a day", {"ends_at": _hours(25)}, "ends_at", "Divide the show"),
    BadRundown("more than a day of cues", {"cues": [{"pause": 80000}, {"pause": 8000}]}, "cues", "24.4 hours"),
    BadRundown(
        "more than a day in a loop", {"cues": [{"loop": [{"pause": 60}], "times": 1440}]}, "cues", "Divide the show"
    ),
    _cue("loop without end, show without end", {"loop": [HELLO, {"pause": 5}]}, "times", "ends_at or most_minutes"),
    BadRundown(
        "cue after an endless loop",
        {"cues": [{"loop": [{"pause": 5}]}, HELLO], "most_minutes": 10},
        "cues.1.times",
        "make it the last cue",
    ),
    _cue("loop that takes no time", {"loop": [{"action": ACTION, "seconds": 0}], "times": 9}, "loop", "Put a pause"),
]
"""Refused by the clock and by the lengths of cues."""

CAST = [
    BadRundown("unknown avatar", {"avatar": "dh-nobody"}, "avatar", "studio catalog zego"),
    BadRundown("unknown timbre of the show", {"timbre": "v-nobody"}, "timbre", "Take one from"),
    BadRundown("text without a voice", {"timbre": MISSING}, "cues.1.timbre", "Give it or the whole show a timbre"),
    _cue("unknown timbre of a cue", {"text": "Hi", "timbre": "v-nobody"}, "timbre", "no timbre 'v-nobody'"),
    _cue("private timbre of another avatar", {"text": "Hi", "timbre": "tb-own-presenter"}, "timbre", "Take one from"),
    _cue("unknown action", {"action": "somersault"}, "action", ACTION),
    BadRundown("action of an avatar without any", {"avatar": "dh-bo"}, "cues.3.action", "take the cue out"),
    _cue("unknown action in a loop", {"loop": [{"action": "fly"}], "times": 2}, "loop.1.action", "no action 'fly'"),
]
"""Refused by the vendor's catalogue."""

SOURCES = [
    _cue("audio that is not there", {"audio": "s3://staging/show/none.mp3"}, "audio", "does not exist"),
    _cue("bucket that is not allowed", {"audio": "s3://secrets/a.mp3"}, "audio", "Put the file into one of"),
    _cue("plain http", {"recording": "http://example.com/a.mp3"}, "recording", "https"),
    _cue("loopback address", {"recording": "https://127.0.0.1/a.wav"}, "recording", "loopback"),
    _cue("FLAC by a link", {"audio": "s3://staging/show/good.flac"}, "audio", "give it as recording instead"),
    _cue("picture for a sound", {"recording": "s3://staging/show/face.png"}, "recording", "WAV, MP3"),
    _cue("empty file", {"recording": "s3://staging/show/empty.wav"}, "recording", "empty"),
    _cue("half a WAV", {"audio": "s3://staging/show/half.wav"}, "audio", "cut off"),
    _cue("left of one channel", {"audio": "s3://staging/show/good.mp3", "channel": "left"}, "channel", "Leave it out"),
    _cue("no sound in a loop", {"loop": [{"audio": "s3://staging/show/empty.wav"}], "times": 2}, "loop.1.audio", ""),
    _cue("script that our voice cannot read", {"script": "你好 欢迎来到演播室"}, "script", ""),
    _cue("script of signs only", {"script": "... !?"}, "script", ""),
    _cue("voice that nobody has", {"script": "Hello.", "voice": "nobody"}, "voice", "heart"),
]
"""Refused by the files, scripts and pipes that cues name."""


async def stage_show_media(store: ObjectStore, folder: Path) -> None:
    """Upload what the rows refer to."""
    whole = write_sound(folder / "good.wav", 4).read_bytes()
    files = {
        "good.mp3": write_sound(folder / "good.mp3", 2).read_bytes(),
        "good.flac": write_sound(folder / "good.flac").read_bytes(),
        "face.png": write_picture(folder / "face.png").read_bytes(),
        "empty.wav": b"",
        "half.wav": whole[: len(whole) // 2],
    }
    for name, body in files.items():
        await store.put_bytes("staging", f"show/{name}", body)
