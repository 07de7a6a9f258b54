"""Follow a face through a clip, so that its mouth can be redrawn without flicker."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from tasks.errors import ProviderRejected
from tasks.facemesh import FaceMesh
from tasks.facemesh import topology as mesh
from tasks.providers.local.avatar import find_speaker
from tasks.providers.local.face import FaceFrame, Floats, Image, Lips, trace_lips
from tasks.providers.local.lips import OPENS_AT, openness, seam_offset
from tasks.providers.local.models import PROVIDER
from tasks.providers.local.palette import LIP_SPOTS, SKIN_SPOTS, skin_brightness

MOST_LOST: Final = 0.4
"""Share of frames without a face beyond which a clip is refused."""
SHUTS_AT: Final = 0.2
SEARCH_EVERY: Final = 25
"""Until a face is found, small ones are searched for in one of so many frames: it takes as long as 50 other looks."""
SHORTEST_STATE: Final = 3
"""Frames; an open or shut mouth that lasts for less is a mistake of the detector."""

# Only these points are kept per frame: an hour of clip then takes 0.1 GB, not half a GB.
_KEPT: Final = tuple(
    sorted(
        {
            *(mesh.LEFT_EYE_OUTER, mesh.RIGHT_EYE_OUTER, mesh.CHIN_TIP, mesh.SUBNASALE),
            *(*mesh.INNER_UPPER, *mesh.INNER_LOWER, *mesh.OUTER_UPPER, *mesh.OUTER_LOWER),
            *SKIN_SPOTS,
            *LIP_SPOTS,
            *(*mesh.LEFT_UPPER_LID, *mesh.LEFT_LOWER_LID, *mesh.RIGHT_UPPER_LID, *mesh.RIGHT_LOWER_LID),
        }
    )
)


@dataclass(frozen=True)
class FaceTrack:
    """A face over the frames of a clip, smoothed; gaps are bridged."""

    kept: Floats
    """float32[frames, points, 3], pixels."""
    present: Floats
    """float32[frames], 0 where the face is lost to 1 where it is seen."""
    openness: Floats
    """float32[frames], 0 where the mouth is shut to 1 where it is open."""
    seams: Floats
    """float32[frames, SAMPLES], where shut lips meet, relative to the mesh's middle line, in units."""
    light: Floats
    """float32[frames], brightness of the skin relative to the clip's."""

    def __len__(self) -> int:
        return len(self.kept)

    def points(self, index: int) -> Floats:
        """Landmarks of one frame, float32[468, 3]; those that are not kept are 0."""
        full = np.zeros((468, 3), np.float32)
        full[list(_KEPT)] = self.kept[index]
        return full

    def frame(self, index: int) -> FaceFrame:
        """The face's frame of reference in one frame of the clip."""
        return FaceFrame.of(self.points(index))

    def lips(self, index: int) -> Lips:
        """The lips in one frame, opened only as far as the mouth is surely open."""
        lips = trace_lips(self.points(index), self.frame(index))
        share = self.openness[index]
        middle = (lips.inner_upper + lips.inner_lower) / 2 + self.seams[index] * (1 - share)
        return lips.reopened(middle, (lips.inner_lower - lips.inner_upper) / 2 * share)


def track_face(faces: FaceMesh, frames: Iterable[Image], progress: Callable[[int], None]) -> FaceTrack:
    """Follow the largest face of the first frame that shows one.

    Args:
        faces: the face finder.
        frames: the clip.
        progress: told after every frame how many are done.

    Raises:
        ProviderRejected: with ``code`` no_face, face_too_small, face_turned or face_lost.
    """
    seen: list[_Seen | None] = []
    previous: Floats | None = None
    refusal: ProviderRejected | None = None
    for rgb in frames:
        points = None
        if previous is not None:
            points = _follow(faces, rgb, previous)
        else:
            try:
                points = find_speaker(faces, rgb, "clip", small=len(seen) % SEARCH_EVERY == 0)[0]
            except ProviderRejected as error:
                refusal = refusal or error
        seen.append(None if points is None else _Seen.of(rgb, points))
        previous = points if points is not None else previous
        progress(len(seen))
    found = np.array([one is not None for one in seen], bool)
    if not found.any():
        raise refusal or _lost(1.0)
    if (lost := 1 - float(found.mean())) > MOST_LOST:
        raise _lost(lost)
    return _smoothed([one for one in seen if one is not None], found)


def _follow(faces: FaceMesh, rgb: Image, previous: Floats) -> Floats | None:
    """The same face in the next frame; a face that turns up far away is somebody else's."""
    points = faces.landmarks(rgb, previous)
    if points is None:
        return None
    before = FaceFrame.of(previous)
    jump = float(np.linalg.norm(points[:, :2].mean(axis=0) - previous[:, :2].mean(axis=0))) / before.unit
    grown = FaceFrame.of(points).unit / before.unit
    return points if jump < 1.5 and 0.6 < grown < 1.7 else None


@dataclass(frozen=True)
class _Seen:
    """What one frame shows."""

    kept: Floats
    open: float
    seam: Floats
    brightness: float

    @classmethod
    def of(cls, rgb: Image, points: Floats) -> "_Seen":
        frame = FaceFrame.of(points)
        lips = trace_lips(points, frame)
        return cls(
            kept=points[list(_KEPT)],
            open=openness(rgb, lips, frame),
            seam=seam_offset(rgb, lips, frame),
            brightness=skin_brightness(rgb, points),
        )


def _smoothed(seen: list[_Seen], found: npt.NDArray[np.bool_]) -> FaceTrack:
    where, frames = np.flatnonzero(found), np.arange(len(found))

    def bridged(values: Floats) -> Floats:
        flat = values.reshape(len(where), -1)
        columns = [np.interp(frames, where, flat[:, column]) for column in range(flat.shape[1])]
        return np.stack(columns, axis=1).astype(np.float32).reshape(len(frames), *values.shape[1:])

    is_open = steady_state(bridged(np.array([one.open for one in seen], np.float32)))
    seams = bridged(np.stack([one.seam for one in seen]))
    weight = 1.02 - is_open[:, None]
    # Where the mouth is open there is no seam to see: the nearest shut frames say where it would be.
    seams = smooth_over_time(seams * weight, 4.0) / smooth_over_time(weight, 4.0)
    brightness = smooth_over_time(bridged(np.array([one.brightness for one in seen], np.float32)), 3.0)
    return FaceTrack(
        kept=smooth_over_time(bridged(np.stack([one.kept for one in seen])), 0.9),
        present=smooth_over_time(_eroded(found).astype(np.float32), 1.5),
        openness=smooth_over_time(is_open, 1.2),
        seams=seams,
        light=brightness / max(float(np.median(brightness)), 1.0),
    )


def steady_state(evidence: Floats) -> Floats:
    """Turn wavering evidence into a steady yes or no, float32[frames] of 0 and 1.

    The state changes only past a threshold that depends on the present state (hysteresis), and a state that lasts for
    less than SHORTEST_STATE frames is taken back.
    """
    states = np.zeros(len(evidence), np.float32)
    state = bool(len(evidence)) and bool(np.median(evidence[:SHORTEST_STATE]) > (OPENS_AT + SHUTS_AT) / 2)
    for index, value in enumerate(evidence):
        state = value > SHUTS_AT if state else value > OPENS_AT
        states[index] = state
    edges = np.flatnonzero(np.diff(states)) + 1
    for start, stop in pairwise(edges):
        if stop - start < SHORTEST_STATE:
            states[start:stop] = states[start - 1]
    return states


def smooth_over_time(values: Floats, sigma: float) -> Floats:
    """Smooth along the first axis without delay; sigma in frames."""
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(np.float32)
    padded = np.concatenate([np.repeat(values[:1], reach, 0), values, np.repeat(values[-1:], reach, 0)])
    smooth = np.zeros_like(values)
    for offset, weight in enumerate(kernel):
        smooth += weight * padded[offset : offset + len(values)]
    return smooth


def _eroded(found: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Leave out the frames next to a gap: a face that is about to vanish is badly seen."""
    padded = np.pad(found, 2, mode="edge")
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 5).all(axis=1), np.bool_)


def _lost(share: float) -> ProviderRejected:
    return ProviderRejected(
        f"the face is lost in {share:.0%} of the clip's frames; up to {MOST_LOST:.0%} can be bridged.",
        provider=PROVIDER,
        code="face_lost",
        fix="Take a clip in which the face stays in view, or cut it to that part.",
    )
