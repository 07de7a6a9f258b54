"""What `studio demo-show` broadcasts: a rundown with every kind of cue, its recordings, and who writes its live PCM."""

import asyncio
import errno
import json
import os
import wave
from pathlib import Path
from typing import Any

import numpy as np

from infra.presenter import RECORDING, SCRIPT
from tasks.audio import decode_mono
from tasks.errors import StudioUnavailable
from tasks.providers.zego.client import ZegoClient
from tasks.show.pipes import pipe_path

ROOM = "demo-show"
PIPE = "demo-show"
RATE = 24_000
SHORT_SECONDS = 2.5
"""Of each recording in the short show."""
PIPE_SECONDS = 30
IDLE_SECONDS = 30
"""The vendor's least; the long pause is twice as long, so the show has to keep its stream alive."""
_LOOK_SECONDS = 0.1


async def write_rundown(client: ZegoClient, folder: Path, *, is_short: bool) -> Path:
    """Write a rundown of three minutes, or half a one, with its recordings beside it; returns its path.

    Args:
        client: whose catalogue has the avatar and the voice.
        folder: where the files go.
        is_short: half a minute, with pauses that need nothing kept alive.

    Raises:
        StudioUnavailable: the catalogue has no avatar with a gesture, or no voice.
        ProviderError: the catalogue cannot be read.
    """
    avatar, action = await _avatar_with_action(client)
    timbre = await _first_timbre(client)
    speech = await asyncio.to_thread(decode_mono, RECORDING, RATE)
    said = speech[: round(SHORT_SECONDS * RATE)] if is_short else speech
    await asyncio.to_thread(_write_wav, folder / "news.wav", said)
    await asyncio.to_thread(_write_wav, folder / "interview.wav", said)
    rundown = {
        "title": "Demo show",
        "avatar": avatar,
        "room": ROOM,
        "background": "#102030",
        "timbre": timbre,
        "idle_seconds": IDLE_SECONDS,
        "sample_rate": RATE,
        "most_minutes": 3 if is_short else 8,
        "cues": _short_cues(action) if is_short else _cues(action),
    }
    path = folder / "demo-show.json"
    path.write_text(json.dumps(rundown, indent=2), encoding="utf-8")
    return path


def _cues(action: str) -> list[dict[str, Any]]:
    """About three minutes."""
    paragraphs = SCRIPT.read_text(encoding="utf-8").strip().split("\n\n")
    return [
        {"name": "welcome", "text": " ".join(paragraphs[:2])},
        {"name": "greeting", "action": action, "seconds": 3},
        {"name": "news", "audio": "news.wav"},
        {"name": "interview", "recording": "interview.wav"},
        {"name": "how it works", "script": paragraphs[2]},
        {"name": "correspondent", "pipe": PIPE, "seconds": PIPE_SECONDS},
        {"name": "quiet", "pause": 2 * IDLE_SECONDS},
        {
            "name": "reminders",
            "times": 3,
            "loop": [
                {"text": "You are watching the demo of the Digital Human Studio."},
                {"action": action, "seconds": 2},
                {"pause": 2},
            ],
        },
        {"name": "farewell", "text": paragraphs[3], "on_failure": "end"},
    ]


def _short_cues(action: str) -> list[dict[str, Any]]:
    """About half a minute."""
    return [
        {"name": "welcome", "text": "Hello, and welcome to the Digital Human Studio."},
        {"name": "greeting", "action": action, "seconds": 1},
        {"name": "news", "audio": "news.wav"},
        {"name": "interview", "recording": "interview.wav"},
        {"name": "how it works", "script": "You choose who speaks, and what is said."},
        {"name": "correspondent", "pipe": PIPE, "seconds": 3},
        {"name": "reminders", "times": 2, "loop": [{"text": "Now it is your turn."}, {"pause": 1}]},
        {"name": "farewell", "text": "Thank you for watching.", "on_failure": "end"},
    ]


async def feed_pipe() -> None:
    """Be the other program: wait until the show listens, then write the bundled recording until it has enough."""
    path = pipe_path(PIPE)
    samples = await asyncio.to_thread(decode_mono, RECORDING, RATE)
    rounds = -(-PIPE_SECONDS * RATE // len(samples))
    pcm = (np.clip(np.tile(samples, rounds), -1, 1) * 32_767).astype("<i2").tobytes()
    file = await _open_for_writing(path)
    await asyncio.to_thread(_write_all, file, pcm)


async def _open_for_writing(path: Path) -> int:
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            # Nobody listens yet. A blocking open would hold a thread for as long, past Ctrl-C.
            await asyncio.sleep(_LOOK_SECONDS)


def _write_all(file: int, pcm: bytes) -> None:
    """Write as fast as the show takes it."""
    os.set_blocking(file, True)
    try:
        with os.fdopen(file, "wb") as pipe:
            pipe.write(pcm)
    except BrokenPipeError:
        # The show has had its seconds.
        return


async def _avatar_with_action(client: ZegoClient) -> tuple[str, str]:
    async for human in client.digital_humans():
        if human.digital_human_id and human.action_names:
            return human.digital_human_id, human.action_names[0]
    raise StudioUnavailable("ZEGO's catalogue has no avatar with a gesture.", fix="Look with `studio catalog zego`.")


async def _first_timbre(client: ZegoClient) -> str:
    async for timbre in client.timbres():
        if timbre.timbre_id:
            return timbre.timbre_id
    raise StudioUnavailable("ZEGO's catalogue has no voice.", fix="Look with `studio catalog zego`.")


def _write_wav(path: Path, samples: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32_767).astype("<i2").tobytes())
