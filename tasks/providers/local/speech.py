"""Get the speech of a render ready: the sound, and what the mouth does to it."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tasks.audio import Wave, decode_mono
from tasks.errors import MediaRefused, RenderFailed
from tasks.providers.local import voice
from tasks.providers.local.models import PROVIDER, RenderJob
from tasks.providers.local.visemes import Track, rest_track, track_from_audio, track_from_phonemes
from tasks.quality.loudness import LoudnessMeter

RECORDING_RATE = 48_000
SHORTEST_SECONDS = 0.1

# The usual loudness of speech on the web; the voice itself comes out some 10 dB quieter.
_TARGET_LUFS = -16.0
_HIGHEST_PEAK = 10 ** (-1 / 20)


@dataclass(frozen=True)
class PreparedSpeech:
    """The sound of a render and the mouth that belongs to it."""

    wave: Wave
    """float32[n], mono, in [-1, 1]."""
    rate: int
    """Samples per second."""
    seconds: float
    """Length of the sound."""
    track: Track
    """float32[frames, 4]: open, wide, press, tuck (see ``visemes``); frames = ceil(seconds * fps)."""
    notes: list[str] = field(default_factory=list)
    """Remarks for people."""


def prepare_speech(job: RenderJob) -> PreparedSpeech:
    """Speak the script or decode the recording of a job.

    Raises:
        RenderFailed: with ``code`` speech-missing, speech-refused (a script that cannot be spoken), speech-unreadable,
            speech-too-short or voice-unknown.
    """
    if job.script is not None:
        return _speak(job, job.script)
    if job.recording_path is not None:
        return _listen(job, job.recording_path)
    raise _failed("the job has neither a script nor a recording.", "speech-missing", "Give one of them.")


def _speak(job: RenderJob, script: str) -> PreparedSpeech:
    problems = voice.check_script(script, "en", job.voice, job.speed)
    if problems:
        raise _failed("; ".join(str(problem) for problem in problems), "speech-refused")
    spoken = voice.get_voice(job.voice or voice.DEFAULT_VOICE).speak(script, job.speed)
    seconds = len(spoken.wave) / voice.RATE
    _check_length(seconds)
    track = track_from_phonemes(spoken.phonemes, seconds, job.fps)
    return PreparedSpeech(_level(spoken.wave, voice.RATE), voice.RATE, seconds, track)


def _listen(job: RenderJob, path: Path) -> PreparedSpeech:
    try:
        wave = decode_mono(path, RECORDING_RATE)
    except MediaRefused as error:
        raise _failed("; ".join(str(problem) for problem in error.problems), "speech-unreadable") from error
    seconds = len(wave) / RECORDING_RATE
    _check_length(seconds)
    track = track_from_audio(wave, RECORDING_RATE, job.fps)
    if track is not None:
        return PreparedSpeech(wave, RECORDING_RATE, seconds, track)
    note = "the recording is silent; the mouth stays closed"
    return PreparedSpeech(wave, RECORDING_RATE, seconds, rest_track(seconds, job.fps), [note])


def _level(wave: Wave, rate: int) -> Wave:
    """Raise the voice towards the target loudness, as far as its peaks allow."""
    meter = LoudnessMeter(rate)
    for start in range(0, len(wave), 10 * rate):
        meter.add(wave[start : start + 10 * rate])
    loudness = meter.integrated()
    if loudness is None:
        return wave
    return wave * np.float32(min(10 ** ((_TARGET_LUFS - loudness) / 20), _HIGHEST_PEAK / meter.peak))


def _check_length(seconds: float) -> None:
    if seconds < SHORTEST_SECONDS:
        raise _failed(
            f"the speech lasts {seconds:.2f} s, too short for a video.",
            "speech-too-short",
            f"Give at least {SHORTEST_SECONDS:g} s.",
        )


def _failed(message: str, code: str, fix: str = "") -> RenderFailed:
    return RenderFailed(message, provider=PROVIDER, code=code, fix=fix)
