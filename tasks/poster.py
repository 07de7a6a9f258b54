"""A still that stands for the video."""

from pathlib import Path

import av
import cv2

from tasks.errors import DownloadBroken

POSTER_QUALITY = 88


def write_poster(video: Path, poster: Path) -> Path:
    """Write a JPEG of the frame a third into the video, at most 3 s in, and return its path.

    Raises:
        DownloadBroken: no frame could be decoded.
    """
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        seconds = (container.duration or 0) / av.time_base
        wanted = min(3.0, seconds / 3)
        chosen = None
        for frame in container.decode(stream):
            chosen = frame
            if frame.time is None or frame.time >= wanted:
                break
        if chosen is None:
            raise DownloadBroken(f"no picture could be decoded from {video.name}.", fix="Render it again.")
        picture = chosen.to_ndarray(format="bgr24")
    encoded, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, POSTER_QUALITY])
    if not encoded:
        raise DownloadBroken(f"the poster of {video.name} could not be written.")
    poster.write_bytes(data.tobytes())
    return poster
