"""What a file is, by its first bytes, before any decoder touches it.

Naming the one demuxer to use is what keeps playlists out: left to guess, ffmpeg would take a text file for a playlist
and open the files and addresses in it.
"""

import struct
from dataclasses import dataclass

from tasks.providers.base import MediaKind

HEAD_BYTES = 4096


@dataclass(frozen=True)
class FileType:
    """A kind of file.

    Args:
        name: what people call it.
        extension: canonical file extension.
        kind: what it may hold; None for what is never accepted. A video file may hold sound only.
        demuxer: ffmpeg's name of its reader.
    """

    name: str
    extension: str = ""
    kind: MediaKind | None = None
    demuxer: str = ""


UNKNOWN = FileType("a file of unknown kind")
EMPTY = FileType("an empty file")

_MP4 = FileType("an MP4 file", "mp4", "video", "mov")
_BRANDS = {
    b"qt  ": FileType("a QuickTime file", "mov", "video", "mov"),
    b"M4A ": FileType("an M4A file", "m4a", "audio", "mov"),
    b"M4B ": FileType("an M4A file", "m4a", "audio", "mov"),
    b"heic": FileType("a HEIC picture"),
    b"heix": FileType("a HEIC picture"),
    b"mif1": FileType("a HEIF picture"),
    b"avif": FileType("an AVIF picture"),
}
_RIFF = {
    b"WAVE": FileType("a WAV file", "wav", "audio", "wav"),
    b"WEBP": FileType("a WebP picture", "webp", "image"),
    b"AVI ": FileType("an AVI file"),
}
_MP3 = FileType("an MP3 file", "mp3", "audio", "mp3")
_PREFIXES = (
    (b"\xff\xd8\xff", FileType("a JPEG picture", "jpg", "image")),
    (b"\x89PNG\r\n\x1a\n", FileType("a PNG picture", "png", "image")),
    (b"ID3", _MP3),
    (b"fLaC", FileType("a FLAC file", "flac", "audio", "flac")),
    (b"OggS", FileType("an OGG file", "ogg", "audio", "ogg")),
    (b"\x1aE\xdf\xa3", FileType("a WebM file", "webm", "video", "matroska")),
    (b"GIF8", FileType("a GIF picture")),
    (b"BM", FileType("a BMP picture")),
    (b"II*\x00", FileType("a TIFF picture")),
    (b"MM\x00*", FileType("a TIFF picture")),
    (b"%PDF", FileType("a PDF document")),
    (b"PK\x03\x04", FileType("a ZIP archive or an office document")),
    (b"\x1f\x8b", FileType("a compressed file")),
    (b"FLV", FileType("an FLV file")),
    (b"0&\xb2u", FileType("a Windows Media file")),
    (b"#!AMR", FileType("an AMR file")),
    (b"FORM", FileType("an AIFF file")),
    (b"#EXTM3U", FileType("an HLS playlist")),
    (b"ffconcat", FileType("a list of files to join")),
)
_TEXTS = (
    (b"<svg", FileType("an SVG drawing")),
    (b"<mpd", FileType("a DASH playlist")),
    (b"<html", FileType("a web page")),
    (b"<!doctype html", FileType("a web page")),
    (b"<error", FileType("an error message of a server")),
    (b"#extm3u", FileType("an HLS playlist")),
)


def file_type(head: bytes) -> FileType:
    """Name a file by its first bytes."""
    if not head:
        return EMPTY
    return _boxed_type(head) or _prefixed_type(head) or _framed_type(head) or _text_type(head)


def _boxed_type(head: bytes) -> FileType | None:
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    # QuickTime files of old cameras start without a brand.
    return _BRANDS[b"qt  "] if head[4:8] in {b"moov", b"mdat", b"wide"} else None


def _prefixed_type(head: bytes) -> FileType | None:
    return next((found for prefix, found in _PREFIXES if head.startswith(prefix)), None)


def _framed_type(head: bytes) -> FileType | None:
    """Sound without a container: eleven set bits begin a frame; layer 0 marks AAC, the others MPEG audio."""
    if len(head) < 2 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return FileType("an AAC file", "aac", "audio", "aac")
    return _MP3 if head[1] & 0x06 else None


def _text_type(head: bytes) -> FileType:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for sign, found in _TEXTS:
        if text.startswith(sign) or (text.startswith((b"<?xml", b"<!--")) and sign in text):
            return found
    if b"\x00" not in head and head.decode("utf-8", errors="ignore").isprintable():
        return FileType("a text file")
    return UNKNOWN


def riff_size(head: bytes) -> int | None:
    """Bytes that a WAV file's header announces, None where its writer did not know them."""
    if head[:4] != b"RIFF" or len(head) < 8:
        return None
    (size,) = struct.unpack("<I", head[4:8])
    # Recorders that write to a pipe put the largest number they can.
    return None if size == 0 or size >= 0x7FFFF000 else size + 8


@dataclass(frozen=True)
class ImageHeader:
    """What a picture's header says; size as stored, before any rotation."""

    width: int
    height: int
    animated: bool = False
    complete: bool = True


def image_header(extension: str, data: bytes) -> ImageHeader | None:
    """Size of a JPEG, PNG or WebP file from its header, without decoding; None when the header is broken."""
    readers = {"jpg": _jpeg_header, "png": _png_header, "webp": _webp_header}
    try:
        return readers[extension](data)
    except (struct.error, IndexError):
        return None


def _png_header(data: bytes) -> ImageHeader:
    width, height = struct.unpack(">II", data[16:24])
    # OpenCV allocates whatever length a chunk claims, up to 4 GiB, so every claim is checked against the file.
    position, animated = 8, False
    while position + 12 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        name = data[position + 4 : position + 8]
        position += 12 + length
        animated = animated or name == b"acTL"
        if name == b"IEND" and position <= len(data):
            return ImageHeader(width, height, animated=animated)
    return ImageHeader(width, height, animated=animated, complete=False)


def _webp_header(data: bytes) -> ImageHeader | None:
    (announced,) = struct.unpack("<I", data[4:8])
    complete = len(data) >= announced + 8
    chunk = data[12:16]
    if chunk == b"VP8X":
        flags = data[20]
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
        return ImageHeader(width, height, animated=bool(flags & 0x02), complete=complete)
    if chunk == b"VP8L":
        (bits,) = struct.unpack("<I", data[21:25])
        return ImageHeader((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, complete=complete)
    if chunk == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return ImageHeader(width & 0x3FFF, height & 0x3FFF, complete=complete)
    return None


def _jpeg_header(data: bytes) -> ImageHeader | None:
    position = 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        (length,) = struct.unpack(">H", data[position + 2 : position + 4])
        # SOF markers carry the size; C4, C8 and CC are tables in the same range.
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            # The last scan ends with EOI; a thumbnail's own EOI lies before this point.
            return ImageHeader(width, height, complete=data.rfind(b"\xff\xd9") > position)
        position += 2 + length
    return None
