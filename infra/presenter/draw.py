"""Draw the bundled presenter: `python -m infra.presenter.draw`.

The person is invented: every line is set by hand in the modules beside this one, and no photograph was used.
"""

import cv2
import numpy as np
import numpy.typing as npt

from infra.presenter import PRESENTER
from infra.presenter.canvas import Canvas
from infra.presenter.clothes import paint_background, paint_clothes
from infra.presenter.features import paint_brows, paint_eyes, paint_lips, paint_nose
from infra.presenter.hair import paint_back_hair, paint_front_hair
from infra.presenter.skin import paint_face, paint_neck

_BROW = (0.245, 0.140, 0.105)


def draw_presenter(scale: int = 2) -> npt.NDArray[np.uint8]:
    """Paint the portrait from back to front: uint8[1024, 1024, 3] RGB, the same every time."""
    generator = np.random.default_rng(7)
    canvas = Canvas(scale)
    paint_background(canvas)
    paint_back_hair(canvas, generator)
    paint_neck(canvas)
    paint_clothes(canvas, generator)
    paint_face(canvas)
    paint_nose(canvas)
    paint_lips(canvas)
    paint_eyes(canvas, generator)
    paint_brows(canvas, generator, _BROW)
    paint_front_hair(canvas, generator)
    return canvas.picture()


def main() -> None:
    """Write the portrait beside this script."""
    cv2.imwrite(str(PRESENTER), draw_presenter()[:, :, ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
