"""Render a talking video on this machine, from a portrait or a clip."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from tasks.errors import ProviderRejected, RenderFailed
from tasks.facemesh import FaceMesh
from tasks.providers.local.avatar import check_avatar, find_speaker
from tasks.providers.local.clip import Clip, ping_pong
from tasks.providers.local.clip_face import ClipFace
from tasks.providers.local.encode import VideoWriter
from tasks.providers.local.eyes import Eyes, plan_eyes
from tasks.providers.local.face import Floats, Image
from tasks.providers.local.models import RenderJob, RenderReport
from tasks.providers.local.mouth import MouthShape
from tasks.providers.local.portrait import load_portrait
from tasks.providers.local.speech import PreparedSpeech, prepare_speech
from tasks.providers.local.sway import Head, plan_head
from tasks.providers.local.talk import read_face, speak
from tasks.providers.local.tracking import track_face

__all__ = ["check_avatar", "render"]

log = logging.getLogger("studio.local")

_TRACKING_SHARE: Final = 0.35
"""Part of the work on a clip that goes into following the face."""
_THREADS: Final = 2
"""Threads of OpenCV: encoder and drawing share the machine."""

Progress = Callable[[float], None]


def render(job: RenderJob, output: Path, progress: Progress) -> RenderReport:
    """Render one job to an MP4 (H.264, AAC); the file appears under its name only when it is whole.

    The same job gives the same video. Sets the number of OpenCV threads of this process.

    Args:
        job: what to render.
        output: where the video goes.
        progress: told now and then how much is done, 0 to 1.

    Raises:
        RenderFailed: with the ``code`` of the speech (see ``prepare_speech``) or of the avatar: unreadable,
            too_many_pixels, no_face, face_too_small, face_turned or face_lost.
    """
    cv2.setNumThreads(_THREADS)
    speech = prepare_speech(job)
    try:
        if job.avatar_kind == "portrait":
            return _render_portrait(job, speech, output, progress)
        return _render_clip(job, speech, output, progress)
    except ProviderRejected as error:
        raise RenderFailed(error.message, provider=error.provider, code=error.code, fix=error.fix) from error


def _render_portrait(job: RenderJob, speech: PreparedSpeech, output: Path, progress: Progress) -> RenderReport:
    picture = load_portrait(job.avatar_path, job.short_side)
    points, notes = find_speaker(FaceMesh(), picture, "portrait")
    random = np.random.default_rng(_seed(picture, speech.wave))
    face = read_face(picture, points)
    eyes, head = Eyes(picture, points), Head(picture, points)
    glances = plan_eyes(len(speech.track), job.fps, random)
    moves = plan_head(speech.track[:, 0], job.fps, random).moves

    def frames() -> Iterator[Image]:
        for index, shape in enumerate(speech.track):
            frame = picture.copy()
            speak(frame, face, MouthShape(*shape.tolist()))
            eyes.draw(frame, float(glances.closure[index]), glances.gaze[index])
            head.draw(frame, moves[index])
            yield frame

    report = _write(job, speech, output, frames(), progress)
    return report.model_copy(update={"notes": [*report.notes, *notes]})


def _render_clip(job: RenderJob, speech: PreparedSpeech, output: Path, progress: Progress) -> RenderReport:
    clip = Clip.open(job.avatar_path, job.fps, job.short_side)
    count = len(speech.track)
    track = track_face(FaceMesh(), clip.frames(0, count), lambda done: progress(_TRACKING_SHARE * min(done / count, 1)))
    notes = []
    if len(track) < count:
        notes.append(f"the clip is shorter than the speech: it is played to and fro ({len(track) / job.fps:.1f} s)")
    speaker = ClipFace(clip, track)

    def frames() -> Iterator[Image]:
        for index, source in enumerate(clip.play(len(track), count)):
            frame = np.array(source)
            shape = MouthShape(*speech.track[index].tolist())
            place = ping_pong(index, len(track))
            speak(frame, speaker.face(place), shape, presence=float(track.present[place]))
            yield frame

    def drawn(done: float) -> None:
        progress(_TRACKING_SHARE + (1 - _TRACKING_SHARE) * done)

    report = _write(job, speech, output, frames(), drawn)
    return report.model_copy(update={"notes": [*report.notes, *notes]})


def _write(
    job: RenderJob, speech: PreparedSpeech, output: Path, frames: Iterator[Image], progress: Progress
) -> RenderReport:
    """Encode the frames beside the speech."""
    count = len(speech.track)
    first = next(frames)
    height, width = first.shape[:2]
    with VideoWriter(output, (width, height), job.fps, speech.wave, speech.rate) as writer:
        writer.add(first)
        for done, frame in enumerate(frames, start=2):
            writer.add(frame)
            if done % job.fps == 0:
                progress(done / count)
    progress(1.0)
    log.info("rendered output=%s frames=%d size=%dx%d", output.name, count, width, height)
    return RenderReport(
        frames=count,
        seconds=count / job.fps,
        speech_seconds=speech.seconds,
        width=width,
        height=height,
        fps=job.fps,
        notes=speech.notes,
    )


def _seed(picture: Image, wave: Floats) -> int:
    """A number that depends on what is rendered alone, so that a repeated render moves alike."""
    digest = hashlib.sha256(picture.tobytes())
    digest.update(np.ascontiguousarray(wave[:48_000]).tobytes())
    return int.from_bytes(digest.digest()[:8], "big")
