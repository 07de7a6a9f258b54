"""The local renderer makes real videos of portraits and clips of every kind."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import pytest

from tasks.errors import ProviderRejected, RenderFailed
from tasks.facemesh import FaceMesh
from tasks.providers.local.face import FaceFrame, trace_lips
from tasks.providers.local.models import RenderJob, RenderReport
from tasks.providers.local.render import check_avatar, render
from tasks.providers.local.speech import prepare_speech
from tests.face_pictures import (
    Image,
    close_up,
    decode,
    moving,
    save,
    save_clip,
    save_speech,
    save_turned_jpeg,
    serious,
    smiling,
    turned,
)


def make(
    tmp_path: Path, avatar: Path, seconds: float = 0.4, kind: Literal["portrait", "clip"] = "portrait"
) -> tuple[RenderReport, Path]:
    speech = save_speech(tmp_path / "speech.wav", seconds)
    job = RenderJob(avatar_kind=kind, avatar_path=avatar, recording_path=speech, short_side=360)
    output = tmp_path / "out.mp4"
    return render(job, output, lambda _: None), output


def mouth_gaps(frames: list[Image]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Opening of the mouth in each frame as the face mesh sees it, in units."""
    faces, gaps, points = FaceMesh(), [], None
    for frame in frames:
        points = faces.landmarks(frame, points)
        assert points is not None
        gaps.append(trace_lips(points, FaceFrame.of(points)).gap)
    return np.array(gaps)


def test_the_video_is_what_players_and_vendors_expect(tmp_path: Path) -> None:
    """H.264 and AAC in an MP4 that starts at once, in declared colours, as long as the speech."""
    report, output = make(tmp_path, save(tmp_path / "face.png", close_up()), seconds=1.03)

    with av.open(str(output)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (audio.codec_context.name, audio.codec_context.sample_rate) == ("aac", 48_000)
        assert int(video.codec_context.colorspace) == 1
        assert int(video.codec_context.color_range) == 1
        assert video.average_rate == 25
    data = output.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    frames, times, sound = decode(output)
    assert len(frames) == report.frames == 26
    assert np.diff(times) == pytest.approx(0.04, abs=1e-6)
    assert report.seconds == pytest.approx(1.04)
    assert abs(report.seconds - report.speech_seconds) < 0.1
    assert sound == pytest.approx(1.04, abs=0.03)
    assert frames[0].shape == (320, 320, 3)


@pytest.mark.parametrize("fps", [24, 25, 30])
def test_each_frame_rate_keeps_the_length_of_the_speech(tmp_path: Path, fps: Literal[24, 25, 30]) -> None:
    """At every rate the video covers the speech and is at most a frame longer."""
    speech = save_speech(tmp_path / "speech.wav", 0.7)
    avatar = save(tmp_path / "face.png", close_up(200))
    job = RenderJob(avatar_kind="portrait", avatar_path=avatar, recording_path=speech, fps=fps)

    report = render(job, tmp_path / "out.mp4", lambda _: None)

    frames, _, _ = decode(tmp_path / "out.mp4")
    assert len(frames) == report.frames
    assert 0 <= len(frames) / fps - 0.7 < 1 / fps


@pytest.mark.parametrize("portrait", ["smiling", "serious"])
def test_the_mouth_moves_with_the_speech(tmp_path: Path, portrait: str) -> None:
    """The opening that an independent look sees in the frames follows the mouth track."""
    rgb = {"smiling": close_up(360), "serious": serious()[80:420, 90:430]}[portrait]
    avatar = save(tmp_path / "face.png", rgb)
    speech = save_speech(tmp_path / "speech.wav", 2.0)
    job = RenderJob(avatar_kind="portrait", avatar_path=avatar, recording_path=speech)
    render(job, tmp_path / "out.mp4", lambda _: None)

    gaps = mouth_gaps(decode(tmp_path / "out.mp4")[0])

    asked = prepare_speech(job).track[:, 0]
    assert np.corrcoef(gaps, asked)[0, 1] > 0.8
    assert gaps.max() - gaps.min() > 0.05


def test_the_colours_of_the_portrait_survive(tmp_path: Path) -> None:
    """The background of the video has the colours of the picture: the conversion matches its label."""
    picture = np.full((360, 360, 3), (40, 90, 200), np.uint8)
    picture[40:360, 20:340] = close_up(320)
    _, output = make(tmp_path, save(tmp_path / "face.png", picture))

    frame = decode(output)[0][0]

    assert np.abs(frame[4:20, 4:350].astype(int) - (40, 90, 200)).mean() < 6


@pytest.mark.parametrize("seconds", [0.2, 0.11])
def test_a_very_short_speech_makes_a_video(tmp_path: Path, seconds: float) -> None:
    """A fifth of a second is five frames, with sound."""
    report, output = make(tmp_path, save(tmp_path / "face.png", close_up(200)), seconds=seconds)

    frames, _, sound = decode(output)

    assert len(frames) == report.frames == int(np.ceil(seconds * 25))
    assert sound == pytest.approx(report.seconds, abs=0.05)


def _odd(folder: Path) -> Path:
    return save(folder / "odd.png", close_up(301)[:299])


def _alpha(folder: Path) -> Path:
    mask = np.zeros((320, 320, 1), np.uint8)
    cv2.circle(mask, (160, 160), 150, 255, -1)
    return save(folder / "alpha.png", np.concatenate([close_up(), mask], axis=2))


def _grey(folder: Path) -> Path:
    return save(folder / "grey.png", cv2.cvtColor(close_up(), cv2.COLOR_RGB2GRAY))


def _four_k(folder: Path) -> Path:
    return save(folder / "4k.jpg", np.asarray(cv2.resize(smiling(), (3840, 3840)), np.uint8))


def _lying(folder: Path) -> Path:
    return save_turned_jpeg(folder / "lying.jpg", np.ascontiguousarray(np.rot90(close_up()[:, 40:280], 1)), 6)


@pytest.mark.parametrize(
    ("portrait", "size"),
    [(_odd, (300, 298)), (_alpha, (320, 320)), (_grey, (320, 320)), (_four_k, (360, 360)), (_lying, (240, 320))],
)
def test_unusual_portraits_speak(tmp_path: Path, portrait: object, size: tuple[int, int]) -> None:
    """Odd sides, transparency, grey, 4K and EXIF orientation each give a talking video of a defined size."""
    report, output = make(tmp_path, portrait(tmp_path), seconds=0.6)  # type: ignore[operator]

    frames, _, _ = decode(output)

    assert (report.width, report.height) == size
    assert frames[0].shape == (size[1], size[0], 3)
    assert np.ptp(mouth_gaps(frames)) > 0.03


def test_a_grey_portrait_stays_grey(tmp_path: Path) -> None:
    """No colour gets into the mouth of a monochrome portrait, even after encoding."""
    grey = cv2.cvtColor(serious()[80:420, 90:430], cv2.COLOR_RGB2GRAY)
    _, output = make(tmp_path, save(tmp_path / "grey.png", grey), seconds=0.6)

    frames = np.stack(decode(output)[0]).astype(int)

    assert (frames.max(axis=3) - frames.min(axis=3)).max() <= 8


def test_the_same_job_gives_the_same_video(tmp_path: Path) -> None:
    """A repeated render is equal to the byte, blinks and sway included."""
    avatar = save(tmp_path / "face.png", close_up(200))

    first = make(tmp_path, avatar, seconds=2.0)[1].read_bytes()

    assert make(tmp_path, avatar, seconds=2.0)[1].read_bytes() == first


def test_the_head_and_the_eyes_are_alive(tmp_path: Path) -> None:
    """In silence the portrait still moves a little and blinks within some seconds."""
    silent = tmp_path / "silent.wav"
    save_speech(silent, 4.0)
    silent.write_bytes(silent.read_bytes()[:44] + bytes(silent.stat().st_size - 44))
    avatar = save(tmp_path / "face.png", close_up(320))
    job = RenderJob(avatar_kind="portrait", avatar_path=avatar, recording_path=silent)

    report = render(job, tmp_path / "out.mp4", lambda _: None)

    frames = decode(tmp_path / "out.mp4")[0]
    assert report.notes
    assert np.abs(frames[0].astype(int) - frames[60]).mean() > 0.5
    points = FaceMesh().landmarks(frames[0])
    assert points is not None
    left, top = points[[33, 263, 159, 386], :2].min(axis=0).astype(int) - 4
    right, bottom = points[[33, 263, 145, 374], :2].max(axis=0).astype(int) + 4
    steps = [
        float(np.abs(two[top:bottom, left:right].astype(int) - one[top:bottom, left:right]).mean())
        for one, two in itertools.pairwise(frames)
    ]
    assert max(steps) > 4 * float(np.median(steps))


def test_no_file_appears_when_the_render_is_broken_off(tmp_path: Path) -> None:
    """A render that ends half-way leaves neither a video nor its pieces."""
    speech = save_speech(tmp_path / "speech.wav", 3.0)
    avatar = save(tmp_path / "face.png", close_up(200))
    job = RenderJob(avatar_kind="portrait", avatar_path=avatar, recording_path=speech)

    def stop(done: float) -> None:
        raise InterruptedError(str(done))

    with pytest.raises(InterruptedError):
        render(job, tmp_path / "out.mp4", stop)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.png", "speech.wav"]


def test_a_silent_short_clip_speaks_to_and_fro(tmp_path: Path) -> None:
    """A clip without sound, shorter than the speech, is played to and fro, and its mouth follows the speech."""
    clip = save_clip(tmp_path / "clip.mp4", moving(20))

    report, output = make(tmp_path, clip, seconds=2.0, kind="clip")

    frames, _, sound = decode(output)
    assert len(frames) == 50
    assert sound == pytest.approx(2.0, abs=0.03)
    assert any("to and fro" in note for note in report.notes)
    border = [frame[:, :30].astype(int) for frame in frames]
    assert np.abs(border[18] - border[20]).mean() < 3  # mirrored around frame 19
    assert np.ptp(mouth_gaps(frames)) > 0.05


def test_a_clip_of_variable_rate_and_other_rate_speaks(tmp_path: Path) -> None:
    """Unsteady timestamps come out as a steady video of the right length."""
    steps = np.cumsum([20, 55, 33, 80, 17] * 8)
    clip = save_clip(tmp_path / "clip.mp4", moving(40), times_ms=[0, *steps.tolist()])

    report, output = make(tmp_path, clip, seconds=1.0, kind="clip")

    _, times, _ = decode(output)
    assert report.frames == 25
    assert np.diff(times) == pytest.approx(0.04, abs=1e-6)
    assert report.notes == []


def test_a_clip_that_loses_its_face_is_refused(tmp_path: Path) -> None:
    """A clip that shows the face for a moment only fails with the reason."""
    frames = moving(6)
    clip = save_clip(tmp_path / "clip.mp4", [*frames, *[np.full_like(frames[0], 90)] * 20])

    with pytest.raises(RenderFailed) as failed:
        make(tmp_path, clip, seconds=1.0, kind="clip")

    assert failed.value.code == "face_lost"


def test_progress_goes_up_to_one(tmp_path: Path) -> None:
    """Progress never goes back and ends at 1."""
    clip = save_clip(tmp_path / "clip.mp4", moving(30))
    speech = save_speech(tmp_path / "speech.wav", 2.0)
    job = RenderJob(avatar_kind="clip", avatar_path=clip, recording_path=speech)
    told: list[float] = []

    render(job, tmp_path / "out.mp4", told.append)

    assert told == sorted(told)
    assert told[-1] == 1.0


def test_good_avatars_pass_the_check(tmp_path: Path) -> None:
    """A frontal portrait and a clip of it pass without remarks."""
    assert check_avatar("portrait", save(tmp_path / "face.png", close_up())) == []
    assert check_avatar("clip", save_clip(tmp_path / "clip.mp4", moving(20))) == []


def test_several_faces_are_remarked(tmp_path: Path) -> None:
    """With several faces in view, a note says that the largest speaks."""
    picture = np.full((400, 800, 3), 180, np.uint8)
    picture[80:300, 50:270] = close_up(220)
    picture[:, 400:] = close_up(400)

    notes = check_avatar("portrait", save(tmp_path / "two.png", picture))

    assert any("2 faces" in note and "largest" in note for note in notes)


def _tiny(folder: Path) -> Path:
    picture = np.full((700, 700, 3), 120, np.uint8)
    picture[300:370, 300:370] = close_up(70)
    return save(folder / "tiny.png", picture)


@pytest.mark.parametrize(
    ("portrait", "code"),
    [
        (lambda folder: save(folder / "wall.png", np.full((300, 300, 3), 150, np.uint8)), "no_face"),
        (_tiny, "face_too_small"),
        (lambda folder: save(folder / "profile.png", turned(62)), "face_turned"),
        (lambda folder: save(folder / "profile.png", turned(-62)), "face_turned"),
        (lambda folder: save(folder / "profile.png", turned(-75)), "face_turned"),
    ],
    ids=["no face", "tiny", "profile to the left", "profile to the right", "full profile"],
)
def test_unusable_portraits_are_refused_before_a_job_is_made(tmp_path: Path, portrait: object, code: str) -> None:
    """No face, a tiny face and a profile are refused with a code and a way out."""
    with pytest.raises(ProviderRejected) as refused:
        check_avatar("portrait", portrait(tmp_path))  # type: ignore[operator]

    assert refused.value.code == code
    assert refused.value.fix


def test_a_face_turned_a_little_may_speak(tmp_path: Path) -> None:
    """A half-profile is accepted, with a remark."""
    notes = check_avatar("portrait", save(tmp_path / "half.png", turned(35)))

    assert any("turned" in note for note in notes)


def test_a_clip_without_a_face_is_refused(tmp_path: Path) -> None:
    """A clip of an empty room is refused before a job is made."""
    clip = save_clip(tmp_path / "room.mp4", [np.full((128, 128, 3), 90, np.uint8)] * 10)

    with pytest.raises(ProviderRejected) as refused:
        check_avatar("clip", clip)

    assert refused.value.code == "no_face"


@pytest.mark.slow
def test_ten_minutes_take_bounded_memory(tmp_path: Path) -> None:
    """Ten minutes of speech over a clip of seconds need no more memory than its sound and a few frames."""
    speech = save_speech(tmp_path / "speech.wav", 600)
    clip = save_clip(tmp_path / "clip.mp4", moving(60, side=128))
    script = f"""
import resource
from pathlib import Path
from tasks.providers.local.models import RenderJob
from tasks.providers.local.render import render
job = RenderJob(avatar_kind="clip", avatar_path=Path({str(clip)!r}), recording_path=Path({str(speech)!r}))
report = render(job, Path({str(tmp_path / "out.mp4")!r}), lambda _: None)
print(report.frames, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=280)

    frames, peak = (int(word) for word in done.stdout.split()[-2:])
    assert frames == 15_000
    assert peak < 1200
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert (container.duration or 0) / av.time_base == pytest.approx(600, abs=0.1)
