"""Where the PCM of a show comes from: files, the studio's own voice, and live pipes."""

import asyncio
import os
import stat
import subprocess
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path

import numpy as np
import pytest

from tasks.errors import StudioUnavailable
from tasks.providers.local.voice import get_voice
from tasks.show.ahead import read_ahead
from tasks.show.pcm import Unplayable, as_pcm, file_pcm
from tasks.show.pipes import pipe_path, pipe_pcm
from tasks.show.rundown import SpeechCue
from tasks.show.spoken import check_spoken, spoken_pcm
from tests.media_files import write_clip, write_picture, write_sound

SCRIPT = "Good evening, everybody. Welcome to the show.\n\nLet us begin."


async def gathered(pieces: AsyncIterator[bytes]) -> list[bytes]:
    return [piece async for piece in pieces]


def samples_of(pieces: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(pieces), "<i2")


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


# Files


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.m4a", "a.flac", "a.ogg"])
@pytest.mark.parametrize("rate", [16_000, 24_000])
async def test_any_recording_becomes_pcm(tmp_path: Path, name: str, rate: int) -> None:
    """Whatever people export arrives at the show's sample rate with its length, pitch and level."""
    path = write_sound(tmp_path / name, seconds=2.5, rate=48_000, channels=2)

    pieces = await gathered(file_pcm(path, rate))

    samples = samples_of(pieces)
    assert len(samples) / rate == pytest.approx(2.5, abs=0.06)
    assert pitch(samples, rate) == pytest.approx(220, abs=2)
    assert 10_000 < np.abs(samples[rate // 10 : -rate // 10]).max() < 14_000
    assert all(0.5 * rate <= len(piece) // 2 <= 2 * rate for piece in pieces[:-1])


async def test_sound_of_a_video_is_taken(tmp_path: Path) -> None:
    """A clip is good enough as a recording."""
    pieces = await gathered(file_pcm(write_clip(tmp_path / "clip.mp4", seconds=2), 16_000))

    assert len(samples_of(pieces)) / 16_000 == pytest.approx(2, abs=0.1)


async def test_long_recordings_need_constant_memory(tmp_path: Path) -> None:
    """Five minutes are decoded a second at a time."""
    path = write_sound(tmp_path / "long.flac", seconds=300, rate=16_000)
    tracemalloc.start()

    seconds = sum([len(piece) / 48_000 async for piece in file_pcm(path, 24_000)])

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds == pytest.approx(300, abs=0.1)
    assert peak < 4 * 2**20


async def test_who_stops_listening_leaves_nothing_open(tmp_path: Path) -> None:
    """A cue that is skipped closes its file and ends its thread."""
    path = write_sound(tmp_path / "skipped.wav", seconds=20)
    pieces = file_pcm(path, 16_000)
    await anext(pieces)
    assert _is_open(path)

    await pieces.aclose()

    await _until(lambda: not _is_open(path) and not _sound_threads())


async def test_what_cannot_be_played_is_named(tmp_path: Path) -> None:
    """Files without sound end with their name, the reason and a way out."""
    (tmp_path / "empty.wav").touch()
    (tmp_path / "noise.wav").write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\nfile:///etc/passwd\n")
    write_picture(tmp_path / "face.png")
    write_clip(tmp_path / "mute.mp4", sound=False)
    for name, reason in {
        "gone.wav": "No such file",
        "empty.wav": "an empty file",
        "noise.wav": "cannot be read as sound|holds no sound",
        "list.m3u8": "an HLS playlist",
        "face.png": "a PNG picture",
        "mute.mp4": "no sound track",
    }.items():
        with pytest.raises(Unplayable, match=reason) as refused:
            await gathered(file_pcm(tmp_path / name, 16_000))
        assert refused.value.message.startswith(name)
        assert refused.value.fix


def test_too_loud_samples_are_clipped() -> None:
    """Samples beyond full level stay at it; wrapped around they would crack."""
    pcm = as_pcm(np.array([-2, -1, 0, 0.5, 1, 2], np.float32))

    assert np.frombuffer(pcm, "<i2").tolist() == [-32767, -32767, 0, 16383, 32767, 32767]


async def test_next_piece_is_made_while_one_is_used() -> None:
    """A source is one piece ahead of its listener, not more: memory stays small, and work happens beside speech."""
    made: list[int] = []

    def source() -> Generator[bytes]:
        for number in range(5):
            made.append(number)
            yield bytes([number])

    pieces = read_ahead(source())
    await anext(pieces)
    await _until(lambda: len(made) == 2)
    await asyncio.sleep(0.1)

    assert made == [0, 1]
    assert await gathered(pieces) == [b"\1", b"\2", b"\3", b"\4"]


async def test_errors_of_a_source_come_after_its_pieces() -> None:
    """What was made before a failure is heard, and the failure is not lost."""

    def source() -> Generator[bytes]:
        yield b"1"
        raise OSError("the disk is gone")

    pieces = read_ahead(source())

    assert await anext(pieces) == b"1"
    with pytest.raises(OSError, match="the disk is gone"):
        await anext(pieces)


# The studio's voice


async def test_script_is_spoken_sentence_by_sentence() -> None:
    """The first sentence can be sent before the others are made, and together they are what the voice says."""
    whole = get_voice().speak(SCRIPT).wave

    pieces = await gathered(spoken_pcm(SCRIPT, sample_rate=24_000))

    spoken = samples_of(pieces).astype(np.float64)
    assert len(pieces) == 3
    assert len(spoken) == len(whole)
    assert np.corrcoef(spoken, whole)[0, 1] > 0.98
    assert 0.5 * 32_767 < np.abs(spoken).max() < 0.9 * 32_767
    assert np.abs(spoken[len(pieces[0]) // 2 - 5000 : len(pieces[0]) // 2]).max() == 0


async def test_script_at_the_other_rate_and_speed() -> None:
    """At 16 kHz a script takes as long as at 24 kHz; at double speed about half."""
    slow = len(samples_of(await gathered(spoken_pcm(SCRIPT, sample_rate=24_000)))) / 24_000

    resampled = len(samples_of(await gathered(spoken_pcm(SCRIPT, sample_rate=16_000)))) / 16_000
    fast = len(samples_of(await gathered(spoken_pcm(SCRIPT, speed=2, sample_rate=24_000)))) / 24_000

    assert resampled == pytest.approx(slow, abs=0.01)
    assert 0.4 < fast / slow < 0.65


async def test_shows_take_turns_at_the_voice() -> None:
    """Several shows that speak at the same time say what each would say alone."""
    alone = await gathered(spoken_pcm(SCRIPT, sample_rate=16_000))

    together = await asyncio.gather(*(gathered(spoken_pcm(SCRIPT, sample_rate=16_000)) for _ in range(4)))

    assert together == [alone] * 4


def test_unspeakable_scripts_are_refused_by_field() -> None:
    """What the voice cannot say is told before the show, in the words of the rundown."""
    problems = check_spoken(SpeechCue(script="你好", voice="emma", speed=1.0))

    assert {problem.field for problem in problems} == {"script", "voice"}
    assert any("timbre" in problem.fix for problem in problems)
    assert check_spoken(SpeechCue(script=SCRIPT)) == []


# Live pipes


def test_pipe_is_private_and_made_once(studio_home: Path) -> None:
    """Nobody else on the machine may speak through a show, and a second show finds the same pipe."""
    path = pipe_path("live")

    mode = path.stat().st_mode
    assert stat.S_ISFIFO(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert pipe_path("live") == path == studio_home / "pipes" / "live"


def test_file_in_place_of_a_pipe_is_refused(studio_home: Path) -> None:
    """A file that lies at the pipe's place is not played and not deleted."""
    pipe_path("other")
    (studio_home / "pipes" / "live").write_text("a file")

    with pytest.raises(StudioUnavailable, match="is no pipe"):
        pipe_path("live")


async def test_pipe_ends_with_its_writer(studio_home: Path) -> None:
    """All that a program wrote is heard, in whole samples, and its end is the end of the cue."""
    path = pipe_path("live")
    heard = asyncio.create_task(gathered(pipe_pcm("live", 16_000, 60)))
    sound = bytes(range(256)) * 500

    await asyncio.to_thread(_write, path, sound + b"half a sample"[:1])

    pieces = await asyncio.wait_for(heard, 10)
    assert b"".join(pieces) == sound
    assert all(len(piece) % 2 == 0 for piece in pieces)


async def test_pipe_ends_after_so_much_audio(studio_home: Path) -> None:
    """A program that never ends does not keep the show: the cue's seconds of audio are its most."""
    path = pipe_path("live")
    with subprocess.Popen(["/bin/sh", "-c", 'exec cat /dev/zero > "$0"', str(path)], stderr=subprocess.DEVNULL) as cat:  # noqa: ASYNC220 - a moment
        pieces = await asyncio.wait_for(gathered(pipe_pcm("live", 16_000, 2.5)), 10)
        # Its reader is gone.
        assert await asyncio.to_thread(cat.wait, 10) != 0

    assert sum(map(len, pieces)) == 2.5 * 32_000


async def test_writer_without_a_word_is_not_the_end(studio_home: Path) -> None:
    """A program that opens the pipe and leaves, as a failed start does, is followed by the next."""
    path = pipe_path("live")
    heard = asyncio.create_task(gathered(pipe_pcm("live", 16_000, 60)))

    await asyncio.to_thread(_write, path, b"")
    await asyncio.sleep(0.2)
    await asyncio.to_thread(_write, path, b"ab" * 100)

    assert b"".join(await asyncio.wait_for(heard, 10)) == b"ab" * 100


async def test_nobody_writes(studio_home: Path) -> None:
    """A cue whose program was never started ends with the pipe's path and what to do."""
    with pytest.raises(StudioUnavailable, match=r"nobody wrote .*pipes/live for 0\.3 s") as silent:
        await gathered(pipe_pcm("live", 16_000, 60, patience=0.3))

    assert silent.value.fix


async def test_writer_falls_silent(studio_home: Path) -> None:
    """A program that hangs in the middle does not hang the show."""
    file = os.open(pipe_path("live"), os.O_RDWR)
    try:
        os.write(file, b"ab" * 50)
        pieces = pipe_pcm("live", 16_000, 60, patience=0.3)

        assert await anext(pieces) == b"ab" * 50
        with pytest.raises(StudioUnavailable, match="nothing more came"):
            await anext(pieces)
    finally:
        os.close(file)


async def test_two_shows_do_not_share_a_pipe(studio_home: Path) -> None:
    """Two readers would each hear half of the words: the second is refused, and may come when the first has left."""
    file = os.open(pipe_path("live"), os.O_RDWR)
    try:
        os.write(file, b"ab" * 50)
        first = pipe_pcm("live", 16_000, 60)
        await anext(first)

        with pytest.raises(StudioUnavailable, match="another show reads the pipe"):
            await anext(pipe_pcm("live", 16_000, 60))
        await first.aclose()
        os.write(file, b"cd" * 50)
        assert await anext(pipe_pcm("live", 16_000, 60, patience=5)) == b"cd" * 50
    finally:
        os.close(file)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)


def _is_open(path: Path) -> bool:
    links = Path("/proc/self/fd").iterdir()
    return any(os.path.realpath(link) == str(path) for link in links)


def _sound_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("sound")]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - threads set no events
            await asyncio.sleep(0.01)
