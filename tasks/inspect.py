"""Look at a finished video as a careful person would: all of it, once, and say what was found.

The inspection reports. Only what makes a video unusable is a failure; taste and doubt are warnings.
"""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import av
from pydantic import BaseModel, ConfigDict, Field

from tasks.audio import Wave
from tasks.quality.decode import AUDIO_RATE, DecodedFacts, decode_all, verify_playable, why_broken
from tasks.quality.pictures import PictureCheck
from tasks.quality.sound import SoundCheck
from tasks.quality.stretches import Stretch
from tasks.quality.sync import SyncCheck, SyncReport
from tasks.step import step

__all__ = ["DecodedFacts", "Finding", "Inspection", "examine_video", "inspect_video", "verify_playable"]

log = logging.getLogger("studio.inspect")

Level = Literal["ok", "warn", "fail"]

_LENGTH_WARN, _LENGTH_FAIL = 0.1, 0.5
_STREAMS_APART = 0.3
_QUIET_LUFS, _LOUD_LUFS = -30.0, -9.0
_LONG_SILENCE = 3.0
_LONG_GAP = 0.2
_CLIPPED_SAMPLES = 50
_SYNC_WORDS = {
    "unsure": "too little agreement to tell",
    "mouth still": "the mouth hardly moves",
    "no face": "no face is seen",
    "no voice": "too little voice to judge",
}


class Finding(BaseModel):
    """One thing that was checked."""

    model_config = ConfigDict(frozen=True)

    level: Level
    what: str = Field(description="What was checked, in a word or two.")
    detail: str = Field(description="What was found, for people.")


class Inspection(BaseModel):
    """All that was measured on a video, and what it means."""

    model_config = ConfigDict(frozen=True)

    facts: DecodedFacts
    black: list[Stretch]
    frozen: list[Stretch]
    silence: list[Stretch]
    loudness: float | None = Field(description="Integrated loudness in LUFS; None for silence or under 0.4 s.")
    peak_db: float | None = Field(description="Highest sample in dB of full scale; None for digital silence.")
    sync: SyncReport | None = Field(description="Lips against sound; None without a sound track.")
    findings: list[Finding]

    @property
    def seconds(self) -> float:
        """Decoded length of the pictures."""
        return self.facts.video_seconds

    @property
    def width(self) -> int:
        """Pixels."""
        return self.facts.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.facts.height

    @property
    def fps(self) -> float:
        """Average frame rate."""
        return self.facts.fps

    @property
    def failures(self) -> list[Finding]:
        """What makes the video unusable; empty for a good one."""
        return [finding for finding in self.findings if finding.level == "fail"]


@step("inspect")
async def inspect_video(path: Path, *, expected_seconds: float | None) -> Inspection:
    """Inspect a video file in a thread.

    Args:
        path: the video.
        expected_seconds: length of the speech that it should hold; None when that is not known.

    Raises:
        DownloadBroken: the file holds no picture that can be decoded.
    """
    inspection = await asyncio.to_thread(examine_video, path, expected_seconds)
    levels = [finding.level for finding in inspection.findings]
    log.info("inspected file=%s warnings=%d failures=%d", path.name, levels.count("warn"), levels.count("fail"))
    return inspection


def examine_video(path: Path, expected_seconds: float | None = None) -> Inspection:
    """Decode a video once and measure everything on the way; memory does not grow with its length.

    Raises:
        DownloadBroken: the file holds no picture that can be decoded.
    """
    pictures, sound = PictureCheck(), SoundCheck()
    sync = SyncCheck(expected_seconds or _announced_seconds(path), AUDIO_RATE)

    def on_picture(frame: av.VideoFrame, time: float) -> None:
        pictures.add(frame, time)
        sync.add_picture(frame, time)

    def on_sound(block: Wave, time: float) -> None:
        sound.add(block)
        sync.add_sound(block, time)

    facts = decode_all(path, on_picture, on_sound)
    end = facts.video_seconds
    heard = facts.audio_seconds is not None
    inspection = Inspection(
        facts=facts,
        black=pictures.black(end),
        frozen=pictures.frozen(end),
        silence=sound.silence(end) if heard else [],
        loudness=_rounded(sound.loudness),
        peak_db=_rounded(sound.peak_db),
        sync=sync.report() if heard else None,
        findings=[],
    )
    findings = [
        *_stream_findings(facts, expected_seconds),
        *_picture_findings(inspection),
        *(_sound_findings(inspection, sound.clipped) if heard else []),
    ]
    return inspection.model_copy(update={"findings": findings})


def _announced_seconds(path: Path) -> float:
    try:
        with av.open(str(path)) as container:
            return (container.duration or 0) / av.time_base
    except (av.FFmpegError, OSError):
        # The decode pass finds the same and says it properly.
        return 0.0


def _stream_findings(facts: DecodedFacts, expected: float | None) -> Iterator[Finding]:
    broken = why_broken(facts)
    yield Finding(level="fail" if broken else "ok", what="complete", detail=broken or "decodes to the end")
    shape = f"{facts.width}x{facts.height}, {facts.fps:g} fps, {facts.video_codec} {facts.pixel_format}"
    yield Finding(level="ok", what="picture", detail=shape)
    if facts.audio_seconds is None:
        yield Finding(level="fail" if expected else "warn", what="sound", detail="there is no sound track")
    else:
        detail = f"{facts.audio_codec}, {facts.sample_rate} Hz, {facts.channels} channel(s)"
        yield Finding(level="ok", what="sound", detail=detail)
        apart = abs(facts.audio_seconds - facts.video_seconds)
        if apart > _STREAMS_APART:
            yield Finding(level="warn", what="lengths", detail=f"picture and sound differ by {apart:.2f} s")
    if expected is not None:
        off = facts.video_seconds - expected
        level: Level = "ok" if abs(off) <= _LENGTH_WARN else "warn" if abs(off) <= _LENGTH_FAIL else "fail"
        detail = f"{facts.video_seconds:.2f} s for {expected:.2f} s of speech ({off:+.2f} s)"
        yield Finding(level=level, what="length", detail=detail)
    if facts.faststart is False:
        yield Finding(level="warn", what="faststart", detail="plays in a browser only after it is fully loaded")
    if facts.longest_gap > _LONG_GAP and facts.gaps:
        detail = f"{facts.gaps} gap(s) between pictures, the longest {facts.longest_gap:.2f} s"
        yield Finding(level="warn", what="gaps", detail=detail)
    if facts.damaged and not broken:
        yield Finding(level="warn", what="damage", detail=f"{facts.damaged} damaged part(s)")


def _picture_findings(seen: Inspection) -> Iterator[Finding]:
    for what, stretches in (("black", seen.black), ("frozen", seen.frozen)):
        covered = sum(stretch.seconds for stretch in stretches)
        if covered > 0.98 * seen.seconds:
            yield Finding(level="fail" if what == "black" else "warn", what=what, detail="from start to end")
        elif stretches:
            yield Finding(level="warn", what=what, detail=_listed(stretches))
        else:
            yield Finding(level="ok", what=what, detail="nowhere")


def _sound_findings(heard: Inspection, clipped: int) -> Iterator[Finding]:
    covered = sum(stretch.seconds for stretch in heard.silence)
    long = [stretch for stretch in heard.silence if stretch.seconds >= _LONG_SILENCE]
    if covered > 0.98 * heard.seconds or heard.peak_db is None:
        yield Finding(level="warn", what="silence", detail="from start to end")
        return
    yield Finding(level="warn" if long else "ok", what="silence", detail=_listed(long) if long else "no long pauses")
    if heard.loudness is not None:
        level: Level = "ok" if _QUIET_LUFS <= heard.loudness <= _LOUD_LUFS else "warn"
        detail = f"{heard.loudness:.1f} LUFS, peak {heard.peak_db:.1f} dB"
        yield Finding(level=level, what="loudness", detail=detail)
    if clipped > _CLIPPED_SAMPLES:
        yield Finding(level="warn", what="clipping", detail=f"{clipped} samples at full scale")
    if heard.sync is not None:
        yield _sync_finding(heard.sync)


def _sync_finding(sync: SyncReport) -> Finding:
    detail = _SYNC_WORDS.get(sync.verdict, "")
    if not detail:
        side = "late" if (sync.lag_ms or 0) > 0 else "early"
        detail = f"sound {abs(sync.lag_ms or 0)} ms {side}"
    if sync.correlation is not None:
        detail += f" (agreement {sync.correlation:.2f}, margin {sync.margin:.2f}, movement {sync.movement:.3f})"
    return Finding(level="ok" if sync.verdict == "in sync" else "warn", what="lip sync", detail=detail)


def _listed(stretches: list[Stretch]) -> str:
    more = f" and {len(stretches) - 5} more" if len(stretches) > 5 else ""
    return ", ".join(str(stretch) for stretch in stretches[:5]) + more


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
