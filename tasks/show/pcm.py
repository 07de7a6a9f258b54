"""Sound from any file as PCM for a drive: signed 16-bit little-endian, mono, decoded piece by piece."""

from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path

import av
import numpy as np

from tasks.audio import Wave, decode_blocks
from tasks.errors import StudioError
from tasks.show.ahead import read_ahead
from tasks.show.rundown import LONGEST_HOURS
from tasks.sniff import HEAD_BYTES, file_type

SAMPLE_BYTES = 2
PIECE_SECONDS = 1.0
_LONGEST_SECONDS = LONGEST_HOURS * 3600


class Unplayable(StudioError):
    """A file holds no sound that could be played; the text says why and what to do."""


def file_pcm(path: Path, sample_rate: int) -> AsyncGenerator[bytes]:
    """Decode a file of any length in constant memory, while what came before is spoken.

    Args:
        path: any container and codec that FFmpeg reads, with sound in it.
        sample_rate: samples per second wanted.

    Yields:
        PCM, signed 16-bit little-endian, mono, in pieces of 1 s or a little more; the last may be shorter.

    Raises:
        Unplayable: no such file, no sound in it, or longer than a show may be.
    """
    return read_ahead(_pieces(path, sample_rate))


def as_pcm(wave: Wave) -> bytes:
    """Turn float32[n] in [-1, 1] into signed 16-bit little-endian; what is louder is clipped."""
    return (np.clip(wave, -1, 1) * 32_767).astype("<i2").tobytes()


def _pieces(path: Path, sample_rate: int) -> Generator[bytes]:
    piece = bytearray()
    for block in _blocks(path, sample_rate):
        piece += as_pcm(block)
        if len(piece) >= PIECE_SECONDS * sample_rate * SAMPLE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _blocks(path: Path, rate: int) -> Iterator[Wave]:
    """The sound of a file as blocks of float32, a fraction of a second each."""
    samples = 0
    try:
        with _open(path) as container:
            if not container.streams.audio:
                raise _unplayable(path, "has no sound track", "Give a file with a voice in it.")
            for block in decode_blocks(container, rate, _LONGEST_SECONDS):
                samples += len(block)
                if samples > _LONGEST_SECONDS * rate:
                    raise _unplayable(path, f"is longer than {LONGEST_HOURS} h", "Cut it into shorter parts.")
                yield block
    except Unplayable:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unplayable(path, f"cannot be read as sound ({reason})", "Export it again as WAV.") from error
    if not samples:
        raise _unplayable(path, "holds no sound that can be decoded", "Export it again as WAV.")


def _open(path: Path) -> av.container.InputContainer:
    """Open with the one demuxer that the first bytes call for: left to guess, ffmpeg would follow a playlist."""
    with path.open("rb") as file:
        found = file_type(file.read(HEAD_BYTES))
    if found.kind not in {"audio", "video"}:
        raise _unplayable(path, f"is {found.name}", "Give a WAV, MP3, M4A, FLAC or OGG recording.")
    only = {"protocol_whitelist": "file", "format_whitelist": found.demuxer}
    return av.open(str(path), format=found.demuxer, options=only)


def _unplayable(path: Path, wrong: str, fix: str) -> Unplayable:
    return Unplayable(f"{path.name} {wrong}.", fix=fix)
