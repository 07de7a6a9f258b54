"""Speak the sample recording: `python -m infra.presenter.record`."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from infra.presenter import RECORDING
from tasks.providers.local.models import RenderJob
from tasks.providers.local.speech import PreparedSpeech, prepare_speech

_WORDS = (
    "This is a recording. The studio does not know these words: it listens to the sound, "
    "and finds out what a mouth would do. Any voice will work, in any language."
)


def main() -> None:
    """Write the recording beside this script."""
    job = RenderJob(avatar_kind="portrait", avatar_path=RECORDING, script=_WORDS)
    write_sound(RECORDING, prepare_speech(job))


def write_sound(path: Path, speech: PreparedSpeech) -> None:
    """Encode mono speech as AAC."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=speech.rate, layout="mono", bit_rate=96_000)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(speech.wave[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = speech.rate, 0, Fraction(1, speech.rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
