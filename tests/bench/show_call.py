"""Senders of PCM, called in a child process: ours, and the plain loop that most would write."""

import asyncio
import json
import ssl
import time
import wave
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from websockets.asyncio.client import connect

from tasks.providers.zego.models import WsDrive
from tasks.providers.zego.speaking import speak
from tasks.show.pcm import file_pcm

RATE = 24_000
FRAME_SECONDS = 0.1

Drives = list[list[str]]
"""Id and address of each."""


async def send(*, drives: Drives, path: str) -> dict[str, Any]:
    """Send a file through all drives at once; returns CPU seconds, and drift and latest frame of each."""
    began = time.process_time()
    sent = await asyncio.gather(
        *(
            speak(
                WsDrive(drive_id=drive_id, address=SecretStr(address)),
                file_pcm(Path(path), RATE),
                sample_rate=RATE,
                unverified=True,
            )
            for drive_id, address in drives
        )
    )
    return {
        "cpu": time.process_time() - began,
        "drifts": [one.drift_seconds for one in sent],
        "latest": [one.latest_frame_seconds for one in sent],
    }


async def send_plainly(*, drives: Drives, path: str) -> dict[str, Any]:
    """The same with a sleep of a frame's length after each frame, decoding nothing."""
    began = time.process_time()
    drifts = await asyncio.gather(*(_send_plainly(drive_id, address, Path(path)) for drive_id, address in drives))
    return {"cpu": time.process_time() - began, "drifts": drifts}


async def _send_plainly(drive_id: str, address: str, path: Path) -> float:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    count = 0
    async with connect(address, ssl=context, compression=None) as socket:
        await socket.send(json.dumps({"Action": "Start", "Payload": {"DriveId": drive_id, "SampleRate": RATE}}))
        began = time.monotonic()
        with wave.open(str(path), "rb") as file:
            while frame := file.readframes(round(RATE * FRAME_SECONDS)):
                await socket.send(frame)
                count += 1
                await asyncio.sleep(FRAME_SECONDS)
        drift = time.monotonic() - began - count * FRAME_SECONDS
        await socket.send(json.dumps({"Action": "Stop", "Payload": {"DriveId": drive_id}}))
    return drift
