"""Good and bad media in the staging bucket."""

from pathlib import Path

import cv2
import numpy as np
from skimage import data

from infra.presenter import PRESENTER, RECORDING
from tasks.storage import ObjectStore
from tests.media_files import write_sound

PLAYLIST = b"#EXTM3U\n#EXTINF:10,\n/etc/passwd\n#EXT-X-ENDLIST\n"


async def stage_media(store: ObjectStore, folder: Path) -> None:
    """Upload everything that tests/bad_requests.py and the good tests refer to."""
    face = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    tiny = np.full((512, 512, 3), 200, np.uint8)
    tiny[240:260, 240:260] = cv2.resize(face[60:210, 150:300], (20, 20))
    pictures = {
        "good/face.png": face,
        "bad/no-face.png": np.full((400, 400, 3), 128, np.uint8),
        "bad/tiny-face.png": tiny,
        "bad/pixel.png": face[:1, :1],
    }
    for key, picture in pictures.items():
        await store.put_bytes("staging", key, cv2.imencode(".png", picture)[1].tobytes(), content_type="image/png")
    whole = cv2.imencode(".png", face)[1].tobytes()
    bodies = {
        "bad/half.png": whole[: len(whole) // 2],
        "bad/text.png": b"this is no picture\n" * 50,
        "bad/empty.png": b"",
        "bad/list.m3u8": PLAYLIST,
        "good/speech.wav": write_sound(folder / "speech.wav", 1.5).read_bytes(),
        "bad/blink.wav": write_sound(folder / "blink.wav", 0.04).read_bytes(),
        "good/presenter.png": PRESENTER.read_bytes(),
        "good/speech.m4a": RECORDING.read_bytes(),
    }
    for key, body in bodies.items():
        await store.put_bytes("staging", key, body)
