"""The spoken script and the recording as the renderer gets them: `tasks.providers.local.speech` and `voice`."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import RenderFailed
from tasks.providers.local import voice
from tasks.providers.local.models import RenderJob
from tasks.providers.local.speech import RECORDING_RATE, prepare_speech
from tasks.providers.local.voice import check_script, get_voice
from tests.media_files import write_wav


def job(**given: object) -> RenderJob:
    return RenderJob.model_validate({"avatar_kind": "portrait", "avatar_path": "nobody.png", **given})


def test_script_becomes_sound_with_a_matching_mouth() -> None:
    """A script is spoken at a decent level, and the mouth is open while the voice sounds."""
    speech = prepare_speech(job(script="Papa, mama and Bob are having a wonderful time.", fps=25))

    assert 2 < speech.seconds < 6
    assert speech.track.shape == (int(np.ceil(speech.seconds * 25)), 4)
    assert speech.track.dtype == speech.wave.dtype == np.float32
    assert 0.3 < np.abs(speech.wave).max() <= 0.9
    per_frame = speech.rate // 25
    whole = len(speech.wave) // per_frame
    loud = np.sqrt(np.square(speech.wave[: whole * per_frame].reshape(whole, -1)).mean(axis=1))
    assert np.corrcoef(loud, speech.track[:whole, 0])[0, 1] > 0.3


def test_same_text_same_samples() -> None:
    """A repeated render sounds bit by bit the same, so that its render key may stand for it."""
    one = voice.Voice().speak("Once again, please. Thank you.")
    two = voice.Voice().speak("Once again, please. Thank you.")

    assert np.array_equal(one.wave, two.wave)
    assert one.phonemes == two.phonemes


def test_phoneme_times_follow_the_sound() -> None:
    """Times run forward, end with the sound, and a closed p is quieter than the vowel beside it."""
    spoken = get_voice().speak("Peter Piper picked a peck of pickled peppers. Papa is happy!")

    starts = [phoneme.start for phoneme in spoken.phonemes]

    assert starts == sorted(starts)
    assert spoken.phonemes[-1].end == pytest.approx(len(spoken.wave) / voice.RATE, abs=1e-3)

    def level(symbols: str) -> float:
        parts = [
            spoken.wave[round(p.start * voice.RATE) : round(p.end * voice.RATE)]
            for p in spoken.phonemes
            if p.symbol is not None and p.symbol in symbols
        ]
        return float(np.sqrt(np.mean(np.square(np.concatenate(parts)))))

    assert level("p") < 0.6 * level("æʌɑɛ")


def test_speed_changes_the_length() -> None:
    """Twice the speed is about half the time."""
    text = "The quick brown fox jumps over the lazy dog, again and again."

    normal, fast = (get_voice().speak(text, speed) for speed in (1.0, 2.0))

    assert 0.4 < len(fast.wave) / len(normal.wave) < 0.65


def test_numbers_abbreviations_and_typographic_signs_are_spoken() -> None:
    """Scripts pasted from a word processor are read as a person would read them."""
    plain = get_voice().speak('Doctor Smith paid three dollars and fifty cents, "really?"')
    pasted = get_voice().speak("Dr. Smith paid $3.50, “really?”")

    symbols = [[p.symbol for p in spoken.phonemes if p.symbol and p.symbol.isalpha()] for spoken in (plain, pasted)]
    assert symbols[0] == symbols[1]


def test_text_without_punctuation_is_cut_between_words() -> None:
    """A run-on text is more than the model reads at once, and is spoken to its end."""
    words = 250

    spoken = get_voice().speak("very " * words)

    assert sum(phoneme.symbol == "v" for phoneme in spoken.phonemes) == words
    assert len(spoken.wave) / voice.RATE > 0.15 * words


@pytest.mark.parametrize(
    ("text", "language", "voice_name", "speed", "field"),
    [
        ("你好 世界", "en", None, 1, "speech.text"),
        ("Hello, мир", "en", None, 1, "speech.text"),
        ("Hello ١٢", "en", None, 1, "speech.text"),
        ("… — !", "en", None, 1, "speech.text"),
        ("x" * 400, "en", None, 1, "speech.text"),
        ("Hello", "zh-CN", None, 1, "speech.language"),
        ("Hello", "de", None, 1, "speech.language"),
        ("Hello", "en", "emma", 1, "speech.voice"),
        ("Hello", "en", "nobody", 1, "speech.voice"),
        ("Hello", "en", None, 3, "speech.speed"),
    ],
)
def test_unspeakable_scripts_are_refused_at_plan_time(
    text: str, language: str, voice_name: str | None, speed: float, field: str
) -> None:
    """What cannot be spoken offline is refused before any work, naming the field and the way out."""
    problems = check_script(text, language, voice_name, speed)

    assert [problem.field for problem in problems] == [field]
    assert problems[0].fix


def test_unspeakable_language_points_to_a_recording() -> None:
    """The way out of a missing language is to bring a recording."""
    (problem,) = check_script("Guten Tag", "de-DE", None, 1)

    assert "'recording'" in problem.fix


@pytest.mark.parametrize("text", ["Naïve café, 20°C, 5 µm, ½ — “fine” 😀", "Line one\nLine two\ttabbed", "OK"])
def test_speakable_scripts_pass(text: str) -> None:
    """Accents, units, emoji and line breaks are no obstacle."""
    assert check_script(text, "en-GB", "heart", 1.0) == []


def test_other_voice_is_refused_without_a_download(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A voice outside the package would be fetched from the network; the render is refused instead."""
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))

    with pytest.raises(RenderFailed, match="Choose heart") as refused:
        prepare_speech(job(script="Hello", voice="emma"))

    assert refused.value.code == "speech-refused"
    assert list(tmp_path.iterdir()) == []


def test_unknown_model_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Phoneme times come from inside one known model; another model is refused instead of guessed at."""
    monkeypatch.setattr(voice, "_MODEL_SHA256", "0" * 64)

    with pytest.raises(RenderFailed, match="not the known one") as refused:
        voice.Voice()

    assert refused.value.code == "voice-unknown"


def test_recording_keeps_its_samples(tmp_path: Path) -> None:
    """A recording is heard as it was brought, and drives the mouth."""
    spoken = get_voice().speak("Bring your own voice.").wave
    path = write_wav(tmp_path / "voice.wav", spoken, voice.RATE)

    speech = prepare_speech(job(recording_path=path))

    assert speech.rate == RECORDING_RATE
    assert speech.seconds == pytest.approx(len(spoken) / voice.RATE, abs=0.002)
    assert np.abs(speech.wave).max() == pytest.approx(np.abs(spoken).max(), abs=0.02)
    assert speech.track[:, 0].max() > 0.3
    assert speech.notes == []


def test_silent_recording_keeps_the_mouth_shut(tmp_path: Path) -> None:
    """Silence is no error: the mouth rests, and a note says why."""
    path = write_wav(tmp_path / "silence.wav", np.zeros(16_000, np.float32))

    speech = prepare_speech(job(recording_path=path))

    assert speech.track[:, 0].max() == 0
    assert speech.track.shape == (25, 4)
    assert "silent" in speech.notes[0]


def test_shortest_recording_works_and_shorter_is_refused(tmp_path: Path) -> None:
    """0.2 s is a video of five frames; under 0.1 s is a mistake."""
    sound = np.sin(np.arange(16_000) / 5).astype(np.float32) / 2

    speech = prepare_speech(job(recording_path=write_wav(tmp_path / "short.wav", sound[:3200])))

    assert speech.track.shape == (5, 4)
    with pytest.raises(RenderFailed, match=r"0\.05 s") as refused:
        prepare_speech(job(recording_path=write_wav(tmp_path / "blip.wav", sound[:800])))
    assert refused.value.code == "speech-too-short"


def test_unreadable_recording_is_refused(tmp_path: Path) -> None:
    """A file that is no sound ends the job with a reason."""
    (tmp_path / "text.wav").write_text("hello")

    with pytest.raises(RenderFailed, match=r"text\.wav") as refused:
        prepare_speech(job(recording_path=tmp_path / "text.wav"))

    assert refused.value.code == "speech-unreadable"


def test_job_without_speech_is_refused() -> None:
    """A job that says nothing is told so."""
    with pytest.raises(RenderFailed) as refused:
        prepare_speech(job())

    assert refused.value.code == "speech-missing"


def test_ten_minutes_fit_in_bounded_memory(tmp_path: Path) -> None:
    """Ten minutes of recording need little more than their own samples."""
    minute = np.tile(get_voice().speak("A long story, told slowly.").wave, 100)[: 60 * voice.RATE]
    path = write_wav(tmp_path / "long.wav", np.tile(minute, 10), voice.RATE)
    del minute
    tracemalloc.start()

    speech = prepare_speech(job(recording_path=path, fps=25))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert speech.track.shape == (15_000, 4)
    assert peak < 1.5 * speech.wave.nbytes + 60 * 2**20
