"""The 468-point face mesh on the LiteRT runtime; the weights are MediaPipe's, under Apache-2.0."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tasks.facemesh.detector import MODELS, Face, FaceDetector, Image, Points
from tasks.facemesh.topology import LEFT_EYE_OUTER, RIGHT_EYE_OUTER

CROP_SIDE: Final = 192
CROP_MARGIN: Final = 1.5
"""Side of the crop as a multiple of the face; the model was trained on this framing."""
MIN_PRESENCE: Final = 0.5


@dataclass(frozen=True)
class _Crop:
    """A rotated square around a face: centre and side in pixels, angle in radians."""

    x: float
    y: float
    side: float
    angle: float


class FaceMesh:
    """Finds faces and their landmarks.

    Not thread safe: the interpreters keep their tensors between calls. Use one instance per thread.

    Args:
        threads: CPU threads per model; one call takes a few milliseconds either way.
    """

    def __init__(self, threads: int = 1) -> None:
        self._detector = FaceDetector(threads)
        self._model = Interpreter(str(MODELS / "face_landmark.tflite"), num_threads=threads)
        self._model.allocate_tensors()
        self._input = self._model.get_input_details()[0]["index"]
        outputs = {int(np.prod(out["shape"])): out["index"] for out in self._model.get_output_details()}
        self._points, self._presence = outputs[1404], outputs[1]

    def find(self, rgb: Image, *, small: bool = True) -> list[Face]:
        """All faces in uint8[h, w, 3], largest first.

        Args:
            rgb: the picture.
            small: when the first look finds none, search it tile by tile for small faces; takes some 0.1 s.
        """
        return self._detector.find(rgb, small=small)

    def landmarks(self, rgb: Image, previous: Points | None = None) -> Points | None:
        """Landmarks of one face: float32[468, 3] in pixels (z on the same scale), or None where no face is present.

        Args:
            rgb: uint8[h, w, 3].
            previous: landmarks in the frame before; that face is followed, and where it is lost, looked for nearby and
                then in the whole picture. Without it the largest face is taken.
        """
        if previous is None:
            return self._first(rgb, self.find(rgb))
        crop = _crop_around_points(previous)
        points, presence = self._read(rgb, crop)
        if presence >= MIN_PRESENCE:
            return points
        found = self._first(rgb, self._detector.find_near(rgb, crop.x, crop.y, 2 * crop.side))
        return found if found is not None else self._first(rgb, self._detector.find(rgb, small=False))

    def _first(self, rgb: Image, faces: Iterable[Face]) -> Points | None:
        """Landmarks of the first face that a closer look confirms."""
        looks = (self.landmarks_of(rgb, face) for face in faces)
        return next((points for points in looks if points is not None), None)

    def landmarks_of(self, rgb: Image, face: Face) -> Points | None:
        """Landmarks of one detected face, float32[468, 3] in pixels; None when a closer look finds no face there."""
        points, presence = self._read(rgb, _crop_around_face(face))
        if presence < MIN_PRESENCE:
            return None
        # The detector's box is coarse; a second look through the mesh's own frame settles the points.
        points, presence = self._read(rgb, _crop_around_points(points))
        return points if presence >= MIN_PRESENCE else None

    def _read(self, rgb: Image, crop: _Crop) -> tuple[Points, float]:
        """Run the mesh model on one crop: points in pixels of the picture, and how surely a face is present, 0 to 1."""
        scale = crop.side / CROP_SIDE
        cos, sin = np.cos(crop.angle) * scale, np.sin(crop.angle) * scale
        half = CROP_SIDE / 2
        to_picture = np.array(
            [[cos, -sin, crop.x - (cos - sin) * half], [sin, cos, crop.y - (sin + cos) * half]], np.float32
        )
        self._model.set_tensor(self._input, _cut(rgb, to_picture, scale).astype(np.float32)[None] / 255)
        self._model.invoke()
        points = self._model.get_tensor(self._points).reshape(468, 3)
        logit = float(np.clip(self._model.get_tensor(self._presence).ravel()[0], -60, 60))
        in_picture = points[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        return np.column_stack([in_picture, points[:, 2] * scale]).astype(np.float32), float(1 / (1 + np.exp(-logit)))


def _cut(rgb: Image, to_picture: Points, scale: float) -> Image:
    """The upright crop. Large faces are sampled densely and averaged: plain sampling makes the points jitter."""
    dense = int(np.clip(round(scale), 1, 3))
    matrix = to_picture.copy()
    matrix[:, :2] /= dense
    matrix[:, 2] -= (matrix[:, :2].sum(axis=1)) * (dense - 1) / -2
    side = CROP_SIDE * dense
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(rgb, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if dense > 1:
        crop = cv2.resize(crop, (CROP_SIDE, CROP_SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8)


def _crop_around_face(face: Face) -> _Crop:
    left, top, right, bottom = face.box
    across = face.keypoints[1] - face.keypoints[0]
    side = CROP_MARGIN * max(face.width, face.height)
    return _Crop((left + right) / 2, (top + bottom) / 2, side, float(np.arctan2(across[1], across[0])))


def _crop_around_points(points: Points) -> _Crop:
    across = points[RIGHT_EYE_OUTER, :2] - points[LEFT_EYE_OUTER, :2]
    angle = float(np.arctan2(across[1], across[0]))
    cos, sin = np.cos(angle), np.sin(angle)
    upright = np.array([[cos, sin], [-sin, cos]], np.float32)
    turned = points[:, :2] @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    x, y = upright.T @ ((low + high) / 2)
    return _Crop(float(x), float(y), float(CROP_MARGIN * (high - low).max()), angle)
