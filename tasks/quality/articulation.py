"""What a mouth does to make a sound, estimated from the sound alone, whatever the language.

Vowels differ by their formants: an open jaw raises the first, spread lips raise the second. Hiss means a nearly shut
jaw, a short deep dip between vowels means that the lips met.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.audio import Wave

CURVE_RATE = 100
"""Values per second of every curve here."""

Curve = npt.NDArray[np.float64]

_WINDOW = 0.032
# Below this level (dB of full scale in the speech band) nothing is speech.
_SILENCE_DB = -55.0
# Bands in Hz whose energies tell the shape: overall, first formant high and low, second formant high and low,
# hiss, everything below it, and what remains when the lips are closed.
_BANDS = {
    "speech": (150, 4000),
    "jaw_open": (550, 1100),
    "jaw_shut": (150, 450),
    "lips_spread": (1700, 3200),
    "lips_round": (500, 1200),
    "hiss": (4500, 7800),
    "voice": (150, 3000),
    "mouth": (600, 4000),
}


@dataclass(frozen=True)
class Articulation:
    """Mouth curves, float64[n] at ``CURVE_RATE``, the first value at the first sample."""

    jaw: Curve
    """0 shut to 1 open."""
    lips: Curve
    """-1 puckered to 1 spread."""
    closure: Curve
    """0 apart to 1 pressed together."""


def estimate_articulation(wave: Wave, rate: int) -> Articulation | None:
    """Estimate the mouth behind a voice, float32[n] mono; None when nothing is loud enough to be one."""
    level = {name: 10 * np.log10(energy) for name, energy in _band_energies(wave, rate).items()}
    loudest = float(np.percentile(level["speech"], 95))
    if loudest < _SILENCE_DB:
        return None
    quietest = float(np.percentile(level["speech"], 5))
    floor = max(loudest - 32, min(quietest + 6, loudest - 12), _SILENCE_DB)
    energy = np.clip((level["speech"] - floor) / max(loudest - floor, 1e-6), 0, 1)
    voiced = energy > 0.35
    hiss = 1 / (1 + np.exp(-np.clip(level["hiss"] - level["voice"], -60, 60) / 2))

    height = _standardise(level["jaw_open"] - level["jaw_shut"], voiced)
    front = _standardise(level["lips_spread"] - level["lips_round"], voiced)
    jaw = energy**1.3 * np.clip(0.5 + 0.28 * height, 0.12, 1) * (1 - 0.8 * hiss)
    lips = np.clip(0.45 * front, -1, 0.8) * energy + 0.3 * hiss * (energy > 0)
    closure = np.maximum(0.8 * _closures(level["mouth"]) * (1 - hiss), 0.35 * np.clip(1 - 6 * energy, 0, 1))
    return Articulation(_smooth(jaw, 2.5), _smooth(lips, 4), _smooth(closure, 1.6))


def _band_energies(wave: Wave, rate: int) -> dict[str, Curve]:
    """Mean power per band and hop, relative to full scale; computed a few seconds at a time to bound the memory."""
    window, hop = round(_WINDOW * rate), round(rate / CURVE_RATE)
    taper = np.hanning(window).astype(np.float32)
    size = 1 << (window - 1).bit_length()
    frequencies = np.fft.rfftfreq(size, 1 / rate)
    masks = {name: (frequencies >= low) & (frequencies < high) for name, (low, high) in _BANDS.items()}
    energies: dict[str, list[Curve]] = {name: [] for name in _BANDS}
    for frames in _windows(wave, window, hop):
        power = np.abs(np.fft.rfft(frames * taper, size)) ** 2 * (2 / (float(np.sum(taper**2)) * size))
        for name, mask in masks.items():
            energies[name].append(power[:, mask].sum(axis=1) + 1e-12)
    return {name: np.concatenate(parts) for name, parts in energies.items()}


def _windows(wave: Wave, window: int, hop: int, hops_at_once: int = 1000) -> Iterator[npt.NDArray[np.float32]]:
    """Yield overlapping windows, float32[hops, window], the first centred on the first sample."""
    hops = len(wave) // hop + 1
    for first in range(0, hops, hops_at_once):
        count = min(hops_at_once, hops - first)
        start, stop = first * hop - window // 2, (first + count - 1) * hop + window - window // 2
        part = np.pad(wave[max(0, start) : stop], (max(0, -start), max(0, stop - max(len(wave), start))))
        yield np.lib.stride_tricks.sliding_window_view(part, window)[::hop][:count]


def _standardise(curve: Curve, chosen: npt.NDArray[np.bool_]) -> Curve:
    """Distance from the usual in standard deviations, so that speakers and microphones compare."""
    usual = curve[chosen] if chosen.any() else curve
    return np.asarray((curve - np.median(usual)) / (np.std(usual) + 1e-6))


def _closures(level: Curve, reach: int = 9) -> Curve:
    """Find short deep dips between louder neighbours: lips closing for p, b or m; 0..1 per hop."""
    padded = np.pad(level, reach, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, reach).max(axis=1)
    before, after = around[: len(level)], around[reach + 1 :]
    return np.asarray(np.clip((np.minimum(before, after) - level - 14) / 10, 0, 1))


def _smooth(curve: Curve, width: float) -> Curve:
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / width) ** 2)
    return np.convolve(np.pad(curve, 12, mode="edge"), kernel / kernel.sum(), "valid")
