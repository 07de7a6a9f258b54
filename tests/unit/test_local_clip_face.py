"""The mouth of a clip looks the same from frame to frame."""

from pathlib import Path

import numpy as np

from tasks.facemesh import FaceMesh
from tasks.providers.local.clip import Clip
from tasks.providers.local.clip_face import ClipFace
from tasks.providers.local.mouth import MouthShape
from tasks.providers.local.talk import speak
from tasks.providers.local.tracking import track_face
from tests.face_pictures import Image, moving, save_clip, serious

AH = MouthShape(open=0.8, wide=0, press=0, tuck=0)


def spoken(path: Path, frames: list[Image]) -> tuple[list[Image], list[Image]]:
    """Every frame of a clip with the same mouth shape, and what shows around the middle of the mouth."""
    random = np.random.default_rng(3)
    noisy = [np.clip(frame + random.normal(0, 5, frame.shape), 0, 255).astype(np.uint8) for frame in frames]
    clip = Clip.open(save_clip(path, noisy), 25, None)
    track = track_face(FaceMesh(), clip.frames(), lambda _: None)
    face = ClipFace(clip, track)
    drawn, mouths = [], []
    for number, source in enumerate(clip.frames()):
        frame = source.copy()
        speak(frame, face.face(number), AH)
        x, y = track.frame(number).origin.astype(int)
        drawn.append(frame)
        mouths.append(frame[y - 6 : y + 16, x - 14 : x + 14])
    return drawn, mouths


def test_the_speakers_own_teeth_stay_all_through(tmp_path: Path) -> None:
    """A smile that moves and is noisy keeps its teeth: nothing in the mouth flickers while its shape is constant."""
    _, mouths = spoken(tmp_path / "clip.mp4", moving(25))

    light = np.array([mouth.mean() for mouth in mouths])

    assert np.abs(np.diff(light)).max() < 6
    assert np.ptp(light) < 22


def test_teeth_are_drawn_where_the_clip_shows_none(tmp_path: Path) -> None:
    """A speaker who keeps his mouth shut gets teeth that stand still and a mouth that does not flicker."""
    still = serious()[80:420, 90:430]
    drawn, mouths = spoken(tmp_path / "clip.mp4", [still] * 15)

    light = np.array([mouth.mean() for mouth in mouths])

    assert np.abs(np.diff(light)).max() < 4
    assert np.abs(drawn[0].astype(int) - still).mean() > 1


def test_a_lost_face_is_left_alone(tmp_path: Path) -> None:
    """While nobody is there nothing is drawn, and the mouth fades in and out instead of popping."""
    frames = moving(20)
    clip = Clip.open(save_clip(tmp_path / "clip.mp4", frames), 25, None)
    face = ClipFace(clip, track_face(FaceMesh(), clip.frames(), lambda _: None))
    changes = []
    for presence in (0.0, 0.25, 0.5, 0.75, 1.0):
        frame = next(clip.frames(5, 6)).copy()
        before = frame.copy()
        speak(frame, face.face(5), AH, presence)
        changes.append(float(np.abs(frame.astype(int) - before).sum()))

    assert changes[0] == 0
    assert changes == sorted(changes)
