"""Whether lips and sound belong together: a report for people, not a gate.

The opening of the lips, read by the face mesh, is compared with the opening that the sound asks for, at every shift
from -0.8 to 0.8 s. The measure knows nothing of words, so it needs some seconds of speech, and it flatters videos
whose mouth was drawn from the very same estimate.
"""

from dataclasses import dataclass, field
from typing import Literal

import av
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from tasks.audio import Wave
from tasks.facemesh import FaceMesh
from tasks.facemesh.topology import INNER_LOWER, INNER_UPPER, LEFT_EYE_OUTER, RIGHT_EYE_OUTER
from tasks.quality.articulation import CURVE_RATE, estimate_articulation

Verdict = Literal["in sync", "out of sync", "unsure", "mouth still", "no face", "no voice"]

# A minute tells as much as an hour; a long video is looked at in three places.
_SAMPLED_SECONDS = 60.0
_WINDOWS = 3
_PICTURES_PER_SECOND = 12.5
_PICTURE_SIDE = 480
# Searching a whole picture for a face costs ten times what following one does: after misses the search rests for
# twice as long each time.
_FIRST_REST, _LONGEST_REST = 0.25, 4.0
_MAX_LAG = 0.8
_NEIGHBOURS = 0.15
# Viewers notice sound that is some 45 ms early or 125 ms late; the measure itself is good to about 40 ms.
_IN_SYNC_MS = 80
_LEAST_MOVEMENT = 0.006
_LEAST_CORRELATION = 0.25
_LEAST_MARGIN = 0.05
_LEAST_SEEN = 0.5
_SHORTEST_SECONDS = 2.0
# Lip gaps at the middle and half-way to both corners, as positions in the chains of the mesh.
_GAPS = (3, 5, 7)

_Curve = npt.NDArray[np.float64]


class SyncReport(BaseModel):
    """How lips and sound go together."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    lag_ms: int | None = Field(description="How late the sound is against the lips; negative is early.")
    correlation: float | None = Field(description="Agreement of lips and sound at that lag, -1 to 1.")
    margin: float | None = Field(description="How much better that lag is than any other one further away.")
    movement: float = Field(description="Spread of the lip opening as a share of the distance between the eyes.")
    face_seen: float = Field(description="Share of the sampled pictures in which a face was seen.")
    sampled_seconds: float


@dataclass
class _Window:
    """One sampled part of the video: lip openings with their times, and the sound from its start."""

    start: float
    end: float
    times: list[float] = field(default_factory=list)
    openings: list[float] = field(default_factory=list)
    sound: list[Wave] = field(default_factory=list)
    sound_start: float | None = None


class SyncCheck:
    """Takes the pictures and the sound of a video once, in order, and looks at a minute of it at most.

    Args:
        seconds: expected length of the video, to choose where to look.
        rate: samples per second of the sound blocks.
    """

    def __init__(self, seconds: float, rate: int) -> None:
        self._rate = rate
        self._windows = [_Window(start, end) for start, end in _choose_windows(seconds)]
        self._mesh: FaceMesh | None = None
        self._last: npt.NDArray[np.float32] | None = None
        self._next_look = 0.0
        self._rest = 0.0
        self._rest_until = 0.0

    def add_picture(self, frame: av.VideoFrame, time: float) -> None:
        """Take the next picture and its time in seconds."""
        window = next((w for w in self._windows if w.start <= time < w.end), None)
        if window is None or time < self._next_look - 1e-3:
            return
        self._next_look = max(self._next_look, time) + 1 / _PICTURES_PER_SECOND
        window.times.append(time)
        window.openings.append(self._look(frame, time))

    def add_sound(self, block: Wave, time: float) -> None:
        """Take the next block of sound and the time of its first sample."""
        for window in self._windows:
            first = max(0, round((window.start - time) * self._rate))
            part = block[first : max(0, round((window.end - time) * self._rate))]
            if len(part):
                if window.sound_start is None:
                    window.sound_start = time + first / self._rate
                window.sound.append(part)

    def report(self) -> SyncReport:
        """Compare what was collected."""
        openings = np.array([opening for window in self._windows for opening in window.openings])
        seen = float(np.isfinite(openings).mean()) if len(openings) else 0.0
        movement = float(np.nanstd(openings)) if seen > 0 else 0.0
        agreements = [(w, a) for w in self._windows if (a := _agreement(w, self._rate)) is not None]
        weights = [len(window.times) for window, _ in agreements]
        agreement = np.average([a for _, a in agreements], axis=0, weights=weights) if agreements else None
        facts = {
            "movement": round(movement, 4),
            "face_seen": round(seen, 3),
            "sampled_seconds": round(sum(w.times[-1] - w.times[0] for w in self._windows if w.times), 2),
        }
        if agreement is None:
            verdict: Verdict = "no face" if seen < _LEAST_SEEN else "no voice"
            return SyncReport(verdict=verdict, lag_ms=None, correlation=None, margin=None, **facts)
        return _judge(agreement, facts)

    def _look(self, frame: av.VideoFrame, time: float) -> float:
        """Lip opening of a picture, or NaN where no face is seen or the search rests."""
        if time < self._rest_until:
            return float("nan")
        opening = self._opening(frame)
        missed = np.isnan(opening)
        self._rest = min(max(2 * self._rest, _FIRST_REST), _LONGEST_REST) if missed else 0.0
        self._rest_until = time + self._rest
        return opening

    def _opening(self, frame: av.VideoFrame) -> float:
        """Lip opening as a share of the distance between the eyes; NaN without a face."""
        if self._mesh is None:
            self._mesh = FaceMesh()
        scale = min(1.0, _PICTURE_SIDE / min(frame.width, frame.height))
        width, height = round(frame.width * scale / 2) * 2, round(frame.height * scale / 2) * 2
        picture = np.asarray(
            frame.reformat(width, height, "rgb24", interpolation="FAST_BILINEAR").to_ndarray(), np.uint8
        )
        points = self._last = self._mesh.landmarks(picture, self._last)
        if points is None:
            return float("nan")
        eyes = np.linalg.norm(points[RIGHT_EYE_OUTER] - points[LEFT_EYE_OUTER])
        gaps = [np.linalg.norm(points[INNER_UPPER[i], :2] - points[INNER_LOWER[i], :2]) for i in _GAPS]
        return float(np.mean(gaps) / eyes)


def _choose_windows(seconds: float) -> list[tuple[float, float]]:
    if seconds <= _SAMPLED_SECONDS:
        return [(0.0, _SAMPLED_SECONDS)]
    length = _SAMPLED_SECONDS / _WINDOWS
    starts = np.linspace(0, seconds - length, _WINDOWS)
    return [(float(start), float(start) + length) for start in starts]


def _agreement(window: _Window, rate: int) -> _Curve | None:
    """Correlation of lips and sound at every lag; None without enough face or voice to compare."""
    openings, times = np.array(window.openings), np.array(window.times)
    seen = np.isfinite(openings)
    if window.sound_start is None or len(times) < 3 or seen.mean() < _LEAST_SEEN:
        return None
    sound = np.concatenate(window.sound)
    mouth = estimate_articulation(sound, rate)
    begin = max(times[0], window.sound_start)
    end = min(times[-1], window.sound_start + len(sound) / rate)
    if mouth is None or end - begin < _SHORTEST_SECONDS:
        return None
    clock = np.arange(begin, end, 1 / CURVE_RATE)
    lips = _articulation_band(np.interp(clock, times[seen], openings[seen]))
    asked = np.interp(clock, window.sound_start + np.arange(len(mouth.jaw)) / CURVE_RATE, mouth.jaw)
    return _correlate(lips, _articulation_band(asked))


def _articulation_band(curve: _Curve) -> _Curve:
    """Keep 0.4 to 8 Hz: the pace of syllables, without the drift of the head and without jitter."""
    fast = np.hanning(11)[1:-1]
    slow = np.hanning(253)[1:-1]
    smooth = np.convolve(np.pad(curve, 4, mode="edge"), fast / fast.sum(), "valid")
    return smooth - np.convolve(np.pad(smooth, 125, mode="edge"), slow / slow.sum(), "valid")


def _correlate(lips: _Curve, sound: _Curve) -> _Curve:
    """Correlation at every lag from -``_MAX_LAG`` to ``_MAX_LAG``; positive lags mean late sound."""
    reach = round(_MAX_LAG * CURVE_RATE)
    values = []
    for lag in range(-reach, reach + 1):
        one, other = (lips[: len(lips) - lag], sound[lag:]) if lag >= 0 else (lips[-lag:], sound[:lag])
        spread = float(np.std(one) * np.std(other))
        values.append(float(np.mean((one - one.mean()) * (other - other.mean())) / spread) if spread > 1e-9 else 0.0)
    return np.array(values)


def _judge(agreement: _Curve, facts: dict[str, float]) -> SyncReport:
    best = int(np.argmax(agreement))
    near = round(_NEIGHBOURS * CURVE_RATE)
    elsewhere = np.concatenate([agreement[: max(0, best - near)], agreement[best + near + 1 :]])
    correlation, margin = float(agreement[best]), float(agreement[best] - elsewhere.max())
    lag = (best - len(agreement) // 2) * 1000 // CURVE_RATE
    verdict: Verdict = "in sync" if abs(lag) <= _IN_SYNC_MS else "out of sync"
    if facts["movement"] < _LEAST_MOVEMENT:
        verdict = "mouth still"
    elif correlation < _LEAST_CORRELATION or margin < _LEAST_MARGIN:
        verdict = "unsure"
    return SyncReport(verdict=verdict, lag_ms=lag, correlation=round(correlation, 3), margin=round(margin, 3), **facts)
