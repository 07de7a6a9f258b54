"""Loudness, peak, clipping and silence of the sound track."""

import numpy as np

from tasks.audio import Wave
from tasks.quality.decode import AUDIO_RATE
from tasks.quality.loudness import LoudnessMeter
from tasks.quality.stretches import Stretch, StretchFinder

_HOP = AUDIO_RATE // 100
_SILENT_RMS = 10 ** (-50 / 20)
# Speech pauses reach some 0.8 s; from here on a listener wonders.
_SHORTEST_SILENCE = 1.0
_FULL_SCALE = 0.999


class SoundCheck:
    """Takes the sound of a video once, in consecutive mono blocks at ``AUDIO_RATE``."""

    def __init__(self) -> None:
        self._meter = LoudnessMeter(AUDIO_RATE)
        self._silence = StretchFinder(_SHORTEST_SILENCE)
        self._rest = np.zeros(0, np.float32)
        self._hops = 0
        self.clipped = 0
        """Samples at full scale."""

    def add(self, block: Wave) -> None:
        """Take the next block, float32[n]."""
        self._meter.add(block)
        self.clipped += int(np.count_nonzero(np.abs(block) >= _FULL_SCALE))
        joined = np.concatenate([self._rest, block])
        whole = len(joined) // _HOP * _HOP
        self._rest = joined[whole:]
        for rms in np.sqrt(np.square(joined[:whole].reshape(-1, _HOP)).mean(axis=1)):
            self._silence.add(self._hops * 0.01, holds=bool(rms < _SILENT_RMS))
            self._hops += 1

    @property
    def loudness(self) -> float | None:
        """Integrated loudness in LUFS; None for silence and for less than 0.4 s."""
        return self._meter.integrated()

    @property
    def peak_db(self) -> float | None:
        """Highest sample in dB of full scale; None for digital silence."""
        return float(20 * np.log10(self._meter.peak)) if self._meter.peak > 0 else None

    def silence(self, end: float) -> list[Stretch]:
        """Silent stretches of a video that ends at so many seconds, its soundless tail included."""
        heard = self._hops * 0.01
        if end > heard + 0.1:
            self._silence.add(heard, holds=True)
        return self._silence.finish(max(end, heard))
