"""Portraits of every kind become frames of a video."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tasks.errors import ProviderRejected
from tasks.providers.local.portrait import fit_size, image_size, load_portrait
from tests.face_pictures import close_up, save, save_turned_jpeg, smiling
from tests.media_files import write_bomb_png


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_each_format_is_read(tmp_path: Path, suffix: str) -> None:
    """JPEG, PNG and WebP come out as the same picture, in RGB order."""
    path = save(tmp_path / f"face.{suffix}", smiling())

    rgb = load_portrait(path)

    assert rgb.shape == (512, 512, 3)
    assert np.abs(rgb.astype(int) - smiling()).mean() < 4


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    """A picture that a camera stored lying on its side stands upright in the video."""
    lying = np.ascontiguousarray(np.rot90(smiling()[:, :400], 1))
    path = save_turned_jpeg(tmp_path / "turned.jpg", lying, orientation=6)

    rgb = load_portrait(path)

    assert rgb.shape == (512, 400, 3)
    assert np.abs(rgb.astype(int) - smiling()[:, :400]).mean() < 4


def test_transparency_is_laid_on_a_neutral_wall(tmp_path: Path) -> None:
    """Where a cut-out is transparent, a light wall shows, not black or leftover pixels."""
    alpha = np.full((512, 512, 1), 255, np.uint8)
    alpha[:100] = 0
    path = save(tmp_path / "cutout.png", np.concatenate([smiling(), alpha], axis=2))

    rgb = load_portrait(path)

    assert rgb[:100].min() > 220
    assert (rgb[100:] == smiling()[100:]).all()


def test_grey_becomes_rgb(tmp_path: Path) -> None:
    """A grey picture keeps its tones."""
    grey = cv2.cvtColor(smiling(), cv2.COLOR_RGB2GRAY)

    rgb = load_portrait(save(tmp_path / "grey.png", grey))

    assert (rgb == grey[..., None]).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bit_becomes_8_bit(tmp_path: Path, channels: int) -> None:
    """A 16 bit picture keeps its tones, with and without transparency."""
    deep = smiling().astype(np.uint16) * 257
    whole = np.concatenate([deep, np.full((512, 512, 1), 65535, np.uint16)], axis=2)
    picture = deep[..., 1] if channels == 1 else whole[..., :channels]

    rgb = load_portrait(save(tmp_path / "deep.png", picture))

    expected = smiling()[..., 1:2] if channels == 1 else smiling()
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - expected).max() <= 1


def test_4k_is_shrunk_to_the_asked_size(tmp_path: Path) -> None:
    """A 4K portrait is shrunk, with its shape kept."""
    huge = np.asarray(cv2.resize(close_up(), (2160, 3840)), np.uint8)

    rgb = load_portrait(save(tmp_path / "huge.jpg", huge), short_side=720)

    assert rgb.shape == (1280, 720, 3)


def test_odd_sides_lose_their_last_row_and_column(tmp_path: Path) -> None:
    """Video sides are even: of 511 x 401 pixels 510 x 400 stay, unscaled."""
    odd = smiling()[:401, :511]

    rgb = load_portrait(save(tmp_path / "odd.png", odd))

    assert (rgb == odd[:400, :510]).all()


@pytest.mark.parametrize(
    ("given", "short_side", "expected"),
    [
        ((512, 512), 720, (512, 512)),  # never enlarged
        ((1920, 1080), 720, (1280, 720)),
        ((2160, 3840), None, (1080, 1920)),  # the most there is
        ((6000, 600), None, (2560, 256)),  # a panorama
        ((301, 303), 720, (300, 302)),
    ],
)
def test_sizes_of_videos(given: tuple[int, int], short_side: int | None, expected: tuple[int, int]) -> None:
    """The size of the video follows from the picture and what is asked."""
    assert fit_size(*given, short_side) == expected


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff"])
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    """Junk is refused by name, with a way out."""
    path = tmp_path / "junk.png"
    path.write_bytes(content)

    with pytest.raises(ProviderRejected) as refused:
        load_portrait(path)

    assert refused.value.code == "unreadable"
    assert refused.value.fix


def test_a_truncated_picture_is_refused(tmp_path: Path) -> None:
    """Half a PNG is refused, not shown half grey."""
    path = save(tmp_path / "half.png", smiling())
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(ProviderRejected) as refused:
        load_portrait(path)

    assert refused.value.code == "unreadable"


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    """A tiny file that claims gigapixels is refused before it is decoded."""
    path = write_bomb_png(tmp_path / "bomb.png", 100_000, 100_000)

    with pytest.raises(ProviderRejected) as refused:
        load_portrait(path)

    assert refused.value.code == "too_many_pixels"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_head_tells_the_size(suffix: str) -> None:
    """Sizes are read from the head alone, so the guard holds for every format."""
    done, data = cv2.imencode(suffix, smiling()[:200, :301])

    assert done
    assert image_size(data.tobytes()) == (301, 200)
