"""Which of the 468 mesh points lie where on a face. 'Left' and 'right' are as seen in the picture.

Upper and lower lip chains run from the left mouth corner to the right one, pairwise: ``INNER_UPPER[i]`` meets
``INNER_LOWER[i]`` when the mouth is shut.
"""

from typing import Final

LEFT_EYE_OUTER: Final = 33
RIGHT_EYE_OUTER: Final = 263
MOUTH_LEFT: Final = 61
MOUTH_RIGHT: Final = 291
NOSE_TIP: Final = 1
SUBNASALE: Final = 2
CHIN_TIP: Final = 152
LEFT_CHEEK_SKIN: Final = 50
RIGHT_CHEEK_SKIN: Final = 280
LEFT_FACE_EDGE: Final = 234
RIGHT_FACE_EDGE: Final = 454

INNER_UPPER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
INNER_LOWER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
OUTER_UPPER: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
OUTER_LOWER: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)

LEFT_UPPER_LID: Final = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_UPPER_LID: Final = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_LOWER_LID: Final = (33, 7, 163, 144, 145, 153, 154, 155, 133)
RIGHT_LOWER_LID: Final = (263, 249, 390, 373, 374, 380, 381, 382, 362)
LEFT_BROW: Final = (70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 225, 224, 223, 222, 221)
RIGHT_BROW: Final = (300, 293, 334, 296, 336, 276, 283, 282, 295, 285, 445, 444, 443, 442, 441)
