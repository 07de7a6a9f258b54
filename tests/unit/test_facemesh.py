"""Faces and their landmarks in real photographs."""

import cv2
import numpy as np
import pytest
from skimage import data

from tasks.facemesh import FaceMesh
from tasks.facemesh import topology as mesh
from tests.face_pictures import close_up, serious, smiling


@pytest.fixture(scope="module")
def faces() -> FaceMesh:
    return FaceMesh()


def test_the_face_is_found_where_it_is(faces: FaceMesh) -> None:
    """The box encloses the face of a photograph."""
    found = faces.find(smiling())

    assert len(found) == 1
    left, top, right, bottom = found[0].box
    assert 165 < left < 195
    assert 70 < top < 110
    assert 255 < right < 285
    assert 160 < bottom < 190


def test_faces_come_largest_first(faces: FaceMesh) -> None:
    """With several faces in view, the largest leads the list."""
    picture = np.full((400, 800, 3), 180, np.uint8)
    picture[100:300, 50:250] = close_up(200)
    picture[:, 400:] = close_up(400)

    found = faces.find(picture)

    assert len(found) == 2
    assert found[0].box[0] > 400
    assert found[0].width > found[1].width


def test_a_small_face_is_found_by_the_closer_search(faces: FaceMesh) -> None:
    """A face too small for the detector's first look is found in a tile of the picture."""
    picture = np.full((720, 1280, 3), 120, np.uint8)
    picture[400:500, 900:1000] = close_up(100)

    found = faces.find(picture)

    assert len(found) == 1
    assert 900 < sum(found[0].box[::2]) / 2 < 1000


def test_landmarks_lie_on_the_features(faces: FaceMesh) -> None:
    """Eyes, mouth and chin are within a few pixels of where a person would point."""
    points = faces.landmarks(smiling())

    assert points is not None
    assert points.shape == (468, 3)
    assert points.dtype == np.float32
    assert np.abs(points[mesh.MOUTH_LEFT, :2] - (201, 140)).max() < 5
    assert np.abs(points[mesh.MOUTH_RIGHT, :2] - (246, 142)).max() < 5
    assert np.abs(points[mesh.LEFT_EYE_OUTER, :2] - (194, 101)).max() < 5


def test_landmarks_follow_a_picture_that_moves(faces: FaceMesh) -> None:
    """Tracking from the frame before moves the points with the face."""
    before = faces.landmarks(serious())
    matrix = np.array([[1, 0, 9], [0, 1, -6]], np.float32)
    moved = np.asarray(cv2.warpAffine(serious(), matrix, (512, 600)), np.uint8)

    after = faces.landmarks(moved, before)

    assert before is not None
    assert after is not None
    assert np.median(after[:, :2] - before[:, :2], axis=0) == pytest.approx([9, -6], abs=2.5)


def test_a_face_that_left_is_not_tracked_on(faces: FaceMesh) -> None:
    """The presence check holds while tracking, too: no landmarks are made up on an empty wall."""
    before = faces.landmarks(smiling())

    assert before is not None
    assert faces.landmarks(np.full((512, 512, 3), 128, np.uint8), before) is None


@pytest.mark.parametrize("name", ["coffee", "chelsea", "rocket"])
def test_no_landmarks_without_a_human_face(faces: FaceMesh, name: str) -> None:
    """A cup, a cat and a rocket have no landmarks."""
    assert faces.landmarks(np.asarray(getattr(data, name)(), np.uint8)) is None
