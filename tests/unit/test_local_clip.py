"""Clips are read as upright frames of constant rate, forwards and backwards."""

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import ProviderRejected
from tasks.providers.local.clip import BACKWARD_FRAMES, Clip, ping_pong
from tests.face_pictures import Image, save_clip, save_speech


def numbered(count: int, size: tuple[int, int] = (64, 96)) -> list[Image]:
    """Frames whose brightness says which they are."""
    return [np.full((*size, 3), 10 + 4 * number, np.uint8) for number in range(count)]


def numbers(frames: list[Image]) -> list[int]:
    return [round((float(frame.mean()) - 10) / 4) for frame in frames]


def test_frames_come_in_order(tmp_path: Path) -> None:
    """A clip at the rate of the video is passed on frame by frame."""
    clip = Clip.open(save_clip(tmp_path / "a.mp4", numbered(30)), 25, None)

    assert numbers(list(clip.frames())) == list(range(30))
    assert (clip.width, clip.height) == (96, 64)


def test_any_stretch_can_be_read(tmp_path: Path) -> None:
    """A stretch in the middle is found across groups of pictures, exactly."""
    clip = Clip.open(save_clip(tmp_path / "a.mp4", numbered(40), gop=12), 25, None)

    assert numbers(list(clip.frames(17, 31))) == list(range(17, 31))


def test_a_variable_frame_rate_is_resampled_by_time(tmp_path: Path) -> None:
    """Each frame stays on screen for as long as the clip says: here 40, 120 and 40 ms in turn."""
    times = [0, 40, 160, 200, 240, 360, 400]
    clip = Clip.open(save_clip(tmp_path / "v.mp4", numbered(7), times_ms=times), 25, None)

    assert numbers(list(clip.frames(0, 11))) == [0, 1, 1, 1, 2, 3, 4, 4, 4, 5, 6]


@pytest.mark.parametrize(("fps", "expected"), [(25, 25), (24, 24), (30, 30)])
def test_other_rates_keep_the_duration(tmp_path: Path, fps: int, expected: int) -> None:
    """A second of 50 frames is a second at every rate of the video."""
    clip = Clip.open(save_clip(tmp_path / "f.mp4", numbered(50), fps=50), fps, None)

    assert len(list(clip.frames())) == pytest.approx(expected, abs=1)


def test_a_short_clip_is_played_to_and_fro(tmp_path: Path) -> None:
    """Past its end the clip runs backwards, then forwards, and no frame is shown twice in a row."""
    clip = Clip.open(save_clip(tmp_path / "a.mp4", numbered(10)), 25, None)

    shown = numbers(list(clip.play(10, 40)))

    assert shown == [ping_pong(number, 10) for number in range(40)]
    assert shown[8:12] == [8, 9, 8, 7]
    assert all(one != two for one, two in pairwise(shown))


def test_playing_backwards_holds_few_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long clip is read backwards piece by piece, never whole."""
    clip = Clip.open(save_clip(tmp_path / "a.mp4", numbered(60), gop=60), 25, None)
    asked = []
    frames = Clip.frames

    def watched(self: Clip, start: int = 0, stop: int | None = None) -> object:
        asked.append((start, stop))
        return frames(self, start, stop)

    monkeypatch.setattr(Clip, "frames", watched)
    shown = numbers(list(clip.play(60, 120)))

    assert shown == [ping_pong(number, 60) for number in range(120)]
    assert all(
        stop is not None and stop - start <= BACKWARD_FRAMES for start, stop in asked if (start, stop) != (0, 60)
    )


def test_a_single_frame_can_be_held(tmp_path: Path) -> None:
    """A clip of one frame is a still picture for as long as the speech lasts."""
    clip = Clip.open(save_clip(tmp_path / "one.mp4", numbered(1)), 25, None)

    assert numbers(list(clip.play(1, 5))) == [0] * 5


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), 3), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)])
def test_a_turned_clip_is_set_upright(tmp_path: Path, matrix: tuple[int, int, int, int], turns: int) -> None:
    """The rotation that a phone wrote into the file is applied."""
    lying = numbered(3)
    for frame in lying:
        frame[:16, :16] = 255
    path = save_clip(tmp_path / "turned.mp4", lying)
    _write_rotation(path, matrix)
    clip = Clip.open(path, 25, None)

    frame = next(clip.frames())

    expected = np.rot90(lying[0], turns)
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 6


def test_a_large_clip_is_shrunk(tmp_path: Path) -> None:
    """Frames come at the size of the video."""
    path = save_clip(tmp_path / "big.mp4", numbered(2, size=(480, 640)))
    clip = Clip.open(path, 25, 240)

    assert next(clip.frames()).shape == (240, 320, 3)


def test_colours_survive(tmp_path: Path) -> None:
    """Reading a clip does not shift its colours."""
    patches = np.zeros((64, 96, 3), np.uint8)
    patches[:, :32], patches[:, 32:64], patches[:, 64:] = (200, 60, 50), (60, 180, 70), (60, 80, 200)
    clip = Clip.open(save_clip(tmp_path / "c.mp4", [patches] * 3), 25, None)

    frame = next(clip.frames()).astype(int)

    for column in (16, 48, 80):
        assert np.abs(frame[32, column] - patches[32, column]).max() < 12


def test_a_broken_end_ends_the_clip(tmp_path: Path) -> None:
    """What decodes of a damaged clip is used; it is not an error as long as there is something."""
    path = save_clip(tmp_path / "a.mkv", numbered(40), gop=8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    clip = Clip.open(path, 25, None)

    count = len(list(clip.frames()))

    assert 5 < count < 40
    assert len(list(islice(clip.play(count, 60), 60))) == 60


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    """Junk and sound without picture are refused by name."""
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"not a video" * 100)
    for path in (junk, save_speech(tmp_path / "a.wav", 0.5), tmp_path / "missing.mp4"):
        with pytest.raises(ProviderRejected) as refused:
            Clip.open(path, 25, None)

        assert refused.value.code == "unreadable"


def _write_rotation(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Put a rotation into the track header of an MP4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value * 65536 for value in matrix)
    words = (a, b, 0, c, d, 0, 0, 0, 0x40000000)
    data[at : at + 36] = b"".join(word.to_bytes(4, "big", signed=True) for word in words)
    path.write_bytes(bytes(data))
