"""The visible label: there from the first frame, as large as the law asks, and the sound untouched."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.label import IMPLICIT_MARK, burn_in, label_digest, label_video
from tasks.models import Labels

SECONDS, FPS, RATE = 4, 25, 24000


def make_video(path: Path, width: int = 320, height: int = 240, grey: int = 128) -> Path:
    """A plain grey video with a tone."""
    with av.open(str(path), "w") as target:
        picture = target.add_stream("libx264", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound = target.add_stream("aac", rate=RATE, layout="mono")
        for number in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), grey, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            target.mux(picture.encode(frame))
        target.mux(picture.encode(None))
        wave = (np.sin(np.arange(SECONDS * RATE) * 0.05) * 9000).astype(np.int16)[None]
        block = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        block.sample_rate, block.pts = RATE, 0
        target.mux(sound.encode(block))
        target.mux(sound.encode(None))
    return path


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as source:
        return [frame.to_ndarray(format="gray") for frame in source.decode(video=0)]


def _rows_with_letters(frame: np.ndarray) -> int:
    return int((frame.max(axis=1) > 200).sum())


def _sound(path: Path) -> list[bytes]:
    with av.open(str(path)) as source:
        return [bytes(packet) for packet in source.demux(audio=0) if packet.size]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 426), (1280, 720)])
def test_label_is_large_enough_from_the_first_frame_to_the_last(tmp_path: Path, width: int, height: int) -> None:
    """Letters reach at least 5 % of the short side, in every frame."""
    original = make_video(tmp_path / "a.mp4", width, height)

    burn_in(original, Labels(text="AI-generated"), tmp_path / "b.mp4", "k" * 64)

    frames = _frames(tmp_path / "b.mp4")
    assert len(frames) == SECONDS * FPS
    # A capital is about seven tenths of the letter size.
    assert min(_rows_with_letters(frame) for frame in frames) >= 0.05 * 0.7 * min(width, height)


def test_label_may_leave_after_a_while(tmp_path: Path) -> None:
    """A label of 2 s is there for 2 s and gone afterwards."""
    original = make_video(tmp_path / "a.mp4")

    burn_in(original, Labels(seconds=2), tmp_path / "b.mp4", "k" * 64)

    seen = [_rows_with_letters(frame) > 0 for frame in _frames(tmp_path / "b.mp4")]
    assert seen == [True] * (2 * FPS) + [False] * (2 * FPS)


def test_long_label_is_wrapped_not_cut_or_shrunk(tmp_path: Path) -> None:
    """Forty letters on a narrow picture take more lines of the same size."""
    original = make_video(tmp_path / "a.mp4", 160, 240)
    burn_in(original, Labels(text="AI"), tmp_path / "short.mp4", "k" * 64)
    burn_in(original, Labels(text="This video was made by a machine, AI!"), tmp_path / "long.mp4", "k" * 64)

    short, long = (_frames(tmp_path / name)[0] for name in ("short.mp4", "long.mp4"))
    assert _rows_with_letters(long) >= 2 * _rows_with_letters(short)
    # Nothing is drawn in the outermost columns.
    assert long[:, :2].max() < 200
    assert long[:, -2:].max() < 200


def test_sound_is_copied_bit_by_bit_and_the_file_says_what_it_is(tmp_path: Path) -> None:
    """Only the picture is encoded again; the container carries the implicit mark and starts fast."""
    original = make_video(tmp_path / "a.mp4")

    burn_in(original, Labels(), tmp_path / "b.mp4", "k" * 64)

    assert _sound(tmp_path / "b.mp4") == _sound(original)
    with av.open(str(tmp_path / "b.mp4")) as made:
        assert IMPLICIT_MARK in made.metadata["comment"]
    head = (tmp_path / "b.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")


async def test_no_visible_label_leaves_the_original_alone(tmp_path: Path) -> None:
    """Without a label there is no second file."""
    original = make_video(tmp_path / "a.mp4")

    made = await label_video.fn(original, Labels(visible=False), tmp_path / "b.mp4", "k" * 64)

    assert made == original
    assert not (tmp_path / "b.mp4").exists()


def test_digest_names_what_changes_the_file() -> None:
    """Equal labels have one digest, also after a way through JSON; other words have another."""
    assert label_digest(Labels()) == label_digest(Labels.model_validate_json(Labels().model_dump_json()))
    assert label_digest(Labels(text="x")) != label_digest(Labels())
    assert label_digest(Labels(visible=False, text="x")) == label_digest(Labels(visible=False))
