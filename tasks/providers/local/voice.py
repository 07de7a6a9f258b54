"""The bundled English voice, with the time of every phoneme it speaks.

The speech model keeps its phoneme durations inside; they are read from one of its internal tensors, which is why
the model file is pinned by its hash.
"""

import hashlib
import re
import unicodedata
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import hibari
import numpy as np
import onnx
import onnxruntime
from hibari import dsp
from hibari.voices import VOICES

from tasks.audio import Wave
from tasks.errors import Problem, RenderFailed
from tasks.providers.local.models import PROVIDER

DEFAULT_VOICE = "heart"
RATE: int = hibari.SAMPLE_RATE

_DURATIONS = "/Clip_output_0"
_MODEL_SHA256 = "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"

BRING_RECORDING = "Bring a recording of the voice instead: set the speech kind to 'recording'."
# Signs with a letter's category that the voice reads as words.
_SPOKEN_SIGNS = frozenset("µªº")
# A single "word" longer than this is no word; the spelling network's time grows with its square.
_LONGEST_WORD = 60
# Longest phoneme string the model reads at once; it was trained on sentences.
_LONGEST_CHUNK = 400

# The model's durations run behind its sound by 2.5 of its 25 ms frames at normal speed, measured on closures and
# hisses; the model it was distilled from is corrected by 3 frames in the same way.
_DURATION_DELAY = 0.0625

_STRESS_MARKS = frozenset("ˈˌ")

_SENTENCE_PAUSE = 0.30
_PARAGRAPH_PAUSE = 0.55
# Breath kept around each sentence when the model's own, uneven silence is cut off.
_LEAD, _TAIL = 0.06, 0.12
_AUDIBLE = 10 ** (-50 / 20)


@dataclass(frozen=True)
class Phoneme:
    """One phoneme of the model's alphabet, or None for silence, and when it sounds, in seconds."""

    start: float
    end: float
    symbol: str | None


@dataclass(frozen=True)
class Spoken:
    """A synthetic voice: float32[n] mono in [-1, 1] at ``RATE``, and its phonemes in order."""

    wave: Wave
    phonemes: list[Phoneme]


def bundled_voices() -> list[str]:
    """Names of the voices whose model is in the installed package."""
    return [name for name, facts in VOICES.items() if facts.get("bundled")]


def check_script(text: str, language: str, voice: str | None, speed: float) -> list[Problem]:
    """What keeps this script from being spoken here; empty when nothing does."""
    problems = []
    if language.split("-", maxsplit=1)[0].lower() != "en":
        problems.append(Problem("speech.language", f"the offline voice cannot speak {language!r}.", BRING_RECORDING))
    if (voice or DEFAULT_VOICE) not in bundled_voices():
        problems.append(
            Problem(
                "speech.voice",
                f"{voice!r} is not installed here.",
                f"Choose {', '.join(bundled_voices())}, or leave it empty.",
            )
        )
    if not 0.5 <= speed <= 2.0:
        problems.append(Problem("speech.speed", f"{speed:g} is too far from normal.", "Choose 0.5 to 2."))
    strange = [character for character in dict.fromkeys(text) if not _is_speakable(character)]
    if strange:
        shown = " ".join(strange[:10]) + (" …" if len(strange) > 10 else "")
        problems.append(Problem("speech.text", f"the offline voice cannot read: {shown}", BRING_RECORDING))
    elif not any(character.isalnum() for character in text):
        problems.append(Problem("speech.text", "there is nothing to say.", "Write at least one word."))
    longest = max(text.split(), key=len, default="")
    if len(longest) > _LONGEST_WORD and re.search(rf"\w{{{_LONGEST_WORD},}}", longest):
        problems.append(Problem("speech.text", f"{longest[:20]}… is too long for a word.", "Put spaces between words."))
    return problems


def _is_speakable(character: str) -> bool:
    """Latin letters and European digits are; signs and emoji are read or skipped by the normaliser."""
    category = unicodedata.category(character)
    if category[0] == "L":
        return character in _SPOKEN_SIGNS or unicodedata.name(character, "").startswith("LATIN ")
    return character.isascii() if category == "Nd" else category not in {"Cc", "Cs"} or character.isspace()


class Voice:
    """The bundled voice, loaded once; the same text gives the same samples.

    Raises:
        RenderFailed: the installed model is not the one whose insides are known.
    """

    def __init__(self, name: str = DEFAULT_VOICE) -> None:
        self._hibari = hibari.Hibari(voice=name)
        self._session = _open_with_durations(Path(self._hibari.model_path))

    def speak(self, text: str, speed: float = 1.0) -> Spoken:
        """Speak a text sentence by sentence; speed 1 is normal, 2 is twice as fast."""
        waves: list[Wave] = []
        phonemes: list[Phoneme] = []
        clock = 0.0
        for part in self.sentences(text, speed):
            waves.append(part.wave)
            phonemes += [Phoneme(clock + heard.start, clock + heard.end, heard.symbol) for heard in part.phonemes]
            clock += len(part.wave) / RATE
        return Spoken(np.concatenate(waves) if waves else np.zeros(0, np.float32), phonemes)

    def sentences(self, text: str, speed: float = 1.0) -> Generator[Spoken]:
        """Speak a text, each sentence with the pause after it as soon as it is made; one text at a time."""
        random = np.random.default_rng(0)
        for chunk, pause in self._chunks(text):
            wave, timed = self._speak_chunk(chunk, speed, random)
            silence = np.zeros(round(pause / speed * RATE), np.float32)
            spoken, end = len(wave) / RATE, (len(wave) + len(silence)) / RATE
            phonemes = [Phoneme(start, stop, symbol) for start, stop, symbol in timed]
            yield Spoken(np.concatenate([wave, silence]), [*phonemes, Phoneme(spoken, end, None)])

    def _chunks(self, text: str) -> Iterator[tuple[str, float]]:
        """Phoneme strings that the model can read at once, each with the pause after it in seconds."""
        held: str | None = None
        for paragraph in re.split(r"\n\s*\n", text):
            pause = _PARAGRAPH_PAUSE
            for sentence in self._hibari.phonemize(paragraph):
                if not any(symbol.isalpha() for symbol in sentence):
                    continue
                if held is not None:
                    yield held, pause
                *parts, held = _split_long(sentence)
                yield from ((part, 0.0) for part in parts)
                pause = _SENTENCE_PAUSE
        if held is not None:
            yield held, _SENTENCE_PAUSE

    def _speak_chunk(
        self, chunk: str, speed: float, random: np.random.Generator
    ) -> tuple[Wave, list[tuple[float, float, str | None]]]:
        """One model call; the silence around the words is cut to a breath, and the times follow."""
        symbols = [None, *(symbol for symbol in chunk if symbol in self._hibari.vocab), None]
        inputs = {"ids": np.array([self._hibari.ids(chunk)], np.int64), "speed": np.array([speed], np.float32)}
        *spectra, durations = self._session.run(None, inputs)
        wave = dsp.synth(*(part[0] for part in spectra), random).astype(np.float32)
        ends = np.cumsum(durations.ravel().astype(np.float64))
        ends *= len(wave) / RATE / ends[-1]
        starts = np.concatenate([[0.0], ends[:-1]])

        loud = np.flatnonzero(np.abs(wave) > _AUDIBLE)
        first, last = (loud[0], loud[-1]) if len(loud) else (0, len(wave))
        begin = max(0, int(first) - round(_LEAD * RATE))
        wave = np.clip(wave[begin : int(last) + round(_TAIL * RATE)], -1, 1)
        early = begin / RATE + _DURATION_DELAY / speed
        spoken = np.clip(np.stack([starts, ends]) - early, 0, len(wave) / RATE)
        return wave, _without_marks([(float(a), float(b), s) for a, b, s in zip(*spoken, symbols, strict=True)])


def _without_marks(timed: list[tuple[float, float, str | None]]) -> list[tuple[float, float, str | None]]:
    """Give the time of a stress mark to the vowel after it, where it is heard."""
    kept: list[tuple[float, float, str | None]] = []
    begin: float | None = None
    for start, end, symbol in timed:
        if symbol is not None and symbol in _STRESS_MARKS:
            begin = start if begin is None else begin
        else:
            kept.append((start if begin is None else begin, end, symbol))
            begin = None
    return kept


def _split_long(sentence: str) -> list[str]:
    """Cut a phoneme string between words so that no part is longer than the model reads."""
    parts = [""]
    for word in sentence.split(" "):
        if parts[-1] and len(parts[-1]) + len(word) >= _LONGEST_CHUNK:
            parts.append(word)
        else:
            parts[-1] = f"{parts[-1]} {word}".strip()
    return parts


@lru_cache(maxsize=1)
def get_voice(name: str = DEFAULT_VOICE) -> Voice:
    """Load the voice once per process, which takes about a second."""
    return Voice(name)


def _open_with_durations(path: Path) -> onnxruntime.InferenceSession:
    """Open the model with its phoneme durations as one more output."""
    model_bytes = path.read_bytes()
    found = hashlib.sha256(model_bytes).hexdigest()
    if found != _MODEL_SHA256:
        raise RenderFailed(
            f"the installed voice model is not the known one (sha256 {found[:12]}…, expected {_MODEL_SHA256[:12]}…).",
            provider=PROVIDER,
            code="voice-unknown",
            fix="Install the pinned package again: pip install --force-reinstall hibari-tts==0.2.1.",
        )
    model = onnx.load_model_from_string(model_bytes)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(_DURATIONS))
    options = onnxruntime.SessionOptions()
    # One thread: more gain little here, and the order of additions stays the same.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
