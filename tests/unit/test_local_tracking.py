"""A face is followed through a clip without flicker."""

import numpy as np
import pytest

from tasks.errors import ProviderRejected
from tasks.facemesh import FaceMesh
from tasks.facemesh import topology as mesh
from tasks.providers.local.tracking import FaceTrack, steady_state, track_face
from tests.face_pictures import Image, close_up, moving


@pytest.fixture(scope="module")
def faces() -> FaceMesh:
    return FaceMesh()


def follow(faces: FaceMesh, frames: list[Image]) -> FaceTrack:
    return track_face(faces, frames, lambda _: None)


def test_evidence_that_wavers_does_not_flip_the_state() -> None:
    """Between the two thresholds the state stays what it was."""
    wavering = np.array([0.9, 0.35, 0.45, 0.3, 0.5, 0.25, 0.6, 0.1, 0.3, 0.15, 0.35, 0.1, 0.38], np.float32)

    assert steady_state(wavering).tolist() == [1] * 7 + [0] * 6


def test_a_state_of_one_or_two_frames_is_taken_back() -> None:
    """A single misjudged frame does not open or shut the mouth."""
    evidence = np.array([0.0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1], np.float32)

    assert steady_state(evidence).tolist() == [0] * 13 + [1] * 4


def test_a_smile_stays_open_all_through(faces: FaceMesh) -> None:
    """Teeth that show in every frame are seen in every frame, though the head moves and the picture is noisy."""
    random = np.random.default_rng(5)
    frames = [np.clip(frame + random.normal(0, 6, frame.shape), 0, 255).astype(np.uint8) for frame in moving(30)]

    track = follow(faces, frames)

    assert track.openness.min() > 0.99


def test_points_of_a_still_face_stand_still(faces: FaceMesh) -> None:
    """Noise in the picture moves the mouth by a fraction of a pixel only."""
    random = np.random.default_rng(6)
    still = close_up(256)
    frames = [np.clip(still + random.normal(0, 6, still.shape), 0, 255).astype(np.uint8) for _ in range(25)]

    track = follow(faces, frames)

    corners = np.stack([track.points(number)[mesh.MOUTH_LEFT, :2] for number in range(25)])
    assert corners.std(axis=0).max() < 0.5


def test_a_face_hidden_for_a_moment_is_bridged(faces: FaceMesh) -> None:
    """While a hand covers the face its place is interpolated, and the mouth is left alone."""
    frames = moving(30)
    wall = [np.full_like(frames[0], 90)] * 5
    track = follow(faces, frames[:12] + wall + frames[17:])

    assert len(track) == 30
    assert track.present[14] < 0.05
    assert track.present[2] > 0.95
    expected = (track.points(10)[mesh.MOUTH_LEFT] + track.points(18)[mesh.MOUTH_LEFT]) / 2
    assert np.abs(track.points(14)[mesh.MOUTH_LEFT, :2] - expected[:2]).max() < 6


def test_a_face_that_is_mostly_lost_is_refused(faces: FaceMesh) -> None:
    """A clip that shows its face for a third of the time cannot speak."""
    frames = moving(10)

    with pytest.raises(ProviderRejected) as refused:
        follow(faces, frames + [np.full_like(frames[0], 90)] * 20)

    assert refused.value.code == "face_lost"


def test_a_clip_without_any_face_is_refused(faces: FaceMesh) -> None:
    """An empty room is refused as such."""
    with pytest.raises(ProviderRejected) as refused:
        follow(faces, [np.full((128, 128, 3), 90, np.uint8)] * 5)

    assert refused.value.code == "no_face"


def test_the_other_person_does_not_take_over(faces: FaceMesh) -> None:
    """While the speaker is hidden, another face far away is not taken for the speaker's."""
    left = np.full((256, 700, 3), 150, np.uint8)
    right = left.copy()
    left[:, :256] = close_up(256)
    right[40:216, 500:676] = close_up(176)

    track = follow(faces, [left] * 12 + [right] * 4 + [left] * 6)

    assert all(track.points(number)[mesh.MOUTH_LEFT, 0] < 256 for number in range(22))
