"""Speak PCM through the socket of one drive: Start, frames at the pace of speech, Stop (section 5.4)."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tasks.errors import ProviderError
from tasks.providers.zego.drive_socket import SEND_SECONDS, STOP_SECONDS, opened, unavailable
from tasks.providers.zego.models import PROVIDER, WsDrive
from tasks.providers.zego.pacing import FRAME_SECONDS, Pace

_SAMPLE_BYTES = 2
_OF_USE = 8
"""Characters of a token that must not be told."""

log = logging.getLogger("studio.zego.speaking")


@dataclass(frozen=True)
class Sent:
    """How one drive was sent."""

    seconds: float
    """Of audio."""
    bytes: int
    frames: int
    first_byte_at: datetime | None
    """None if the source gave nothing."""
    latest_frame_seconds: float
    """The most that a frame left after its time; waiting for the source does not count."""
    drift_seconds: float
    """How late the sender was at the end."""
    interrupted: bool
    """Whether ``stop`` ended it."""


async def speak(
    drive: WsDrive,
    frames: AsyncIterator[bytes],
    *,
    sample_rate: int,
    unverified: bool,
    stop: asyncio.Event | None = None,
) -> Sent:
    """Send audio at the pace of speech; returns when it is sent, some of it is still to be heard then.

    Whatever happens, the vendor is told at once that no more comes. Cancelling is safe, and ``frames`` is closed.

    Args:
        drive: a new one for each call.
        frames: PCM, signed 16-bit little-endian, mono, in pieces of any length.
        sample_rate: of the audio: 16000 or 24000 Hz.
        unverified: accept the socket's certificate unseen; the vendor's is for a bare address and fits no name.
        stop: ends the sending as soon as it is set; what was sent is still heard unless the drive is interrupted.

    Raises:
        ProviderUnavailable: the socket does not open, breaks, or takes nothing; ``sent`` tells whether it was open.
        ProviderRejected: the address is not one, or is not encrypted, or its certificate is refused.
    """
    sending = _Sending(drive, sample_rate, unverified=unverified)
    talk = asyncio.create_task(sending.talk(frames))
    stopped = asyncio.create_task((stop or asyncio.Event()).wait())
    try:
        await asyncio.wait({talk, stopped}, return_when=asyncio.FIRST_COMPLETED)
        interrupted = not talk.done()
        if not interrupted:
            await talk
    finally:
        await _cancelled(talk, stopped)
        if isinstance(frames, AsyncGenerator):
            await frames.aclose()
    sent = sending.facts(interrupted=interrupted)
    log.info(
        "drive sent drive=%s seconds=%.2f frames=%d latest=%.3f drift=%.3f interrupted=%s",
        drive.drive_id,
        sent.seconds,
        sent.frames,
        sent.latest_frame_seconds,
        sent.drift_seconds,
        sent.interrupted,
    )
    return sent


class _Sending:
    """The audio of one drive on its way to the vendor."""

    def __init__(self, drive: WsDrive, sample_rate: int, *, unverified: bool) -> None:
        self._drive = drive
        self._sample_rate = sample_rate
        self._unverified = unverified
        self._pace = Pace()
        self._bytes = 0
        self._first_byte_at: datetime | None = None

    def facts(self, *, interrupted: bool) -> Sent:
        return Sent(
            seconds=self._bytes / (self._sample_rate * _SAMPLE_BYTES),
            bytes=self._bytes,
            frames=self._pace.frames,
            first_byte_at=self._first_byte_at,
            latest_frame_seconds=self._pace.latest,
            drift_seconds=self._pace.drift,
            interrupted=interrupted,
        )

    async def talk(self, pieces: AsyncIterator[bytes]) -> None:
        """Open the socket once there is something to say, and say it; a cancelled talk says Stop as well."""
        size = round(FRAME_SECONDS * self._sample_rate) * _SAMPLE_BYTES
        async with aclosing(_cut(pieces, size)) as frames:
            first = await anext(frames, None)
            if first is None:
                return
            async with opened(self._drive.address, unverified=self._unverified) as connection:
                try:
                    await self._say_start(connection)
                    await self._say(connection, first, frames)
                finally:
                    await self._say_stop(connection)

    async def _say(self, connection: ClientConnection, first: bytes, frames: AsyncIterator[bytes]) -> None:
        listener = asyncio.create_task(self._listen(connection))
        pump = asyncio.create_task(self._pump(connection, first, frames))
        try:
            await asyncio.wait({pump, listener}, return_when=asyncio.FIRST_COMPLETED)
            await (pump if pump.done() else listener)
        finally:
            await _cancelled(pump, listener)

    async def _pump(self, connection: ClientConnection, first: bytes, frames: AsyncIterator[bytes]) -> None:
        asked = await self._send_frame(connection, first, asked=asyncio.get_running_loop().time())
        async for frame in frames:
            asked = await self._send_frame(connection, frame, asked)

    async def _send_frame(self, connection: ClientConnection, frame: bytes, asked: float) -> float:
        """Send one frame when its time has come; returns the time after that."""
        now = asyncio.get_running_loop().time
        length = len(frame) / (self._sample_rate * _SAMPLE_BYTES)
        ready = now()
        await asyncio.sleep(self._pace.due(asked, ready, length) - ready)
        await self._write(connection, frame)
        sent = now()
        self._pace.sent(sent, length)
        self._bytes += len(frame)
        self._first_byte_at = self._first_byte_at or datetime.now(UTC)
        return sent

    async def _listen(self, connection: ClientConnection) -> None:
        """Read on until the socket closes: the page documents no message, and an unread one would block the socket."""
        with suppress(ConnectionClosed):
            async for message in connection:
                log.warning("undocumented message drive=%s length=%d", self._drive.drive_id, len(message))
        # The sender has not finished, so that even a polite close is an error.
        raise self._closed(connection)

    async def _say_start(self, connection: ClientConnection) -> None:
        payload = {"DriveId": self._drive.drive_id, "SampleRate": self._sample_rate}
        await self._write(connection, json.dumps({"Action": "Start", "Payload": payload}))

    async def _say_stop(self, connection: ClientConnection) -> None:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await connection.send(json.dumps({"Action": "Stop", "Payload": {"DriveId": self._drive.drive_id}}))
        except (TimeoutError, ConnectionClosed):
            # What broke the socket is told by whoever noticed it first; the close that follows is all that is left.
            log.warning("socket broken before its stop drive=%s", self._drive.drive_id)

    async def _write(self, connection: ClientConnection, message: bytes | str) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await connection.send(message)
        except TimeoutError:
            raise self._broken(f"took nothing for {SEND_SECONDS:g} s") from None
        except ConnectionClosed:
            raise self._closed(connection) from None

    def _closed(self, connection: ClientConnection) -> ProviderError:
        code, reason = connection.close_code, connection.close_reason or ""
        if _quotes(reason, urlsplit(self._drive.address.get_secret_value()).query):
            reason = "for a reason that quotes the address"
        return self._broken(f"was closed by {PROVIDER} ({code}{f', {reason[:200]}' if reason else ''})")

    def _broken(self, what: str) -> ProviderError:
        return unavailable(
            f"the socket of drive {self._drive.drive_id} {what} after {self._pace.seconds:.1f} s of audio.", sent=True
        )


def _quotes(text: str, secret: str) -> bool:
    """Whether a text has any part of a secret that is long enough to be of use."""
    longest = min(_OF_USE, len(secret))
    return bool(secret) and any(secret[at : at + longest] in text for at in range(len(secret) - longest + 1))


async def _cut(pieces: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes]:
    """Cut audio into frames of the same size; the last may be shorter, half a sample at the end is dropped."""
    rest = b""
    async for piece in pieces:
        rest += piece
        whole = len(rest) - len(rest) % size
        for start in range(0, whole, size):
            yield rest[start : start + size]
        rest = rest[whole:]
    if last := rest[: len(rest) - len(rest) % _SAMPLE_BYTES]:
        yield last


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    # An error that mattered was raised to whoever waited for it; what is over is not missed.
    await asyncio.gather(*tasks, return_exceptions=True)
