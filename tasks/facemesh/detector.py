"""Where faces are: the short-range BlazeFace detector."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

MODELS: Final = Path(__file__).parent / "models"
INPUT_SIDE: Final = 128
MIN_SCORE: Final = 0.5
SAME_FACE_IOU: Final = 0.3
TILE_SHARES: Final = (0.6, 0.35, 0.2)
"""Sides of the search tiles, as shares of the longer side; the model misses faces below a tenth of its input."""

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """One detected face, in pixels of the picture.

    Attributes:
        box: left, top, right, bottom; may reach beyond the picture.
        score: 0.5 to 1.
        keypoints: float32[6, 2]: left eye, right eye, nose tip, mouth, left ear, right ear, as seen in the picture.
    """

    box: tuple[float, float, float, float]
    score: float
    keypoints: Points

    @property
    def width(self) -> float:
        """Width of the box, in pixels."""
        return self.box[2] - self.box[0]

    @property
    def height(self) -> float:
        """Height of the box, in pixels."""
        return self.box[3] - self.box[1]


class FaceDetector:
    """Finds faces. Not thread safe: the interpreter keeps its tensors; use one detector per thread."""

    def __init__(self, threads: int = 1) -> None:
        self._model = Interpreter(str(MODELS / "face_detection_short_range.tflite"), num_threads=threads)
        self._model.allocate_tensors()
        self._input = self._model.get_input_details()[0]["index"]
        outputs = {int(out["shape"][-1]): out["index"] for out in self._model.get_output_details()}
        self._regressors, self._scores = outputs[16], outputs[1]
        self._anchors = _anchors()

    def find(self, rgb: Image, *, small: bool = True) -> list[Face]:
        """All faces in uint8[h, w, 3], largest first.

        Args:
            rgb: the picture.
            small: when the first look finds none, search it tile by tile for small faces; takes some 0.1 s.
        """
        height, width = rgb.shape[:2]
        side = max(height, width)
        faces = self._look(rgb, (width - side) / 2, (height - side) / 2, side)
        for share in TILE_SHARES if small else ():
            if faces:
                break
            tile = round(side * share)
            for top in _starts(height, tile):
                for left in _starts(width, tile):
                    faces += self._look(rgb, left, top, tile)
        return sorted(_merge(faces), key=lambda face: face.width, reverse=True)

    def find_near(self, rgb: Image, x: float, y: float, side: float) -> list[Face]:
        """Faces in a square around a place, largest first; all in pixels."""
        faces = self._look(rgb, x - side / 2, y - side / 2, max(round(side), 1))
        return sorted(faces, key=lambda face: face.width, reverse=True)

    def _look(self, rgb: Image, left: float, top: float, side: int) -> list[Face]:
        """Run the model on one square, which may reach beyond the picture."""
        square = _cut_square(rgb, round(left), round(top), side)
        shrunk = cv2.resize(square, (INPUT_SIDE, INPUT_SIDE), interpolation=cv2.INTER_AREA)
        self._model.set_tensor(self._input, shrunk.astype(np.float32)[None] / 127.5 - 1)
        self._model.invoke()
        regressors = self._model.get_tensor(self._regressors)[0]
        logits = np.clip(self._model.get_tensor(self._scores)[0, :, 0], -60, 60)
        scores = 1 / (1 + np.exp(-logits))
        faces = []
        for index in np.flatnonzero(scores >= MIN_SCORE):
            values = regressors[index].reshape(8, 2) / INPUT_SIDE
            values[[0, 2, 3, 4, 5, 6, 7]] += self._anchors[index]
            pixels = values * side
            (half_w, half_h), origin = pixels[1] / 2, np.array([round(left), round(top)], np.float32)
            x, y = pixels[0] + origin
            box = (float(x - half_w), float(y - half_h), float(x + half_w), float(y + half_h))
            faces.append(Face(box, float(scores[index]), (pixels[2:] + origin).astype(np.float32)))
        return _merge(faces)


def _anchors() -> Points:
    """Centres of the 896 anchors as shares of the input: a 16x16 grid with 2 each and an 8x8 grid with 6 each."""
    rows = []
    for cells, repeat in ((16, 2), (8, 6)):
        y, x = np.mgrid[0:cells, 0:cells]
        centres = np.stack([x.ravel() + 0.5, y.ravel() + 0.5], axis=1) / cells
        rows.append(np.repeat(centres, repeat, axis=0))
    return np.concatenate(rows).astype(np.float32)


def _starts(length: int, tile: int) -> list[int]:
    """Start positions of half-overlapping tiles that cover a length."""
    if tile >= length:
        return [(length - tile) // 2]
    count = int(np.ceil((length - tile) / (tile / 2))) + 1
    return [round(start) for start in np.linspace(0, length - tile, count)]


def _cut_square(rgb: Image, left: int, top: int, side: int) -> Image:
    """A square of the picture, black where it reaches beyond."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    if (x0, y0, x1, y1) == (left, top, left + side, top + side):
        return rgb[y0:y1, x0:x1]
    square = np.zeros((side, side, 3), np.uint8)
    square[y0 - top : y1 - top, x0 - left : x1 - left] = rgb[y0:y1, x0:x1]
    return square


def _merge(faces: list[Face]) -> list[Face]:
    """Weighted non-maximum suppression: overlapping detections become their score-weighted mean, which jitters less."""
    left = sorted(faces, key=lambda face: face.score, reverse=True)
    merged = []
    while left:
        best = left[0]
        group = [face for face in left if face is best or _iou(best.box, face.box) > SAME_FACE_IOU]
        left = [face for face in left if not any(face is member for member in group)]
        weights = np.array([face.score for face in group])
        weights /= weights.sum()
        box = np.einsum("i,ij->j", weights, np.array([face.box for face in group]))
        keypoints = np.einsum("i,ijk->jk", weights, np.stack([face.keypoints for face in group]))
        corners = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))
        merged.append(Face(corners, best.score, keypoints.astype(np.float32)))
    return merged


def _iou(one: tuple[float, float, float, float], two: tuple[float, float, float, float]) -> float:
    """Overlap of two boxes: intersection over union."""
    width = max(0.0, min(one[2], two[2]) - max(one[0], two[0]))
    height = max(0.0, min(one[3], two[3]) - max(one[1], two[1]))
    shared = width * height
    total = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1]) - shared
    return shared / total if total > 0 else 0.0
