"""The bundled presenter: portrait, script and recording in `infra/presenter`."""

import cv2
import numpy as np
import pytest

from infra.presenter import PRESENTER, RECORDING, SCRIPT
from infra.presenter.draw import draw_presenter
from tasks.audio import decode_mono
from tasks.facemesh import FaceMesh
from tasks.facemesh.topology import INNER_LOWER, INNER_UPPER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from tasks.providers.local.models import RenderJob
from tasks.providers.local.speech import prepare_speech
from tasks.providers.local.voice import check_script


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """The committed picture, RGB."""
    picture = cv2.imread(str(PRESENTER))
    assert picture is not None
    return np.ascontiguousarray(picture[:, :, ::-1])


def test_portrait_is_small_enough_to_ship(portrait: np.ndarray) -> None:
    """The picture is large on screen and small in the repository."""
    assert portrait.shape == (1024, 1024, 3)
    assert PRESENTER.stat().st_size < 1_500_000


def test_portrait_shows_one_clear_face(portrait: np.ndarray) -> None:
    """The detector is sure, and sees nobody else in the hair or the blazer."""
    (face,) = FaceMesh().find(portrait)

    assert face.score > 0.8


def test_landmarks_lie_on_the_drawn_features(portrait: np.ndarray) -> None:
    """Eyes and lips are found where they are drawn; otherwise the animation would tear the face."""
    points = FaceMesh().landmarks(portrait)

    assert points is not None
    assert points[LEFT_EYE_OUTER, :2] == pytest.approx((397, 442), abs=10)
    assert points[RIGHT_EYE_OUTER, :2] == pytest.approx((627, 442), abs=10)
    seam = points[[INNER_UPPER[5], INNER_LOWER[5]], 1]
    assert seam == pytest.approx(598.5, abs=4)
    assert abs(np.diff(seam).item()) < 3


def test_script_can_be_spoken_in_half_a_minute() -> None:
    """The sample script needs no more than the voice in the package, and is not long."""
    text = SCRIPT.read_text()

    assert check_script(text, "en", None, 1.0) == []
    assert 25 < prepare_speech(_job(script=text)).seconds < 45


def test_recording_is_a_voice() -> None:
    """The sample recording is short, small, and moves the mouth."""
    wave = decode_mono(RECORDING, 24_000)

    assert 5 < len(wave) / 24_000 < 20
    assert RECORDING.stat().st_size < 400_000
    assert prepare_speech(_job(recording_path=RECORDING)).track[:, 0].max() > 0.3


@pytest.mark.slow
def test_portrait_is_what_the_script_draws(portrait: np.ndarray) -> None:
    """The picture in the repository can be drawn again from its source; libraries may round differently."""
    drawn = draw_presenter()

    assert np.abs(drawn.astype(int) - portrait).mean() < 0.5


def _job(**given: object) -> RenderJob:
    return RenderJob.model_validate({"avatar_kind": "portrait", "avatar_path": PRESENTER, **given})
