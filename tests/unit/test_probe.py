"""What files are accepted for which field, and what people are told about the others."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tasks.errors import MediaRefused
from tasks.probe import MediaField, probe_media
from tasks.providers.base import ProbedMedia
from tasks.settings import StudioSettings
from tests.media_files import write_bomb_png, write_clip, write_picture, write_sound, write_turned_jpeg

SETTINGS = StudioSettings(max_image_pixels=1_000_000, max_speech_seconds=5, max_clip_seconds=5)


async def probe(path: Path, field: MediaField) -> ProbedMedia:
    role = "speech" if field == "speech.audio" else "avatar"
    return await probe_media(path, role, f"s3://staging/{path.name}", SETTINGS, field=field)


async def refusal(path: Path, field: MediaField) -> str:
    with pytest.raises(MediaRefused) as refused:
        await probe(path, field)
    (problem,) = refused.value.problems
    assert problem.field == field
    assert problem.fix
    return problem.wrong


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
async def test_pictures(tmp_path: Path, suffix: str) -> None:
    """Each picture format of the form is accepted, with its size and the extension of its content."""
    path = write_picture(tmp_path / f"a.{suffix}", 300, 201).rename(tmp_path / "avatar.media")

    found = await probe(path, "avatar.image")

    assert (found.kind, found.extension, found.width, found.height) == ("image", suffix, 300, 201)
    assert len(found.sha256) == 64
    assert found.size == path.stat().st_size


async def test_exif_rotation_counts(tmp_path: Path) -> None:
    """A phone's portrait, stored lying on its side, is reported upright."""
    found = await probe(write_turned_jpeg(tmp_path / "a.jpg", 320, 200), "avatar.image")

    assert (found.width, found.height) == (200, 320)


async def test_gray_and_alpha_pictures(tmp_path: Path) -> None:
    """Gray, 16-bit and transparent pictures are pictures."""
    for name, pixels in {
        "gray": np.full((90, 80), 99, np.uint8),
        "deep": np.full((90, 80, 3), 9999, np.uint16),
        "alpha": np.full((90, 80, 4), 99, np.uint8),
    }.items():
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), pixels)
        found = await probe(path, "avatar.image")
        assert (found.width, found.height) == (80, 90)


async def test_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    """A picture of a few bytes that would fill the memory is never decoded."""
    bomb = write_bomb_png(tmp_path / "bomb.png", 60_000, 60_000)

    assert "60000x60000" in await refusal(bomb, "avatar.image")


async def test_a_chunk_that_claims_gigabytes_is_never_allocated(tmp_path: Path) -> None:
    """OpenCV reserves what a PNG chunk claims to hold; such a file is refused before OpenCV sees it."""
    path = write_picture(tmp_path / "a.png")
    whole = path.read_bytes()
    path.write_bytes(whole[:33] + (0xFF002000).to_bytes(4, "big") + whole[37:])

    assert "cut off" in await refusal(path, "avatar.image")


async def test_a_coding_without_a_decoder_is_refused(tmp_path: Path) -> None:
    """A known container around an unknown coding is told apart from a damaged file."""
    path = write_sound(tmp_path / "a.wav")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"fmt \x10\0\0\0\x01\0", b"fmt \x10\0\0\0\xee\x77"))

    assert "not known" in await refusal(path, "speech.audio")


async def test_animated_pictures_are_refused(tmp_path: Path) -> None:
    """Nobody has to guess which frame of an animation was meant."""
    for name, codec in (("a.png", "apng"), ("a.webp", "libwebp_anim")):
        path = tmp_path / name
        with av.open(str(path), "w", format="apng" if codec == "apng" else "webp") as container:
            stream = container.add_stream(codec, rate=5)
            stream.width = stream.height = 64
            stream.pix_fmt = "rgb24" if codec == "apng" else "yuv420p"
            for number in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number * 60, np.uint8), format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

        assert "animated" in await refusal(path, "avatar.image")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.98])
async def test_cut_pictures_are_refused(tmp_path: Path, suffix: str, share: float) -> None:
    """Half a picture is not rendered with a gray lower half."""
    path = write_picture(tmp_path / f"a.{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])

    said = await refusal(path, "avatar.image")

    assert any(word in said for word in ("cut off", "damaged", "header", "file is"))


@pytest.mark.parametrize("suffix", ["wav", "mp3", "m4a", "flac", "ogg"])
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (48_000, 2)])
async def test_recordings(tmp_path: Path, suffix: str, rate: int, channels: int) -> None:
    """Each sound format of the form is accepted, with its decoded length."""
    path = write_sound(tmp_path / f"a.{suffix}", 1.5, rate, channels)

    found = await probe(path, "speech.audio")

    assert (found.kind, found.extension, found.sample_rate, found.channels) == ("audio", suffix, rate, channels)
    assert found.seconds == pytest.approx(1.5, abs=0.06)


async def test_a_video_may_be_given_as_recording(tmp_path: Path) -> None:
    """The sound of a clip is taken; a clip without sound is refused."""
    found = await probe(write_clip(tmp_path / "a.mp4"), "speech.audio")

    assert (found.kind, found.extension, found.width) == ("audio", "mp4", None)
    assert found.seconds == pytest.approx(1, abs=0.06)
    assert "no sound" in await refusal(write_clip(tmp_path / "b.mp4", sound=False), "speech.audio")


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mov", "libx264"), ("webm", "libvpx-vp9")])
@pytest.mark.parametrize("sound", [True, False])
async def test_clips(tmp_path: Path, suffix: str, codec: str, sound: bool) -> None:
    """Each clip format of the form is accepted, with or without sound."""
    path = write_clip(tmp_path / f"a.{suffix}", codec=codec, sound=sound)

    found = await probe(path, "avatar.video")

    assert (found.kind, found.extension, found.width, found.height) == ("video", suffix, 160, 120)
    assert found.seconds == pytest.approx(1, abs=0.05)
    assert found.fps == pytest.approx(25, abs=0.5)
    assert found.channels == (1 if sound else None)


async def test_variable_frame_rate(tmp_path: Path) -> None:
    """A clip with a changing rate is reported with its real average."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for at in (*range(0, 100, 4), *range(100, 200, 10)):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), at, np.uint8), format="rgb24")
            frame.pts = at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    found = await probe(path, "avatar.video")

    assert found.seconds == pytest.approx(2, abs=0.15)
    assert found.fps == pytest.approx(17.5, abs=1.5)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty", b"", "empty"),
        ("pdf", b"%PDF-1.7 and so on", "PDF"),
        ("page", b"\n<!DOCTYPE html><html>login</html>", "web page"),
        ("error", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "error message"),
        ("svg", b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        ("gif", b"GIF89a" + b"\0" * 50, "GIF"),
        ("heic", b"\0\0\0\x18ftypheic" + b"\0" * 50, "HEIC"),
        ("zip", b"PK\x03\x04" + b"\0" * 50, "ZIP"),
        ("text", b"just some words", "text"),
        ("noise", bytes(range(1, 200)) * 5, "unknown"),
        ("hls", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "HLS playlist"),
        ("hls with a mark", b"\xef\xbb\xbf#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "HLS playlist"),
        ("dash", b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'/>", "DASH playlist"),
        ("concat", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "list of files"),
    ],
)
@pytest.mark.parametrize("field", ["avatar.image", "avatar.video", "speech.audio"])
async def test_wrong_files_are_named(tmp_path: Path, name: str, content: bytes, said: str, field: MediaField) -> None:
    """Whatever is not media is refused by what it is, for each field."""
    path = tmp_path / name
    path.write_bytes(content)

    assert said in await refusal(path, field)


async def test_right_file_in_the_wrong_field(tmp_path: Path) -> None:
    """A file in the wrong field is told what it is and what is wanted."""
    sound = write_sound(tmp_path / "a.wav")
    picture = write_picture(tmp_path / "a.png")
    song = write_sound(tmp_path / "a.m4a")

    assert "WAV" in await refusal(sound, "avatar.image")
    assert "WAV" in await refusal(sound, "avatar.video")
    assert "PNG" in await refusal(picture, "speech.audio")
    assert "PNG" in await refusal(picture, "avatar.video")
    assert "no moving picture" in await refusal(song, "avatar.video")


@pytest.mark.parametrize("share", [0.3, 0.8])
async def test_cut_clips_are_refused(tmp_path: Path, share: float) -> None:
    """A faststart clip that was cut off decodes without an error, so its announced length is compared."""
    path = write_clip(tmp_path / "a.mp4", seconds=4)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])

    assert "cut off" in await refusal(path, "avatar.video")


@pytest.mark.parametrize("suffix", ["wav", "m4a", "flac"])
async def test_cut_recordings_are_refused(tmp_path: Path, suffix: str) -> None:
    """A recording that lost its end in an upload is not rendered as a shorter speech."""
    path = write_sound(tmp_path / f"a.{suffix}", 4)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    said = await refusal(path, "speech.audio")

    assert any(word in said for word in ("cut off", "cannot be decoded", "damaged"))


async def test_caps_on_length(tmp_path: Path) -> None:
    """A speech or clip beyond the cap is refused before anything is paid."""
    assert "longer than 5 s" in await refusal(write_sound(tmp_path / "a.wav", 6.5), "speech.audio")
    assert "longer than 5 s" in await refusal(write_sound(tmp_path / "a.mp3", 6.5), "speech.audio")
    assert "longer than 5 s" in await refusal(write_clip(tmp_path / "a.mp4", 6.5), "avatar.video")


async def test_field_is_guessed_from_the_content(tmp_path: Path) -> None:
    """Without a field an avatar may be a picture or a clip."""
    picture = await probe_media(write_picture(tmp_path / "a.png"), "avatar", "x", SETTINGS)
    clip = await probe_media(write_clip(tmp_path / "a.mp4"), "avatar", "x", SETTINGS)

    assert (picture.kind, clip.kind) == ("image", "video")
