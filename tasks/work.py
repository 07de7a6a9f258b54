"""How much there is to say, before anybody has said it: what the expected finish of a render is learnt from."""

import unicodedata

from tasks.models import RenderRequest, ScriptSpeech
from tasks.providers.base import MediaSet

# Reading aloud: about 150 words of 6 signs a minute; Chinese, Japanese and Korean about 4.5 characters a second.
LETTERS_A_SECOND = 15.0
IDEOGRAPHS_A_SECOND = 4.5
_WIDE = {"W", "F"}


def expected_speech_seconds(request: RenderRequest, media: MediaSet) -> float | None:
    """Seconds of speech: those of the recording, or a guess from script and speed; None where nothing is known.

    Only the pace of questions is derived from it, never a price or a check.
    """
    speech = request.speech
    if isinstance(speech, ScriptSpeech):
        is_narrow = speech.text.isascii()
        wide = 0 if is_narrow else sum(unicodedata.east_asian_width(sign) in _WIDE for sign in speech.text)
        seconds = wide / IDEOGRAPHS_A_SECOND + (len(speech.text) - wide) / LETTERS_A_SECOND
        return round(max(seconds / speech.speed, 0.5), 2)
    recording = media.get("speech")
    return recording.seconds if recording else None
