"""Decide whether a face can be made to speak, before a job is made of it."""

import math
from itertools import islice
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np

from tasks.errors import ProviderRejected
from tasks.facemesh import FaceMesh
from tasks.facemesh import topology as mesh
from tasks.providers.local.clip import Clip
from tasks.providers.local.face import FaceFrame, Floats, Image
from tasks.providers.local.models import PROVIDER
from tasks.providers.local.portrait import load_portrait

SMALLEST_UNIT: Final = 24.0
"""Fewest pixels between the outer corners of the eyes: with less, a mouth is a dozen pixels wide."""
SMALL_UNIT: Final = 45.0
WIDEST_TURN: Final = 48.0
"""Degrees; beyond it one corner of the mouth is hidden."""
WIDE_TURN: Final = 25.0
_FLATTENING: Final = 1.5
"""The mesh draws turned faces flatter than they are; measured on faces turned by known angles."""
_MIRROR_TOLERANCE: Final = 18.0
"""Degrees by which the turn of a face may differ from that of its mirror image."""
_SAMPLED_FRAMES: Final = 6


def check_avatar(kind: Literal["portrait", "clip"], path: Path) -> list[str]:
    """Look for a face that can speak; returns remarks for people.

    Raises:
        ProviderRejected: with ``code`` unreadable, too_many_pixels, no_face, face_too_small or face_turned.
    """
    faces = FaceMesh()
    if kind == "portrait":
        return find_speaker(faces, load_portrait(path), "portrait")[1]
    return _check_clip(faces, path)


def find_speaker(faces: FaceMesh, rgb: Image, where: str, *, small: bool = True) -> tuple[Floats, list[str]]:
    """The landmarks float32[468, 3] of the largest face in a picture, and remarks.

    Args:
        faces: the face finder.
        rgb: uint8[h, w, 3].
        where: what to call the picture in messages.
        small: search for small faces as well, which takes longer.

    Raises:
        ProviderRejected: with ``code`` no_face, face_too_small or face_turned.
    """
    looks = (faces.landmarks_of(rgb, face) for face in faces.find(rgb, small=small))
    found = sorted((points for points in looks if points is not None), key=_size, reverse=True)
    if not found:
        raise _rejected("no_face", f"no face was found in the {where}.", "Take one that shows a face from the front.")
    points = found[0]
    # The crop follows the points and they follow the crop: two more rounds settle them.
    for _ in range(2):
        settled = faces.landmarks(rgb, points)
        points = points if settled is None else settled
    notes = _judge(points, _surely_turned(faces, rgb, points), where)
    if len(found) > 1:
        notes.insert(0, f"the {where} shows {len(found)} faces; the largest one speaks")
    return points, notes


def turn_of(points: Floats) -> float:
    """How far a face looks to the side, in degrees, about 0 to 90."""
    across = points[mesh.RIGHT_FACE_EDGE] - points[mesh.LEFT_FACE_EDGE]
    return _FLATTENING * math.degrees(math.atan2(abs(float(across[2])), float(np.hypot(across[0], across[1]))))


def _surely_turned(faces: FaceMesh, rgb: Image, points: Floats) -> float:
    """How far a face looks to the side, in degrees, checked against its mirror image; 90 where the two disagree.

    On a profile the mesh sometimes imagines a frontal face, but hardly ever the same one in the mirror.
    """
    mirror = np.ascontiguousarray(rgb[:, ::-1])
    looks = (faces.landmarks_of(mirror, face) for face in faces.find(mirror))
    centre = np.array([rgb.shape[1] - 1 - points[:, 0].mean(), points[:, 1].mean()])
    found = [look for look in looks if look is not None]
    away = [(float(np.linalg.norm(look[:, :2].mean(axis=0) - centre)), turn_of(look)) for look in found]
    distance, mirrored = min(away, default=(math.inf, 0.0))
    turn = turn_of(points)
    # An imagined face lies some way off the real one, but no farther than a head is wide.
    if distance > 2 * FaceFrame.of(points).unit or abs(turn - mirrored) > _MIRROR_TOLERANCE:
        return 90.0
    return max(turn, mirrored)


def _judge(points: Floats, turn: float, where: str) -> list[str]:
    unit = FaceFrame.of(points).unit
    if unit < SMALLEST_UNIT:
        raise _rejected(
            "face_too_small",
            f"the face in the {where} is too small: {unit:.0f} pixels across the eyes, {SMALLEST_UNIT:.0f} are needed.",
            "Crop it closer, or take one of higher resolution.",
        )
    if turn > WIDEST_TURN:
        raise _rejected(
            "face_turned",
            f"the face in the {where} is turned too far to the side; up to {WIDEST_TURN:.0f} degrees can speak.",
            "Take one that shows the face from the front.",
        )
    notes = []
    if unit < SMALL_UNIT:
        notes.append(f"the face in the {where} is small; the mouth will look coarse")
    if turn > WIDE_TURN:
        notes.append(f"the face in the {where} is turned {turn:.0f} degrees; it speaks best from the front")
    return notes


def _check_clip(faces: FaceMesh, path: Path) -> list[str]:
    """Look at a few frames all over the clip; it is refused when none of them shows a usable face."""
    clip = Clip.open(path, fps=25, short_side=720)
    last: ProviderRejected | None = None
    notes: list[str] = []
    good = 0
    for index in _spread(path, clip.fps):
        for rgb in islice(clip.frames(index, index + 1), 1):
            try:
                remarks = find_speaker(faces, rgb, "clip")[1]
            except ProviderRejected as error:
                last = error
                continue
            good += 1
            notes += [remark for remark in remarks if remark not in notes]
    if good == 0 and last is not None:
        raise last
    if last is not None:
        notes.append("the face is not usable all through the clip")
    return notes


def _spread(path: Path, fps: int) -> list[int]:
    """Frames all over a clip; the first one alone where the file does not say how long it is."""
    with av.open(str(path)) as container:
        seconds = (container.duration or 0) / av.time_base
    return sorted({int(seconds * fps * share / _SAMPLED_FRAMES) for share in range(_SAMPLED_FRAMES)})


def _size(points: Floats) -> float:
    return FaceFrame.of(points).unit


def _rejected(code: str, message: str, fix: str) -> ProviderRejected:
    return ProviderRejected(message, provider=PROVIDER, code=code, fix=fix)
