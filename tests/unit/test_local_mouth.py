"""The mouth: what its shapes do to the lips, the teeth and the picture around them."""

import cv2
import numpy as np
import pytest

from tasks.facemesh import FaceMesh
from tasks.providers.local.avatar import find_speaker
from tasks.providers.local.face import FaceFrame, Floats, Image, trace_lips
from tasks.providers.local.lips import OPENS_AT, openness
from tasks.providers.local.mouth import MouthShape, pose_mouth
from tasks.providers.local.palette import read_palette
from tasks.providers.local.talk import Face, read_face, speak
from tasks.providers.local.warp import warp_face
from tests.face_pictures import serious, smiling

AH = MouthShape(open=1, wide=0, press=0, tuck=0)
OO = MouthShape(open=0.28, wide=-1, press=0, tuck=0)
EE = MouthShape(open=0.28, wide=0.75, press=0, tuck=0)
PRESSED = MouthShape(open=0, wide=0, press=1, tuck=0)


@pytest.fixture(scope="module")
def faces() -> FaceMesh:
    return FaceMesh()


def known(faces: FaceMesh, rgb: Image) -> tuple[Floats, Face]:
    points, _ = find_speaker(faces, rgb, "portrait")
    return points, read_face(rgb, points)


def spoken(faces: FaceMesh, rgb: Image, shape: MouthShape) -> Image:
    _, face = known(faces, rgb)
    drawn = rgb.copy()
    speak(drawn, face, shape)
    return drawn


def gap_seen(faces: FaceMesh, rgb: Image, points: Floats) -> float:
    """Opening of the mouth that the face mesh sees in a picture, in units."""
    seen = faces.landmarks(rgb, points)
    assert seen is not None
    return trace_lips(seen, FaceFrame.of(seen)).gap


@pytest.mark.parametrize("portrait", [smiling, serious])
def test_an_independent_look_sees_the_mouth_open_and_shut(faces: FaceMesh, portrait: object) -> None:
    """The face mesh, run on the drawn frames, sees a wide open mouth for 'ah' and a shut one for 'm'."""
    rgb = portrait()  # type: ignore[operator]
    points, _ = known(faces, rgb)

    assert gap_seen(faces, spoken(faces, rgb, AH), points) > 0.13
    assert gap_seen(faces, spoken(faces, rgb, PRESSED), points) < 0.045


def test_a_smile_is_told_from_a_shut_mouth(faces: FaceMesh) -> None:
    """Teeth between the lips count as open; a thin gap that the mesh draws on shut lips does not."""
    for rgb, is_open in ((smiling(), True), (serious(), False)):
        points, _ = known(faces, rgb)
        frame = FaceFrame.of(points)

        assert (openness(rgb, trace_lips(points, frame), frame) >= OPENS_AT) is is_open


def test_a_grey_smile_is_told_from_grey_shut_lips(faces: FaceMesh) -> None:
    """The same holds without any colour to go by."""
    for rgb, is_open in ((smiling(), True), (serious(), False)):
        grey = np.repeat(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        points, _ = known(faces, grey)
        frame = FaceFrame.of(points)

        assert (openness(grey, trace_lips(points, frame), frame) >= OPENS_AT) is is_open


def test_a_grey_picture_gets_a_grey_mouth(faces: FaceMesh) -> None:
    """Nothing coloured is painted into a monochrome portrait."""
    grey = np.repeat(cv2.cvtColor(serious(), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)

    drawn = spoken(faces, grey, AH).astype(int)

    assert (drawn != grey).any()
    assert (drawn.max(axis=2) - drawn.min(axis=2)).max() <= 3


def test_a_dark_picture_gets_a_dark_mouth(faces: FaceMesh) -> None:
    """Teeth in the shade are not bright: they follow the light of the picture."""
    dim = (serious() * 0.4).astype(np.uint8)
    points, _ = known(faces, serious())

    assert read_palette(dim, points).teeth.mean() < 0.7 * read_palette(serious(), points).teeth.mean()


def test_rounded_lips_hide_the_teeth_and_spread_lips_bare_them(faces: FaceMesh) -> None:
    """Of the same opening, 'oo' shows less bright tooth than 'ee'."""
    points, face = known(faces, serious())
    box = np.s_[int(points[13, 1]) - 12 : int(points[14, 1]) + 30, int(points[61, 0]) : int(points[291, 0])]

    def pale(shape: MouthShape) -> int:
        cut = spoken(faces, serious(), shape)[box].astype(int)
        return int(((cut.min(axis=2) > 120) & (cut.max(axis=2) - cut.min(axis=2) < 60)).sum())

    assert face.inside.own_teeth is None
    assert pale(EE) > pale(OO) + 50


def test_only_the_lower_face_moves_and_it_has_no_seam(faces: FaceMesh) -> None:
    """Eyes and background are untouched to the bit, and along the border of the region nothing jumps."""
    _, face = known(faces, serious())
    drawn = spoken(faces, serious(), AH)
    warped = warp_face(serious(), face.frame, pose_mouth(face.lips, AH), face.chin)

    assert warped is not None
    region = warped.region
    changed = (drawn != serious()).any(axis=2)
    assert not changed[: region.top].any()
    assert not changed[:, : region.left].any()
    edge = np.abs(drawn.astype(int) - serious())[region.slices]
    assert max(edge[0].max(), edge[-1].max(), edge[:, 0].max(), edge[:, -1].max()) <= 12


@pytest.mark.parametrize("opened", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("wide", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize("press", [0.0, 1.0])
def test_lips_never_cross(faces: FaceMesh, opened: float, wide: float, press: float) -> None:
    """Whatever the speech asks for, the outlines keep their order from nose to chin."""
    for rgb in (smiling(), serious()):
        _, face = known(faces, rgb)
        lips = pose_mouth(face.lips, MouthShape(opened, wide, press, 0)).target

        assert (lips.inner_lower - lips.inner_upper >= -1e-5).all()
        middle = slice(8, -8)
        assert (lips.inner_upper > lips.outer_upper)[middle].all()
        assert (lips.outer_lower > lips.inner_lower)[middle].all()


def test_the_mouth_opens_without_jumps(faces: FaceMesh) -> None:
    """A slightly larger opening changes the picture slightly: no threshold pops between frames."""
    _, face = known(faces, serious())
    before: Image | None = None
    for opened in np.linspace(0, 0.3, 31):
        drawn = serious().copy()
        speak(drawn, face, MouthShape(float(opened), 0, 0, 0))
        if before is not None:
            moved = cv2.blur(drawn, (3, 3)).astype(int) - cv2.blur(before, (3, 3))
            assert np.abs(moved).max() < 70
        before = drawn


def test_a_mouth_at_the_edge_of_the_picture_can_speak(faces: FaceMesh) -> None:
    """A portrait that is cut under the chin is drawn as far as it goes."""
    cut = np.ascontiguousarray(serious()[100:335, 140:400])

    drawn = spoken(faces, cut, AH)

    assert (drawn != cut).any()
