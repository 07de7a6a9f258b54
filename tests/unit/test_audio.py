"""Decoding sound from any file: `tasks.audio`."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.audio import Wave, decode_mono
from tasks.errors import MediaRefused


def tone(seconds: float, rate: int, hertz: float = 220, level: float = 0.5) -> Wave:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_sound(
    path: Path, wave: Wave, rate: int, *, codec: str = "pcm_s16le", layout: str = "mono", start: float = 0
) -> None:
    """Write the same wave into every channel, its first timestamp at so many seconds."""
    channels = av.AudioLayout(layout).nb_channels
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        samples = np.repeat((wave * 32767).astype(np.int16)[:, None], channels, axis=1)
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate)
        for first in range(0, len(wave), 4096):
            part = np.ascontiguousarray(samples[first : first + 4096].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = first + round(start * rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))


def pitch(wave: Wave, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * rate / len(wave))


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_every_rate_and_layout_keeps_length_pitch_and_level(tmp_path: Path, rate: int, layout: str) -> None:
    """A recording sounds the same whatever its sample rate and number of channels."""
    path = tmp_path / "voice.wav"
    write_sound(path, tone(1, rate), rate, layout=layout)

    wave = decode_mono(path, 24_000)

    assert wave.dtype == np.float32
    assert abs(len(wave) - 24_000) < 300
    assert abs(pitch(wave, 24_000) - 220) < 2
    assert 0.2 < np.abs(wave[1000:-1000]).max() <= 0.55


def test_loud_stereo_does_not_clip(tmp_path: Path) -> None:
    """Two equal channels at full level come out at that level, not added up."""
    write_sound(tmp_path / "loud.wav", tone(0.5, 48_000, level=0.95), 48_000, layout="stereo")

    wave = decode_mono(tmp_path / "loud.wav", 48_000)

    assert np.abs(wave).max() == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp3", "libmp3lame"), ("a.m4a", "aac"), ("a.flac", "flac"), ("a.ogg", "libopus")]
)
def test_common_formats_are_read(tmp_path: Path, name: str, codec: str) -> None:
    """What phones and editors export is accepted, and is as long as it was."""
    write_sound(tmp_path / name, tone(1.5, 48_000), 48_000, codec=codec)

    wave = decode_mono(tmp_path / name, 16_000)

    assert len(wave) / 16_000 == pytest.approx(1.5, abs=0.06)
    assert abs(pitch(wave, 16_000) - 220) < 2


def write_video_with_late_sound(path: Path, delay: float) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        for index in range(50):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), index, np.uint8), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        wave = tone(1, 48_000)
        for first in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, first : first + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
            frame.pts = first + round(delay * 48_000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))


def test_late_sound_of_a_video_begins_with_silence(tmp_path: Path) -> None:
    """Lips and sound stay together when a video's sound track starts after its pictures."""
    write_video_with_late_sound(tmp_path / "late.mp4", 0.4)

    wave = decode_mono(tmp_path / "late.mp4", 16_000)

    onset = int(np.argmax(np.abs(wave) > 0.1)) / 16_000
    assert onset == pytest.approx(0.4, abs=0.04)


def test_late_timestamps_of_a_recording_add_no_silence(tmp_path: Path) -> None:
    """A recording cut out of a stream starts with its sound, whatever its clock says."""
    write_sound(tmp_path / "cut.mkv", tone(1, 48_000), 48_000, start=5)

    wave = decode_mono(tmp_path / "cut.mkv", 16_000)

    assert len(wave) / 16_000 == pytest.approx(1, abs=0.02)


def test_hole_in_a_recording_becomes_silence(tmp_path: Path) -> None:
    """What comes after lost packets keeps its place in time."""
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for start in (0, 32_000):
            samples = (tone(1, 16_000) * 32767).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    wave = decode_mono(path, 16_000)

    assert len(wave) / 16_000 == pytest.approx(3, abs=0.01)
    assert np.abs(wave[17_000:31_000]).max() == 0
    assert np.abs(wave[33_000:]).max() > 0.4


def test_video_without_sound_is_refused(tmp_path: Path) -> None:
    """A file without a sound track is refused with the field to blame."""
    with av.open(str(tmp_path / "mute.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(video.encode(None))

    with pytest.raises(MediaRefused, match=r"speech\.audio: mute\.mp4 has no sound track"):
        decode_mono(tmp_path / "mute.mp4", 16_000)


@pytest.mark.parametrize("content", [b"", b"not media at all" * 50, b"RIFF\xff\xff\xff\xffWAVEfmt "])
def test_garbage_is_refused_as_unreadable(tmp_path: Path, content: bytes) -> None:
    """Empty and broken files end in a refusal, not in a crash."""
    (tmp_path / "noise.wav").write_bytes(content)

    with pytest.raises(MediaRefused, match=r"noise\.wav"):
        decode_mono(tmp_path / "noise.wav", 16_000)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that is gone is named."""
    with pytest.raises(MediaRefused, match=r"gone\.wav cannot be read"):
        decode_mono(tmp_path / "gone.wav", 16_000)


def test_too_long_sound_is_refused(tmp_path: Path) -> None:
    """The cap ends the decoding; it does not wait for the end of the file."""
    write_sound(tmp_path / "long.wav", tone(3, 8_000), 8_000)

    with pytest.raises(MediaRefused, match="longer than 2 s"):
        decode_mono(tmp_path / "long.wav", 8_000, max_seconds=2)
