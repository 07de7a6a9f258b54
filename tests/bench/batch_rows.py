"""Rows for the benches of batches, and counting what overlaps."""

from typing import Any

PORTRAIT = "s3://staging/bench/small.jpg"

_LETTERS_A_SECOND = 15
_WORDS = "Welcome to the studio where every row of a sheet becomes a video with a voice and a face of its own "


def make_rows(
    name: str, number: int, speech_seconds: tuple[float, float] = (4.0, 4.0), *, stock: bool = False
) -> list[dict[str, Any]]:
    """Rows whose scripts take from so many to so many seconds to say, evenly spread; each is a render of its own.

    Args:
        name: makes their scripts different from those of others.
        number: how many.
        speech_seconds: shortest and longest.
        stock: take an avatar of the provider, so that nothing is uploaded.
    """
    low, high = speech_seconds
    lengths = [low + (high - low) * (index * 37 % number) / number for index in range(number)]
    return [
        {
            "title": f"{name} {index}",
            "provider": "topview",
            "avatar": {"kind": "stock", "avatar_id": "3327"} if stock else {"kind": "portrait", "image": PORTRAIT},
            "speech": {"kind": "script", "text": _script(f"{name} {index}. ", seconds), "voice": "v-en-ada"},
        }
        for index, seconds in enumerate(lengths)
    ]


def _script(start: str, seconds: float) -> str:
    letters = max(len(start) + 1, round(seconds * _LETTERS_A_SECOND))
    return (start + _WORDS * (letters // len(_WORDS) + 1))[:letters].strip()


def most_at_once(spans: list[tuple[float, float]]) -> int:
    """Most of the spans of time that hold one moment."""
    moments = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most
