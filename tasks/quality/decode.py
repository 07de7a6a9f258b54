"""One decode pass from the first packet to the last: what a file really holds, against what it says it holds."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from pydantic import BaseModel, ConfigDict, Field

from tasks.audio import MonoBlocks, Wave
from tasks.errors import DownloadBroken

AUDIO_RATE = 48_000

# Encoders pad sound to whole frames (up to 0.05 s) and containers round; a lost tail is longer than that.
_LENGTH_TOLERANCE = 0.25
# A damaged packet here and there is a glitch for the report; more is a damaged file.
_DAMAGE_TOLERANCE = 0.01
# A step between two pictures that is longer than this many frames is a gap.
_GAP_FRAMES = 1.6
_LONGEST_TRUSTED_SECONDS = 24 * 3600

OnPicture = Callable[[av.VideoFrame, float], None]
OnSound = Callable[[Wave, float], None]


class DecodedFacts(BaseModel):
    """What came out when a file was decoded to its end."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")

    container: str = Field(description="Short name of the container, such as mp4.")
    container_seconds: float | None = Field(description="Length that the container announces, where it does.")
    video_seconds: float = Field(description="Decoded length of the pictures.")
    audio_seconds: float | None = Field(description="Decoded length of the sound; None without a sound track.")
    video_codec: str
    pixel_format: str
    width: int
    height: int
    fps: float = Field(description="Average frame rate.")
    frames: int
    audio_codec: str | None
    sample_rate: int | None
    channels: int | None
    faststart: bool | None = Field(description="Whether an MP4 plays before it is fully loaded; None for others.")
    gaps: int = Field(description="Steps between pictures that are longer than 1.6 frames, or go backwards.")
    longest_gap: float = Field(description="Longest time between two pictures, in seconds.")
    damaged: int = Field(description="Packets or pictures that could not be decoded properly.")
    broke_off: bool = Field(description="Whether the file ended in the middle of something.")


@dataclass
class _Tally:
    """Counts kept while decoding; times in seconds from the start of the file."""

    frames: int = 0
    damaged: int = 0
    gaps: int = 0
    longest_gap: float = 0.0
    video_end: float = 0.0
    audio_end: float = 0.0
    last_picture: float | None = None
    broke_off: bool = False


def decode_all(path: Path, on_picture: OnPicture | None = None, on_sound: OnSound | None = None) -> DecodedFacts:
    """Decode pictures and sound to the end, handing them on as they come.

    Args:
        path: the file.
        on_picture: called with every picture and its time in seconds.
        on_sound: called with mono blocks, float32[n] at ``AUDIO_RATE``, and the time of their first sample.

    Raises:
        DownloadBroken: the file is no media file, or no picture in it can be decoded.
    """
    try:
        with av.open(str(path)) as container:
            return _decode(container, path, on_picture, on_sound)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DownloadBroken(f"{path.name} cannot be opened as a video ({reason}).", fix="Fetch it again.") from error


def verify_playable(path: Path) -> DecodedFacts:
    """Decode a file to its end and make sure that nothing of it is missing.

    Raises:
        DownloadBroken: not a video, cut short against what its container announces, or damaged.
    """
    facts = decode_all(path)
    if reason := why_broken(facts):
        raise DownloadBroken(f"{path.name}: {reason}", fix="Fetch it again.")
    return facts


def why_broken(facts: DecodedFacts) -> str:
    """Say what is missing from a decoded file; empty when nothing is."""
    decoded = max(facts.video_seconds, facts.audio_seconds or 0.0)
    if facts.container_seconds is not None and decoded < facts.container_seconds - _LENGTH_TOLERANCE:
        return f"cut short: it announces {facts.container_seconds:.2f} s, but only {decoded:.2f} s can be decoded."
    if facts.broke_off:
        return f"it ends in the middle of its data, after {decoded:.2f} s."
    if facts.damaged > max(1, _DAMAGE_TOLERANCE * facts.frames):
        return f"{facts.damaged} parts of it are damaged."
    return ""


def _decode(
    container: av.container.InputContainer, path: Path, on_picture: OnPicture | None, on_sound: OnSound | None
) -> DecodedFacts:
    pictures = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not pictures:
        raise DownloadBroken(f"{path.name} holds no video stream.", fix="Check what the provider delivered.")
    video = pictures[0]
    video.thread_type = "AUTO"
    audio = container.streams.audio[0] if container.streams.audio else None
    origin = float(Fraction(container.start_time or 0, av.time_base))
    tally = _Tally()
    fps = float(video.average_rate or video.guessed_rate or 25)
    sound = MonoBlocks(AUDIO_RATE, origin, _LONGEST_TRUSTED_SECONDS) if on_sound else None

    for frame in _frames(container, [video] if audio is None else [video, audio], tally):
        if isinstance(frame, av.VideoFrame):
            time = _count_picture(frame, tally, origin, fps)
            if on_picture:
                on_picture(frame, time)
        elif isinstance(frame, av.AudioFrame):
            length = frame.samples / frame.sample_rate
            start = tally.audio_end if frame.time is None else frame.time - origin
            tally.audio_end = max(tally.audio_end, start + length)
            if on_sound and sound:
                _hand_on(sound.feed(frame), sound, on_sound)
    if on_sound and sound:
        _hand_on(sound.flush(), sound, on_sound)
    if not tally.frames:
        raise DownloadBroken(f"{path.name}: not one picture can be decoded.", fix="Fetch it again.")
    return _facts(container, video, audio, tally, path)


def _frames(
    container: av.container.InputContainer, streams: list[av.VideoStream | av.AudioStream], tally: _Tally
) -> Iterator[av.VideoFrame | av.AudioFrame]:
    """Yield every frame that can be decoded, counting what cannot."""
    cut_short: dict[int, bool] = {}
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            tally.broke_off = True
            break
        if packet is None:
            break
        if packet.size:
            # A read that came back short is marked; the last packet of a stream shows whether the data just ends.
            cut_short[packet.stream_index] = packet.is_corrupt
            tally.damaged += packet.is_corrupt
        try:
            frames = packet.decode()
        except av.FFmpegError:
            tally.damaged += not packet.is_corrupt
            continue
        for frame in frames:
            if isinstance(frame, av.VideoFrame | av.AudioFrame):
                tally.damaged += frame.is_corrupt
                yield frame
    tally.broke_off |= any(cut_short.values())


def _count_picture(frame: av.VideoFrame, tally: _Tally, origin: float, fps: float) -> float:
    """Note a picture and return its time."""
    time = tally.video_end if frame.time is None else frame.time - origin
    length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 1 / fps
    if tally.last_picture is not None:
        step = time - tally.last_picture
        tally.longest_gap = max(tally.longest_gap, step)
        tally.gaps += step > _GAP_FRAMES / fps or step <= 0
    tally.frames += 1
    tally.last_picture = time
    tally.video_end = max(tally.video_end, time + length)
    return time


def _hand_on(blocks: Iterator[Wave], sound: MonoBlocks, on_sound: OnSound) -> None:
    for block in blocks:
        on_sound(block, (sound.samples - len(block)) / AUDIO_RATE)


def _facts(
    container: av.container.InputContainer,
    video: av.VideoStream,
    audio: av.AudioStream | None,
    tally: _Tally,
    path: Path,
) -> DecodedFacts:
    return DecodedFacts(
        container=container.format.name.split(",", maxsplit=1)[0],
        container_seconds=container.duration / av.time_base if container.duration else None,
        video_seconds=round(tally.video_end, 3),
        audio_seconds=round(tally.audio_end, 3) if audio else None,
        video_codec=video.codec_context.name,
        pixel_format=video.codec_context.pix_fmt or "unknown",
        width=video.codec_context.width,
        height=video.codec_context.height,
        fps=round(float(video.average_rate or video.guessed_rate or tally.frames / tally.video_end), 3),
        frames=tally.frames,
        audio_codec=audio.codec_context.name if audio else None,
        sample_rate=audio.codec_context.sample_rate if audio else None,
        channels=audio.codec_context.channels if audio else None,
        faststart=_is_faststart(path),
        gaps=tally.gaps,
        longest_gap=round(tally.longest_gap, 3),
        damaged=tally.damaged,
        broke_off=tally.broke_off,
    )


def _is_faststart(path: Path) -> bool | None:
    """Whether the index of an MP4 comes before its data; None for files that are not built of such boxes."""
    order: list[bytes] = []
    size = path.stat().st_size
    with path.open("rb") as file:
        position = 0
        while position + 8 <= size and len(order) < 64:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:
                (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            order.append(kind)
            if length < 8:
                break
            position += length
    if not order or order[0] != b"ftyp" or b"moov" not in order:
        return None
    return b"mdat" not in order or order.index(b"moov") < order.index(b"mdat")
