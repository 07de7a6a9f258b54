"""Eyes and head of a portrait live, within bounds."""

import numpy as np
import pytest

from tasks.facemesh import FaceMesh
from tasks.facemesh import topology as mesh
from tasks.providers.local.avatar import find_speaker
from tasks.providers.local.eyes import Eyes, plan_eyes
from tasks.providers.local.face import FaceFrame, Floats
from tasks.providers.local.sway import Head, plan_head
from tests.face_pictures import close_up, serious


@pytest.fixture(scope="module")
def points() -> Floats:
    return find_speaker(FaceMesh(), close_up(400), "portrait")[0]


def opening(points: Floats) -> float:
    """Opening of the left eye in units."""
    frame = FaceFrame.of(points)
    return float(np.linalg.norm(points[159, :2] - points[145, :2])) / frame.unit


def test_a_minute_has_a_natural_number_of_blinks() -> None:
    """People who talk blink every two to six seconds; each blink shuts the eye and opens it again."""
    plan = plan_eyes(60 * 25, 25, np.random.default_rng(1))

    starts = np.flatnonzero((plan.closure[1:] > 0.05) & (plan.closure[:-1] <= 0.05))
    assert 8 <= len(starts) <= 30
    assert plan.closure[0] == 0
    assert plan.closure.max() > 0.9
    assert np.diff(starts).min() > 25


def test_the_gaze_comes_back_to_the_camera() -> None:
    """The eyes glance about by a hundredth of a face and look at the viewer most of the time."""
    gaze = plan_eyes(60 * 25, 25, np.random.default_rng(2)).gaze

    assert 0 < np.abs(gaze).max() <= 0.02
    assert (np.abs(gaze).max(axis=1) < 1e-6).mean() > 0.4


def test_a_shut_eye_is_seen_as_shut(points: Floats) -> None:
    """The face mesh, run on the drawn picture, sees the lids closed."""
    drawn = close_up(400)
    Eyes(drawn.copy(), points).draw(drawn, 1.0, np.zeros(2, np.float32))

    seen = FaceMesh().landmarks(drawn, points)

    assert seen is not None
    assert opening(seen) < 0.75 * opening(points)


def test_an_open_eye_is_left_alone(points: Floats) -> None:
    """Between blinks and glances no pixel changes."""
    drawn = close_up(400)
    Eyes(drawn, points).draw(drawn, 0.0, np.zeros(2, np.float32))

    assert (drawn == close_up(400)).all()


def test_eyes_at_the_edge_of_the_picture_are_left_out() -> None:
    """A picture that cuts through an eye is drawn without it."""
    cut = np.ascontiguousarray(serious()[:, 190:])
    points = FaceMesh().landmarks(serious())
    assert points is not None
    moved = points - np.array([190, 0, 0], np.float32)

    drawn = cut.copy()

    Eyes(cut, moved).draw(drawn, 1.0, np.zeros(2, np.float32))

    changed = (drawn != cut).any(axis=(0, 2))
    assert not changed[:40].any()
    assert changed[60:].any()


def test_the_head_moves_a_little_and_steadily() -> None:
    """No move exceeds a tenth of a unit, and none jumps from frame to frame."""
    openness = np.clip(np.sin(np.arange(1500) / 3), 0, 1).astype(np.float32)

    moves = plan_head(openness, 25, np.random.default_rng(3)).moves

    assert moves.shape == (1500, 6)
    assert 0.005 < np.abs(moves).max() < 0.1
    assert np.abs(np.diff(moves, axis=0)).max() < 0.01


def test_the_head_moves_and_the_far_background_stays(points: Floats) -> None:
    """A move shifts the face and fades out to nothing towards the picture around it."""
    picture = np.full((900, 1200, 3), 120, np.uint8)
    picture[250:650, 400:800] = close_up(400)
    picture[::20] = 90
    placed = points + np.array([400, 250, 0], np.float32)
    drawn = picture.copy()

    Head(picture, placed).draw(drawn, np.full(6, 0.03, np.float32))

    changed = (drawn != picture).any(axis=2)
    nose = placed[mesh.NOSE_TIP].astype(int)
    assert changed[nose[1] - 20 : nose[1] + 20, nose[0] - 20 : nose[0] + 20].mean() > 0.5
    assert not changed[:, :60].any()
    assert not changed[:, -60:].any()
