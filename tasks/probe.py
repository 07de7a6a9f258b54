"""Look into a media file for real: what it is, how large, how long, and whether it can be decoded.

Only the demuxer that the first bytes call for is used, and it may read nothing but this file.
"""

import asyncio
import hashlib
import logging
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from tasks.errors import MediaRefused, Problem
from tasks.providers.base import MediaRole, ProbedMedia
from tasks.settings import StudioSettings
from tasks.sniff import EMPTY, HEAD_BYTES, FileType, file_type, image_header, riff_size

MediaField = Literal["avatar.image", "avatar.video", "speech.audio"]

# A container that announces more than this beyond what is inside was cut off on its way.
CUT_SECONDS = 0.5
CUT_SHARE = 0.02
SMALLEST_SIDE = 32
_DECODED_AT_START = 12
# These carry no length; ffmpeg guesses one from the bit rate.
_GUESSING = {"mp3", "aac", "ogg"}

_WANTED = {
    "avatar.image": "Give a JPEG, PNG or WebP picture.",
    "avatar.video": "Give an MP4, MOV or WebM clip.",
    "speech.audio": "Give a WAV, MP3, M4A, FLAC or OGG recording.",
}

log = logging.getLogger("studio.probe")


async def probe_media(
    path: Path, role: MediaRole, reference: str, settings: StudioSettings, *, field: MediaField | None = None
) -> ProbedMedia:
    """Hash and decode one media file.

    A video given as a recording is accepted for its sound. A picture counts as upright, as its EXIF data asks.

    Args:
        path: the file.
        role: what it is for.
        reference: where the request said it is.
        settings: caps on pixels and seconds.
        field: form field to check against and to blame; None takes what the role and the content suggest.

    Raises:
        MediaRefused: wrong kind, empty, damaged, cut off, or beyond a cap.
    """
    return await asyncio.to_thread(_probe, path, role, reference, settings, field)


def _probe(
    path: Path, role: MediaRole, reference: str, settings: StudioSettings, field: MediaField | None
) -> ProbedMedia:
    with path.open("rb") as file:
        found = file_type(file.read(HEAD_BYTES))
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if field is None:
        field = "speech.audio" if role == "speech" else "avatar.image" if found.kind == "image" else "avatar.video"
    base = {"role": role, "reference": reference, "path": path, "sha256": sha256, "size": path.stat().st_size}
    looker = _Looker(path, field, found, settings)
    looker.check_kind()
    facts = {"avatar.image": looker.image, "avatar.video": looker.video, "speech.audio": looker.audio}[field]()
    media = ProbedMedia.model_validate(base | facts)
    log.info(
        "media probed field=%s kind=%s size=%d width=%s height=%s seconds=%s",
        field,
        media.kind,
        media.size,
        media.width,
        media.height,
        media.seconds,
    )
    return media


class _Looker:
    """Decodes one file and refuses it in the words of its field."""

    def __init__(self, path: Path, field: MediaField, found: FileType, settings: StudioSettings) -> None:
        self.path = path
        self.field = field
        self.found = found
        self.settings = settings

    def refuse(self, wrong: str, fix: str = "") -> MediaRefused:
        return MediaRefused([Problem(self.field, wrong, fix or _WANTED[self.field])])

    def check_kind(self) -> None:
        """Refuse what the field cannot be, before any decoder sees it."""
        if self.found is EMPTY:
            raise self.refuse("the file is empty.", "Upload it again.")
        accepted = {
            "avatar.image": {"image"},
            "avatar.video": {"video"},
            "speech.audio": {"audio", "video"},
        }[self.field]
        # WebM and OGG hold sound or pictures; only the look inside tells.
        if self.found.kind not in accepted and not (self.field == "avatar.video" and self.found.demuxer == "mov"):
            raise self.refuse(f"the file is {self.found.name}.")

    def image(self) -> dict[str, object]:
        """Decode a picture, once its header has shown that it is not a bomb."""
        data = self.path.read_bytes()
        header = image_header(self.found.extension, data)
        if header is None or not header.width or not header.height:
            raise self.refuse(f"{self.found.name} without a readable header.", "Save the picture again.")
        pixels, limit = header.width * header.height, self.settings.max_image_pixels
        if min(header.width, header.height) < SMALLEST_SIDE:
            raise self.refuse(
                f"the picture has only {header.width}x{header.height} pixels.",
                f"Bring a larger one, at least {SMALLEST_SIDE} pixels wide and high.",
            )
        if pixels > limit:
            raise self.refuse(
                f"the picture has {header.width}x{header.height} = {pixels} pixels; the limit is {limit}.",
                "Make it smaller.",
            )
        if header.animated:
            raise self.refuse("the picture is animated.", "Save one of its frames, or use a clip avatar.")
        if not header.complete:
            raise self.refuse("the picture is cut off.", "Upload it again.")
        try:
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            decoded = None
        if decoded is None:
            raise self.refuse("the picture is damaged.", "Save it again.")
        height, width = decoded.shape[:2]
        return {"kind": "image", "extension": self.found.extension, "width": width, "height": height}

    def audio(self) -> dict[str, object]:
        """Decode all the sound of a recording, or of a video given as one."""
        limit = self.settings.max_speech_seconds
        try:
            with self._open() as container:
                if not container.streams.audio:
                    raise self.refuse(f"{self.found.name} has no sound.")
                self._check_announced(container, limit)
                stream = container.streams.audio[0]
                self._check_codec(stream)
                rate, channels = stream.rate, stream.channels
                seconds = self._decoded_seconds(container, stream, limit)
                self._check_cut(self._announced(container, stream), seconds)
                self._check_cut(self._announced_by_riff(seconds), seconds)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._damaged(error) from error
        if not seconds:
            raise self.refuse("no sound can be decoded from the file.")
        extension = self.found.extension
        return {
            "kind": "audio",
            "extension": extension,
            "seconds": seconds,
            "sample_rate": rate,
            "channels": channels,
        }

    def _decoded_seconds(self, container: av.container.InputContainer, stream: av.AudioStream, limit: float) -> float:
        seconds = 0.0
        damaged = packets = 0
        for packet in container.demux(stream):
            packets += 1
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                damaged += 1
                continue
            seconds += sum(frame.samples / frame.sample_rate for frame in frames)
            if seconds > limit:
                raise self._too_long(limit)
        if damaged > max(1, packets // 50):
            raise self.refuse(f"the recording is damaged in {damaged} places.", "Export it again.")
        return seconds

    def video(self) -> dict[str, object]:
        """Decode the start of a clip and walk through all of it."""
        limit = self.settings.max_clip_seconds
        try:
            with self._open() as container:
                pictures = [s for s in container.streams.video if not _is_cover(s)]
                if not pictures:
                    raise self.refuse(f"{self.found.name} has no moving picture.")
                stream = pictures[0]
                self._check_codec(stream)
                self._check_announced(container, limit)
                if stream.width * stream.height > self.settings.max_image_pixels:
                    raise self.refuse(f"the clip has {stream.width}x{stream.height} pixels.", "Make it smaller.")
                seconds, frames, turned = self._walk(container, stream)
                announced = self._announced(container, stream)
                sound = next((found for found in container.streams.audio if _is_known(found)), None)
                width, height = (stream.height, stream.width) if turned else (stream.width, stream.height)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._damaged(error) from error
        if seconds > limit:
            raise self._too_long(limit)
        self._check_cut(announced, seconds)
        return {
            "kind": "video",
            "extension": self.found.extension,
            "seconds": seconds,
            # The real average: the header's rate is wrong for variable frame rates.
            "fps": frames / seconds if seconds else None,
            "width": width,
            "height": height,
            "sample_rate": sound.rate if sound else None,
            "channels": sound.channels if sound else None,
        }

    def _walk(self, container: av.container.InputContainer, stream: av.VideoStream) -> tuple[float, int, bool]:
        """Seconds, number of pictures, and whether they are shown turned by a quarter.

        All packets are read; the first pictures are also decoded.
        """
        first, end, count, decoded, turned = None, 0.0, 0, 0, False
        for packet in container.demux(stream):
            if decoded < _DECODED_AT_START:
                for frame in packet.decode():
                    decoded += 1
                    turned = frame.rotation % 180 == 90
            if packet.pts is None or packet.time_base is None:
                continue
            count += 1
            start = float(packet.pts * packet.time_base)
            first = start if first is None else min(first, start)
            end = max(end, start + float((packet.duration or 0) * packet.time_base))
        if not decoded or first is None:
            raise self.refuse("no picture can be decoded from the clip.", "Export it again.")
        return end - first, count, turned

    def _open(self) -> av.container.InputContainer:
        return av.open(
            str(self.path),
            format=self.found.demuxer,
            options={"protocol_whitelist": "file", "format_whitelist": self.found.demuxer},
        )

    def _check_codec(self, stream: av.AudioStream | av.VideoStream) -> None:
        if not _is_known(stream):
            raise self.refuse(f"{self.found.name} in a coding that is not known.", "Export it again.")

    def _check_announced(self, container: av.container.InputContainer, limit: float) -> None:
        """Refuse by the header what would only be found too long after decoding all of it."""
        if self.found.demuxer in _GUESSING:
            return
        if container.duration and container.duration / av.time_base > limit + 1:
            raise self._too_long(limit)

    def _announced(
        self, container: av.container.InputContainer, stream: av.AudioStream | av.VideoStream
    ) -> float | None:
        """Seconds that the header promises for a stream, else for the file; None where nothing is promised."""
        if self.found.demuxer in _GUESSING:
            return None
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return float(Fraction(container.duration, av.time_base)) if container.duration else None

    def _announced_by_riff(self, found: float) -> float | None:
        """The same for WAV, where ffmpeg tells the length of what is there instead of what was announced."""
        with self.path.open("rb") as file:
            announced = riff_size(file.read(8))
        return None if announced is None else found * announced / self.path.stat().st_size

    def _check_cut(self, announced: float | None, found: float) -> None:
        if announced is not None and announced - found > max(CUT_SECONDS, CUT_SHARE * announced):
            raise self.refuse(
                f"the file is cut off: it announces {announced:.2f} s, but holds {found:.2f} s.", "Upload it again."
            )

    def _too_long(self, limit: float) -> MediaRefused:
        return self.refuse(f"it is longer than {limit:g} s.", "Cut it into shorter parts.")

    def _damaged(self, error: Exception) -> MediaRefused:
        reason = getattr(error, "strerror", None) or str(error)
        return self.refuse(f"{self.found.name} that cannot be decoded ({reason}).", "Export it again.")


def _is_cover(stream: av.VideoStream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _is_known(stream: av.AudioStream | av.VideoStream) -> bool:
    # PyAV leaves the context out where FFmpeg has no decoder; its types do not say so.
    return getattr(stream, "codec_context", None) is not None
