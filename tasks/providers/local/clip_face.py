"""The speaking face of a clip: one inside of the mouth for all of its frames, so that nothing flips between them."""

from dataclasses import replace
from typing import Final

import numpy as np

from tasks.facemesh import topology as mesh
from tasks.providers.local.clip import Clip
from tasks.providers.local.face import FaceFrame, Floats
from tasks.providers.local.lips import shows_teeth
from tasks.providers.local.palette import read_palette
from tasks.providers.local.talk import BARED, Face
from tasks.providers.local.teeth import Inside, OwnTeeth
from tasks.providers.local.tracking import FaceTrack

_RAISED: Final = 0.03
"""How much higher than shut an upper lip is while its owner speaks, in units."""


class ClipFace:
    """Tells what is known of the face in each frame.

    The teeth hang on the nose, which belongs to the skull as they do. They are the speaker's own, taken from the frame
    that shows them best, or drawn where no frame shows any.
    """

    def __init__(self, clip: Clip, track: FaceTrack) -> None:
        self._track = track
        reference = _best_frame(track)
        rgb = next(clip.frames(reference, reference + 1))
        points, lips, frame = track.points(reference), track.lips(reference), track.frame(reference)
        self._light = float(track.light[reference])
        self._nose = _nose(points, frame)
        open_mouth = track.openness[reference] > 0.9
        own = OwnTeeth(rgb, frame, lips) if open_mouth and shows_teeth(rgb, lips, frame) else None
        edge = _edge_below_nose(track) if own is None else _middle(lips.inner_lower) - self._nose[1]
        self._inside = Inside(read_palette(rgb, points), edge, float(lips.x.mean() - self._nose[0]), own)

        every = range(0, len(track), max(1, len(track) // 200))
        self._natural = float(np.median([track.lips(number).half_width for number in every]))

    def face(self, index: int) -> Face:
        """The face in one frame."""
        points, frame = self._track.points(index), self._track.frame(index)
        nose = _nose(points, frame)
        light = float(self._track.light[index]) / self._light
        inside = replace(
            self._inside,
            palette=self._inside.palette.lit(light),
            upper_edge=float(nose[1]) + self._inside.upper_edge,
            centre=float(nose[0]) + self._inside.centre,
            shift=(float(self._nose[0] - nose[0]), float(self._nose[1] - nose[1])),
            light=light,
        )
        chin = float(frame.to_local(points[mesh.CHIN_TIP, :2])[1])
        return Face(frame, self._track.lips(index), chin, inside, rest=0.0, natural=self._natural)


def _best_frame(track: FaceTrack) -> int:
    """The frame with the widest open mouth; with none, one in the middle of the longest sight of the face."""
    gaps = np.array([track.lips(i).gap if track.present[i] > 0.95 else 0.0 for i in range(len(track))])
    if gaps.max() > 0:
        return int(gaps.argmax())
    seen = np.flatnonzero(track.present >= track.present.max() - 1e-3)
    return int(seen[len(seen) // 2])


def _edge_below_nose(track: FaceTrack) -> float:
    """How far below the nose the upper teeth end, in units, judged from where the lips meet when they are shut."""
    shut = np.flatnonzero(track.openness < 0.1)
    raised = 0.0 if len(shut) else _RAISED
    frames = shut if len(shut) else np.arange(len(track))
    heights = [
        _middle(track.lips(int(i)).inner_upper) - _nose(track.points(int(i)), track.frame(int(i)))[1]
        for i in frames[:: max(1, len(frames) // 50)]
    ]
    return float(np.median(heights)) + BARED + raised


def _middle(heights: Floats) -> float:
    return float(heights[len(heights) // 2])


def _nose(points: Floats, frame: FaceFrame) -> Floats:
    return frame.to_local(points[mesh.SUBNASALE, :2])
