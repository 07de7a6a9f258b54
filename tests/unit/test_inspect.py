"""The inspection of finished videos: `tasks.inspect`."""

from pathlib import Path

import numpy as np
import pyloudnorm
import pytest

from tasks.errors import DownloadBroken
from tasks.inspect import Inspection, examine_video, inspect_video, verify_playable
from tasks.quality.decode import decode_all
from tasks.quality.loudness import LoudnessMeter
from tests.talking_video import moving_pictures, voice_like, write_video


def level_of(inspection: Inspection, what: str) -> str:
    return next(finding.level for finding in inspection.findings if finding.what == what)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds that nobody could object to, apart from their art."""
    return write_video(tmp_path_factory.mktemp("good") / "good.mp4", moving_pictures(100), voice_like(4))


async def test_good_video_has_facts_and_no_failure(good: Path) -> None:
    """Facts are those of the file; a sound video of the right length does not fail."""
    inspection = await inspect_video.fn(good, expected_seconds=4.0)

    facts = inspection.facts
    assert (facts.width, facts.height, facts.fps, facts.frames) == (160, 90, 25.0, 100)
    assert (facts.video_codec, facts.audio_codec, facts.pixel_format) == ("h264", "aac", "yuv420p")
    assert (facts.sample_rate, facts.channels, facts.faststart) == (48_000, 1, True)
    assert inspection.seconds == pytest.approx(4, abs=0.01)
    assert (facts.gaps, facts.damaged, facts.broke_off) == (0, 0, False)
    assert (inspection.black, inspection.frozen, inspection.silence) == ([], [], [])
    assert inspection.failures == []
    assert Inspection.model_validate_json(inspection.model_dump_json()) == inspection


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_every_sound_format_measures_the_same(tmp_path: Path, rate: int, layout: str) -> None:
    """Rate and channels of the sound are facts, not reasons for other measures."""
    wave = (0.1 * np.sin(2 * np.pi * 997 * np.arange(2 * rate) / rate)).astype(np.float32)

    inspection = examine_video(write_video(tmp_path / "a.mp4", moving_pictures(50), wave, rate=rate, layout=layout))

    assert inspection.facts.sample_rate == rate
    assert inspection.facts.audio_seconds == pytest.approx(2, abs=0.2)
    assert inspection.loudness == pytest.approx(-23.0, abs=0.7)
    assert -20.5 < (inspection.peak_db or 0) < -15


def test_black_and_frozen_stretches_are_found(tmp_path: Path) -> None:
    """Stretches are reported with their times, a black one not as frozen as well."""
    pictures = moving_pictures(150)
    pictures[25:50] = [np.zeros_like(pictures[0])] * 25
    pictures[75:125] = [pictures[75]] * 50

    inspection = examine_video(write_video(tmp_path / "a.mp4", pictures, voice_like(6)))

    assert [(s.start, s.end) for s in inspection.black] == [pytest.approx((1.0, 2.0), abs=0.05)]
    assert [(s.start, s.end) for s in inspection.frozen] == [pytest.approx((3.0, 5.0), abs=0.05)]
    assert level_of(inspection, "black") == level_of(inspection, "frozen") == "warn"
    assert inspection.failures == []


def test_small_slow_movement_is_not_frozen(tmp_path: Path) -> None:
    """Lips and breath move few pixels by little from picture to picture; that is no standstill."""
    pictures = [np.full((180, 320, 3), 100, np.uint8) for _ in range(60)]
    for index, picture in enumerate(pictures):
        picture[100 : 103 + index // 6, 150:165] = 160

    inspection = examine_video(write_video(tmp_path / "a.mp4", pictures, voice_like(2.4)))

    assert inspection.frozen == []


def test_all_black_video_is_unusable(tmp_path: Path) -> None:
    """A video without a picture to see fails."""
    black = [np.zeros((90, 160, 3), np.uint8)] * 50

    inspection = examine_video(write_video(tmp_path / "a.mp4", black, voice_like(2)))

    assert [finding.what for finding in inspection.failures] == ["black"]


def test_silence_is_found_where_it_is(tmp_path: Path) -> None:
    """A pause of four seconds is named with its time; a breath is not."""
    wave = voice_like(8)
    wave[48_000 : 48_000 + 24_000] = 0
    wave[2 * 48_000 : 6 * 48_000] = 0

    inspection = examine_video(write_video(tmp_path / "a.mp4", moving_pictures(80), wave, fps=10))

    assert [(s.start, s.end) for s in inspection.silence] == [pytest.approx((2.0, 6.0), abs=0.1)]
    assert level_of(inspection, "silence") == "warn"


def test_sound_that_ends_early_is_silence_to_the_end(tmp_path: Path) -> None:
    """Pictures that go on without sound are a silent stretch and a difference in length."""
    inspection = examine_video(write_video(tmp_path / "a.mp4", moving_pictures(125), voice_like(2)))

    assert [(s.start, s.end) for s in inspection.silence] == [pytest.approx((2.0, 5.0), abs=0.1)]
    assert level_of(inspection, "lengths") == "warn"


def test_silent_video_has_no_loudness(tmp_path: Path) -> None:
    """Digital silence is a warning without made-up decibels."""
    inspection = examine_video(write_video(tmp_path / "a.mp4", moving_pictures(50), np.zeros(96_000, np.float32)))

    assert inspection.loudness is None
    assert level_of(inspection, "silence") == "warn"


def test_missing_sound_fails_only_where_speech_was_expected(tmp_path: Path) -> None:
    """A mute video is unusable as a talking video."""
    path = write_video(tmp_path / "a.mp4", moving_pictures(50))

    assert level_of(examine_video(path), "sound") == "warn"
    assert level_of(examine_video(path, expected_seconds=2.0), "sound") == "fail"


@pytest.mark.parametrize(("expected", "level"), [(4.0, "ok"), (4.3, "warn"), (5.0, "fail"), (3.0, "fail")])
def test_length_is_compared_with_the_speech(good: Path, expected: float, level: str) -> None:
    """Half a second off means that words are missing or that somebody stands there mute."""
    assert level_of(examine_video(good, expected), "length") == level


def test_very_short_video_is_measured(tmp_path: Path) -> None:
    """0.2 s is too short for a loudness and a sync, and no crash."""
    inspection = examine_video(write_video(tmp_path / "a.mp4", moving_pictures(5), voice_like(0.2)))

    assert inspection.seconds == pytest.approx(0.2)
    assert inspection.loudness is None


def test_dropped_pictures_are_gaps(tmp_path: Path) -> None:
    """A hole of ten pictures is seen, with its length."""
    inspection = examine_video(
        write_video(tmp_path / "a.mp4", moving_pictures(100), voice_like(4), skip=frozenset(range(40, 50)))
    )

    assert inspection.facts.gaps == 1
    assert inspection.facts.longest_gap == pytest.approx(11 / 25, abs=0.01)
    assert level_of(inspection, "gaps") == "warn"


def test_index_at_the_end_is_a_warning(tmp_path: Path) -> None:
    """Without faststart a browser waits for the whole file."""
    inspection = examine_video(write_video(tmp_path / "a.mp4", moving_pictures(50), voice_like(2), faststart=False))

    assert inspection.facts.faststart is False
    assert level_of(inspection, "faststart") == "warn"


@pytest.mark.parametrize("share", [0.4, 0.7, 0.9])
def test_truncated_faststart_video_is_caught(tmp_path: Path, good: Path, share: float) -> None:
    """The trap: a cut file with its index in front decodes without a word; its announced length gives it away."""
    data = good.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: int(share * len(data))])

    with pytest.raises(DownloadBroken, match=r"cut short: it announces 4\.0"):
        verify_playable(cut)
    assert level_of(examine_video(cut), "complete") == "fail"


def test_video_cut_by_a_few_bytes_is_caught(tmp_path: Path, good: Path) -> None:
    """A tail too short to shorten the video still breaks its last packet."""
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(good.read_bytes()[:-9])

    with pytest.raises(DownloadBroken, match="in the middle of its data"):
        verify_playable(cut)


def test_zeroed_middle_is_caught(tmp_path: Path) -> None:
    """A lost part of a download that was filled with zeros is damage, not a video."""
    noise = np.random.default_rng(0).integers(0, 255, (75, 120, 160, 3), dtype=np.uint8)
    data = bytearray(write_video(tmp_path / "a.mp4", list(noise), voice_like(3)).read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    (tmp_path / "b.mp4").write_bytes(data)

    with pytest.raises(DownloadBroken, match="damaged"):
        verify_playable(tmp_path / "b.mp4")


@pytest.mark.parametrize("content", [b"", b"<html>404 not found</html>" * 40])
def test_no_video_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    """An error page saved as MP4 is no video."""
    (tmp_path / "page.mp4").write_bytes(content)

    with pytest.raises(DownloadBroken, match=r"page\.mp4 cannot be opened"):
        verify_playable(tmp_path / "page.mp4")


def test_sound_file_is_no_video(tmp_path: Path, good: Path) -> None:
    """A result without a video stream is named as such."""
    import av

    with av.open(str(good)) as source, av.open(str(tmp_path / "a.m4a"), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)

    with pytest.raises(DownloadBroken, match="no video stream"):
        verify_playable(tmp_path / "a.m4a")


def test_whole_video_is_playable(good: Path) -> None:
    """The check returns what it decoded."""
    facts = verify_playable(good)

    assert facts.container_seconds == pytest.approx(4, abs=0.06)
    assert facts == decode_all(good)


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_loudness_in_blocks_equals_the_whole(rate: int) -> None:
    """Loudness measured block by block is the library's own measure of the whole signal."""
    generator = np.random.default_rng(3)
    wave = (generator.normal(0, 0.1, 8 * rate) * np.repeat(generator.uniform(0, 1, 80), rate // 10)).astype(np.float32)
    meter = LoudnessMeter(rate)
    for first in range(0, len(wave), 777):
        meter.add(wave[first : first + 777])

    assert meter.integrated() == pytest.approx(pyloudnorm.Meter(rate).integrated_loudness(wave.astype(float)), abs=1e-6)
