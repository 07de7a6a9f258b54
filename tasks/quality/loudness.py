"""Loudness by ITU-R BS.1770 for sound that arrives in blocks, so that an hour costs as little memory as a second.

pyloudnorm knows the weighting filters; its own meter wants the whole signal at once.
"""

import numpy as np
import numpy.typing as npt

from tasks.audio import Wave

_STEP_SECONDS = 0.1
_STEPS_PER_BLOCK = 4
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0


class LoudnessMeter:
    """Collects the weighted power of mono sound in steps of 0.1 s."""

    def __init__(self, rate: int) -> None:
        self.peak = 0.0
        """Highest absolute sample so far."""
        self._step = round(_STEP_SECONDS * rate)
        # SciPy takes most of a second to load, which a run that only waits never needs.
        import pyloudnorm  # noqa: PLC0415 - see above
        from scipy.signal import lfilter  # noqa: PLC0415 - see above

        self._lfilter = lfilter
        filters = pyloudnorm.Meter(rate)._filters.values()  # noqa: SLF001 - no public access
        self._filters = [(stage.b, stage.a, stage.passband_gain) for stage in filters]
        self._states = [np.zeros(max(len(a), len(b)) - 1) for b, a, _ in self._filters]
        self._rest = np.zeros(0)
        self._powers: list[float] = []

    def add(self, block: Wave) -> None:
        """Take the next block, float32[n] in [-1, 1]; a few seconds at a time keep the memory low."""
        if not len(block):
            return
        self.peak = max(self.peak, float(np.abs(block).max()))
        weighted = block.astype(np.float64)
        for index, (b, a, gain) in enumerate(self._filters):
            weighted, self._states[index] = self._lfilter(b, a, weighted, zi=self._states[index])
            weighted = weighted * gain
        weighted = np.concatenate([self._rest, weighted])
        whole = len(weighted) // self._step * self._step
        self._powers += np.square(weighted[:whole].reshape(-1, self._step)).mean(axis=1).tolist()
        self._rest = weighted[whole:]

    def integrated(self) -> float | None:
        """Gated loudness in LUFS; None for silence and for less than 0.4 s."""
        powers = np.array(self._powers)
        if len(powers) < _STEPS_PER_BLOCK:
            return None
        blocks = np.lib.stride_tricks.sliding_window_view(powers, _STEPS_PER_BLOCK).mean(axis=1)
        loud = blocks[_lufs(blocks) > _ABSOLUTE_GATE]
        if not len(loud):
            return None
        gated = loud[_lufs(loud) > _lufs(loud.mean()) + _RELATIVE_GATE]
        return float(_lufs(gated.mean())) if len(gated) else None


def _lufs(power: npt.ArrayLike) -> npt.NDArray[np.float64]:
    return np.asarray(-0.691 + 10 * np.log10(np.maximum(power, 1e-12)))
