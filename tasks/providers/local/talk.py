"""Put a speaking mouth into a picture of a face."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tasks.facemesh import topology as mesh
from tasks.providers.local.face import FaceFrame, Floats, Image, Lips, trace_lips
from tasks.providers.local.lips import OPENS_AT, openness, seam_offset, shut
from tasks.providers.local.mouth import MouthShape, Pose, pose_mouth
from tasks.providers.local.palette import read_palette
from tasks.providers.local.teeth import Canvas, Inside, OwnTeeth, draw_inside
from tasks.providers.local.warp import Region, WarpedFace, beside_mouth, warp_face

BARED: Final = 0.022
"""How far the upper front teeth reach below the line of shut lips, in units."""

_EDGE_PIXELS: Final = 1.4
_EDGE_UNITS: Final = 0.011
"""Softness of the edge between lip and opening: at least that of the pixels, and that of a lip close up."""


@dataclass(frozen=True)
class Face:
    """What is known of the face in one picture."""

    frame: FaceFrame
    lips: Lips
    chin: float
    """Height of the tip of the chin, in units."""
    inside: Inside
    rest: float = 1.0
    """How much of the mouth's own opening every shape keeps; see ``pose_mouth``."""
    natural: float | None = None
    """Half the usual width of the mouth, in units, where the picture shows it while it speaks."""


def read_face(rgb: Image, points: Floats) -> Face:
    """Get the face in a portrait ready to speak.

    Args:
        rgb: uint8[h, w, 3].
        points: float32[468, 3], its face mesh in pixels.
    """
    frame = FaceFrame.of(points)
    lips = trace_lips(points, frame)
    palette = read_palette(rgb, points)
    chin = float(frame.to_local(points[mesh.CHIN_TIP, :2])[1])
    own = None
    if openness(rgb, lips, frame) >= OPENS_AT:
        own = OwnTeeth(rgb, frame, lips)
        edge = lips.inner_lower[len(lips.x) // 2]
    else:
        lips = shut(lips, seam_offset(rgb, lips, frame))
        edge = lips.inner_upper[len(lips.x) // 2] + BARED
    return Face(frame, lips, chin, Inside(palette, float(edge), float(lips.x.mean()), own))


def speak(rgb: Image, face: Face, shape: MouthShape, presence: float = 1.0) -> None:
    """Draw one mouth shape into a picture, uint8[h, w, 3], in place.

    Args:
        rgb: the picture.
        face: the face in it.
        shape: what the speech asks for.
        presence: how surely the face is there; 0 leaves the picture as it is.
    """
    if presence < 0.02:
        return
    pose = pose_mouth(face.lips, shape, face.rest, presence, face.natural)
    warped = warp_face(rgb, face.frame, pose, face.chin)
    if warped is None:
        return
    if pose.gap * face.frame.unit > 0.3:
        _fill_mouth(warped, face, pose, presence)
    rgb[warped.region.slices] = warped.rgb


def _fill_mouth(warped: WarpedFace, face: Face, pose: Pose, presence: float) -> None:
    """Draw the inside of the mouth between the lips."""
    inside = warped.opening > -2 / face.frame.unit
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return
    box = Region(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    canvas = _canvas(warped, box, face.frame, pose)
    softness = max(_EDGE_UNITS, _EDGE_PIXELS / face.frame.unit)
    cover = np.minimum(canvas.below_upper, canvas.above_lower) / np.float32(softness)
    cover = (np.clip(cover, 0, 1) * np.float32(presence))[..., None]
    patch = warped.rgb[box.slices]
    drawn = draw_inside(face.inside, canvas, pose)
    patch[:] = np.clip(patch * (1 - cover) + drawn * cover + 0.5, 0, 255).astype(np.uint8)


def _canvas(warped: WarpedFace, box: Region, frame: FaceFrame, pose: Pose) -> Canvas:
    """Where the pixels around the opening lie; exact, as the grid of the warp is too coarse for the corners."""
    ys, xs = np.mgrid[box.top : box.bottom, box.left : box.right].astype(np.float32)
    local = frame.to_local(np.stack([xs + warped.region.left, ys + warped.region.top], axis=-1))
    x, y = local[..., 0], local[..., 1]
    source_x, target = warped.source_x[box.slices], pose.target
    beside = beside_mouth(source_x, pose.source)
    below_upper = y - np.interp(source_x, target.x, target.inner_upper) - beside
    above_lower = np.interp(source_x, target.x, target.inner_lower) - y - beside
    return Canvas(x, y, below_upper.astype(np.float32), above_lower.astype(np.float32), 1 / frame.unit)
